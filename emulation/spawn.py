"""One program per router, in the router's network namespace: forked from this warm process, or a command line.

A fork shares the parent's interpreter, numpy and compiled kernels page by page: 17 agents start in a fraction of a
second and cost a few megabytes each, where seventeen fresh Pythons need seconds and tens of megabytes. Call from a
process without other threads: a forked child has only the calling one, and locks that others held stay locked.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulation.namespaces import CLONE_NEWNET, die_with_parent, setns
from emulation.processes import start_in

_POLL_S = 0.005


@dataclass
class Child:
    """A started program.

    Attributes
    ----------
    name : the router
    pid : its process id; it leads a session of its own
    log : where its standard output and error go
    exit_code : None while it runs; minus the number of the signal that ended it
    """

    name: str
    pid: int
    log: Path
    exit_code: int | None = None


class Spawner:
    """Starts, watches and ends one program per router.

    Attributes
    ----------
    children : in the order of their start
    """

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._executed: dict[int, subprocess.Popen[bytes]] = {}

    def fork(self, name: str, namespace_pid: int | None, target: Callable[[], int], log: Path) -> Child:
        """Fork a child that enters the network namespace of `namespace_pid` and ends with what `target` returns.

        In the child standard input is empty, output goes to `log`, signals behave as in a fresh Python. It dies with
        this process.

        Raises
        ------
        OSError
            If the log cannot be opened or no process started. What goes wrong in the child is in its log, exit code 1.
        """
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            if not any(child.exit_code is None for child in self.children):
                # Objects of before the fork are never collected in a child, which would touch, hence copy, their pages.
                gc.collect()
                gc.freeze()
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                _child(namespace_pid, target, sink)
        finally:
            os.close(sink)
        child = Child(name, pid, log)
        self.children.append(child)
        return child

    def execute(self, name: str, namespace_pid: int | None, command: Sequence[str], log: Path) -> Child:
        """Start a command line in the network namespace of `namespace_pid`. Raises OSError if it cannot be started."""
        with log.open("ab") as sink:
            process = start_in(namespace_pid, command, sink)
        child = Child(name, process.pid, log)
        self._executed[process.pid] = process
        self.children.append(child)
        return child

    def poll(self) -> list[Child]:
        """Return the children that have ended since the last call, with their exit codes."""
        ended = []
        for child in self.children:
            if child.exit_code is None:
                code = self._exit_code(child.pid)
                if code is not None:
                    child.exit_code = code
                    ended.append(child)
        return ended

    def wait(self, timeout_s: float) -> bool:
        """Wait until every child has ended; return False if some have not after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.poll()
            if all(child.exit_code is not None for child in self.children):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)

    def end(self, grace_s: float = 2.0) -> None:
        """Ask all children to end (SIGTERM), kill those that stay for longer than `grace_s`, and collect them."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.poll()
            for child in self.children:
                if child.exit_code is None:
                    os.kill(child.pid, number)
            if self.wait(grace_s):
                return

    def _exit_code(self, pid: int) -> int | None:
        process = self._executed.get(pid)
        if process is not None:
            return process.poll()
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended == pid else None


def proportional_memory(pid: int) -> int:
    """Return the memory of a process in bytes, pages that several share counted in proportion (PSS). Raises OSError."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/smaps_rollup has no line 'Pss:'")


def processor_time(pid: int) -> float:
    """Return the seconds that a process and its threads have computed so far. Raises OSError."""
    # The name in the second field may hold spaces and brackets; utime and stime are the 12th and 13th after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _child(namespace_pid: int | None, target: Callable[[], int], sink: int) -> None:
    """Life of a forked child; never returns, so nothing of the parent's clean-up runs here."""
    code = 1
    try:
        die_with_parent()
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        empty = os.open(os.devnull, os.O_RDONLY)
        for source, standard in ((empty, 0), (sink, 1), (sink, 2)):
            os.dup2(source, standard)
        # The parent's stream objects may write elsewhere than to 1 and 2, and buffer what a log should show at once.
        sys.stdin = open(0, closefd=False)
        sys.stdout = open(1, "w", buffering=1, closefd=False)
        sys.stderr = open(2, "w", buffering=1, closefd=False)
        if namespace_pid is not None:
            namespace = os.open(f"/proc/{namespace_pid}/ns/net", os.O_RDONLY)
            setns(namespace, CLONE_NEWNET)
            os.close(namespace)
        code = target()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
