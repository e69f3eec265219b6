"""Programs in routers' network namespaces: started together, waited for together, ended by process id."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO

from emulation.namespaces import inside


class EmulationError(Exception):
    """The emulated network did not do what it must: a tool failed, a daemon died, a deadline passed."""


def start_in(pid: int | None, command: Sequence[str], log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in the network namespace of `pid` (None: ours), in a session of its own, output to `log`.

    Raises OSError if the program or the namespace is missing.
    """
    sink = log if log is not None else subprocess.DEVNULL
    with inside(pid) if pid is not None else nullcontext():
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )


def run_in_each(jobs: Iterable[tuple[int, Sequence[str], str]], timeout_s: float = 30.0) -> list[str]:
    """Run programs in namespaces at the same time, and return what each printed.

    Parameters
    ----------
    jobs : (pid whose network namespace it is, command, text for its standard input)
    timeout_s : for each

    Raises
    ------
    EmulationError
        If one fails: its command and what it said.
    """
    running: list[tuple[Sequence[str], subprocess.Popen[str]]] = []
    outputs = []
    try:
        for pid, command, text in jobs:
            with inside(pid):
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            running.append((command, process))
            assert process.stdin is not None
            # A program that fails early closes its input; its exit code and message come below.
            with suppress(BrokenPipeError):
                process.stdin.write(text)
                process.stdin.close()
            process.stdin = None
        for command, process in running:
            output, errors = process.communicate(timeout=timeout_s)
            if process.returncode != 0:
                raise EmulationError(
                    f"{' '.join(command)} failed with {process.returncode}: {errors.strip() or output}"
                )
            outputs.append(output)
    finally:
        for _, process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    return outputs


def write_sysctls(pid: int, values: dict[str, str]) -> None:
    """Write /proc/sys files as seen from the network namespace of `pid`. Raises OSError."""
    with inside(pid):
        for name, value in values.items():
            Path("/proc/sys", name).write_text(value)


def wait_until(done: Callable[[], bool], timeout_s: float, what: str, interval_s: float = 0.01) -> float:
    """Poll until `done()`; return the seconds it took. Raises EmulationError, naming `what`, after `timeout_s`."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > timeout_s:
            raise EmulationError(f"{what}: not after {timeout_s:g} s")
        time.sleep(interval_s)
    return time.monotonic() - start


def end(processes: Iterable[subprocess.Popen[bytes]], grace_s: float = 2.0) -> None:
    """Terminate programs, kill those that stay for longer than `grace_s`, and collect them all."""
    remaining = [process for process in processes if process.poll() is None]
    for process in remaining:
        process.terminate()
    deadline = time.monotonic() + grace_s
    for process in remaining:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
