"""The kernel's namespaces from Python 3.11: unshare, setns, mount and prctl through ctypes.

Entering a network namespace is a matter of the *thread*: `inside` moves the calling thread there and back, and
whatever it opens or starts meanwhile (sockets, child processes, files below /proc/sys/net) belongs to that namespace
for good. So one process can hold a socket in each router and no helper process is needed.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

# linux/sched.h, linux/mount.h, linux/prctl.h
CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces; with CLONE_NEWPID its next child becomes pid 1. Raises OSError."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace of `descriptor`, an open /proc/PID/ns/... file. Raises OSError."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system. Raises OSError."""
    arguments = [ctypes.c_char_p(text.encode()) for text in (source, target, kind)]
    result = _libc.mount(*arguments, ctypes.c_ulong(flags), ctypes.c_char_p(options.encode()))
    _checked(result, f"mount {kind} on {target}")


def die_with_parent() -> None:
    """Have the kernel kill the calling process as soon as the thread that forked it ends. Raises OSError."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """Run the body with the calling thread in the network namespace of process `pid`.

    Raises
    ------
    OSError
        If there is no such process or the capability is missing.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(there, CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
