"""Run a test's body inside namespaces of its own, and bring what it returns or raises back."""

import os
import pickle
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from emulation.isolate import Isolation, run_isolated
from emulation.namespaces import CLONE_NEWNET, unshare


def isolated(body: Callable[[Isolation], Any]) -> Any:
    """Return what `body` returns in the namespaces (picklable); raise AssertionError with its traceback if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = Path(folder, "outcome")

        def inside(isolation: Isolation) -> int:
            try:
                value, error = body(isolation), ""
            except Exception:
                value, error = None, traceback.format_exc()
            outcome.write_bytes(pickle.dumps((value, error)))
            return 0

        code = run_isolated(inside)
        assert code == 0, f"the isolated body ended with {code}"
        value, error = pickle.loads(outcome.read_bytes())
        assert not error, error
        return value


def poll(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Wait until `condition()` is true and return what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)
    return found


def hold_network() -> int:
    """Return the pid of a process in a network namespace of its own, which waits to be killed."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        unshare(CLONE_NEWNET)
        os.write(tell, b"1")
        signal.pause()
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    return pid


def kill(pids: Iterable[int]) -> None:
    """End child processes."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def namespaces_in_use(kind: str) -> dict[int, list[int]]:
    """Return the processes in each namespace of a kind: number of the namespace -> pids."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.setdefault((folder / "ns" / kind).stat().st_ino, []).append(int(folder.name))
        except OSError:  # ended meanwhile, or none of ours: the machine's own init may be closed even to root
            continue
    return found
