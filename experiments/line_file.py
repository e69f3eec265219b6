"""A file of lines that only ever grows, so that whatever was written survives the end of its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from routing.errors import InputError


class LineFile:
    """Lines of a file that one process at a time may extend.

    A last line that was cut off by the end of its process is none; `drop_rest` removes it, before anything is written.

    Parameters
    ----------
    path : of the file, which may not exist yet
    resume : go on with the lines that are there
    work, kept, place : the user's words for what writes, what the lines hold, and where: "run", "results", "folder"

    Attributes
    ----------
    lines : what was there, without line ends

    Raises
    ------
    InputError : there are lines and `resume` is not set; the file is in use or cannot be written
    """

    def __init__(self, path: Path, resume: bool, *, work: str, kept: str, place: str) -> None:
        try:
            self._file = path.open("a+b", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            content = self._file.read()
        except BlockingIOError as error:
            raise InputError(f"in use by another {work}, expected a {place} of its own", path) from error
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}, expected a {place}", path) from error
        self._whole = content.rfind(b"\n") + 1
        if self._whole and not resume:
            raise InputError(f"there are {kept} already, expected --resume or another {place}", path)
        self.lines = content[: self._whole].splitlines()

    def drop_rest(self) -> None:
        """Drop the line that was cut off, if there is one."""
        self._file.truncate(self._whole)

    def write(self, line: bytes) -> None:
        """Add a line, given without its end."""
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Push the file to the disk and close it."""
        os.fsync(self._file.fileno())
        self._file.close()
