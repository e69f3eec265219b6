"""Run something as the first process of namespaces of its own, so that the kernel clears away after it.

Three processes: the **outer** one (started by the user), **init** (pid 1 of new pid, network, mount and IPC
namespaces) and the **body**. Init forwards signals and reaps whatever was orphaned; when it ends, for whatever
reason, the kernel kills every process of the pid namespace, and with the last of them go the network namespaces, the
interfaces in them and the private mounts. It ends when the body ends, and the kernel ends it when the outer process
dies (PR_SET_PDEATHSIG), even by SIGKILL.

All three wait for signals with `sigtimedwait` rather than in handlers: nothing is interrupted half way, and none is
lost between a fork and the installation of a handler.
"""

from __future__ import annotations

import logging
import os
import pwd
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulation.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    die_with_parent,
    mount,
    setns,
    unshare,
)

logger = logging.getLogger(__name__)

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# FRR's own folders: sockets and crash logs. A private tmpfs over them keeps a host's FRR out of sight, and leaves no
# file behind.
RUNTIME = Path("/run/frr")
PRIVATE = (RUNTIME, Path("/var/tmp/frr"))


@dataclass(frozen=True)
class Isolation:
    """What the body may want to know about its surroundings.

    Attributes
    ----------
    init_pid : pid of the namespaces' init as the user sees it, for ``nsenter --target``
    host_network : descriptor of the network namespace in which the user started us, for `namespaces.setns`
    """

    init_pid: int
    host_network: int


def run_isolated(body: Callable[[Isolation], int], *, private: Sequence[Path] = PRIVATE, grace_s: float = 10.0) -> int:
    """Fork, isolate and run `body`; return its exit code once no process of it is left.

    SIGINT arrives in the body as KeyboardInterrupt, SIGTERM and SIGHUP as ``SystemExit(128 + number)``.

    Parameters
    ----------
    body : runs as process 2 of the namespaces, in a session of its own; what it returns is the exit code
    private : folders over which a private tmpfs is mounted, owned by user frr if there is one; made if absent
    grace_s : how long after the first signal the body may take to end, in seconds, before the kernel kills everything

    Returns
    -------
    int
        The body's exit code; ``128 + number`` if a signal ended it.

    Raises
    ------
    OSError
        If the namespaces cannot be made (no capability).
    """
    for folder in private:
        folder.mkdir(parents=True, exist_ok=True)
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    alive, alive_here = os.pipe()
    told, tell = os.pipe()
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    _flush()
    try:
        unshare(CLONE_NEWPID)
        init = os.fork()
        if init == 0:
            os.close(alive_here)
            os.close(tell)
            _exit_with(lambda: _init(body, private, alive, told))
        setns(home, CLONE_NEWPID)  # else the next child of the caller would land in the dead namespace
        os.close(told)
        os.write(tell, b"%d\n" % init)
        return _wait_outside(init, grace_s)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        for descriptor in (home, alive, alive_here, tell):
            os.close(descriptor)


def _wait_outside(init: int, grace_s: float) -> int:
    """Forward signals to init until it ends; kill it when it takes too long after one."""
    deadline: float | None = None
    while True:
        timeout = 3600.0 if deadline is None else max(0.0, deadline - time.monotonic())
        caught = signal.sigtimedwait({*FORWARDED, signal.SIGCHLD}, timeout)
        pid, status = os.waitpid(init, os.WNOHANG)
        if pid == init:
            return _exit_code(status)
        if caught is not None and caught.si_signo != signal.SIGCHLD:
            os.kill(init, caught.si_signo)
            deadline = deadline or time.monotonic() + grace_s
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(init, signal.SIGKILL)
            deadline = time.monotonic() + 1.0


def _init(body: Callable[[Isolation], int], private: Sequence[Path], alive: int, told: int) -> int:
    """Process 1: arrange the namespaces, fork the body, forward signals, reap, return the body's exit code."""
    die_with_parent()
    if select.select([alive], [], [], 0)[0]:  # readable means closed: the outer process died before the line above
        return 1
    # A session of its own: Ctrl-C at the terminal then reaches the outer process only, which forwards it once.
    os.setsid()
    host_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC)
    _private_mounts(private)
    with os.fdopen(told) as line:
        init_pid = int(line.readline())
    main = os.fork()
    if main == 0:
        os.close(alive)
        _restore_signals()
        _exit_with(lambda: body(Isolation(init_pid, host_network)))
    while True:
        caught = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD}).si_signo
        if caught != signal.SIGCHLD:
            os.kill(main, caught)
            continue
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == main:
                return _exit_code(status)
            if pid == 0:
                break


def _private_mounts(private: Sequence[Path]) -> None:
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    owner = _frr_owner()
    for folder in private:
        mount("tmpfs", str(folder), "tmpfs", MS_NOSUID | MS_NODEV, f"mode=755{owner}")


def _frr_owner() -> str:
    """Return mount options that make user frr the owner; empty where the package is not installed."""
    try:
        user = pwd.getpwnam("frr")
    except KeyError:
        return ""
    return f",uid={user.pw_uid},gid={user.pw_gid}"


def _restore_signals() -> None:
    """Python's ordinary behaviour for SIGINT; an orderly exit for the others."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*FORWARDED, signal.SIGCHLD})


def _exit_with(function: Callable[[], int]) -> None:
    """End this forked process with the function's result; never returns, so no caller's clean-up runs twice."""
    code = 1
    try:
        code = function()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader is gone; nobody is left to tell
            logger.debug("cannot flush %s", stream)
