"""A small file in a folder of the agent's own, which outlives its process: there whole, or not at all.

It is not synchronised to the disk. What it is for is a process that dies; a router that loses its power loses the costs
that ospfd was told over its socket as well, and has those of its configuration again.
"""

from __future__ import annotations

import os
from pathlib import Path

from routing.errors import InputError
from routing.files import open_private

FILE = "last-commit"


class StateFile:
    """The file. Readable by its owner only, who has to be the agent's user (or root).

    Parameters
    ----------
    folder : exists

    Raises
    ------
    InputError : it does not, or nothing can be written there
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / FILE
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise InputError("expected a folder in which the agent may write", folder)

    def read(self, most: int) -> bytes | None:
        """Return what was written last, None if nothing; raise `InputError` if it cannot be, or has more bytes."""
        try:
            file = open_private(self.path, follow=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}") from error
        with file:
            data = file.read(most + 1)
        if len(data) > most:
            raise InputError(f"longer than {most} bytes")
        return data

    def write(self, data: bytes) -> None:
        """Replace what is there; raise `OSError`."""
        temporary = self.path.with_name(f".{FILE}.tmp")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, self.path)
