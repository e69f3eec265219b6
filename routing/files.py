"""Opening files whose names come from outside: what is no regular file is refused, a FIFO not waited for.

All that is looked at is looked at in the file that was opened, not in what its name meant a moment before.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """Open a regular file to read.

    Parameters
    ----------
    follow : it may be reached through a symbolic link

    Raises
    ------
    OSError : it cannot be opened, or is a FIFO, a device, a folder or a socket
    """
    # Without O_NONBLOCK whoever opens a FIFO waits until somebody writes into it (fifo(7)).
    flags = os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    file = open(path, "rb", opener=lambda name, others: os.open(name, others | flags))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return file


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Return what is in a regular file; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def open_private(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """Open a regular file that belongs to this program's user or to root, and that nobody else can read.

    Raises
    ------
    OSError : as in `open_regular`; it is somebody else's, or others could read it
    """
    file = open_regular(path, follow=follow)
    found, user = os.fstat(file.fileno()), os.geteuid()
    mode = stat.S_IMODE(found.st_mode)
    wrong = ""
    if found.st_uid not in (0, user):
        wrong = f"it belongs to user {found.st_uid}, expected {f'user {user} or root' if user else 'root'}"
    elif mode & 0o077:
        wrong = f"mode {mode:04o}, expected 0600: others could read it"
    if wrong:
        file.close()
        raise PermissionError(errno.EACCES, wrong, os.fspath(path))
    return file
