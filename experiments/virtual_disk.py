"""What routers keep when their agents die: the file of each, in place of `agent.statefile.StateFile`."""

from __future__ import annotations

from collections.abc import Callable


class VirtualFile:
    """One router's file, seen by one of its processes.

    Parameters
    ----------
    disks : router -> what is in its file
    gone : whether the process was killed: what it writes then reaches nothing
    """

    def __init__(self, disks: dict[int, bytes], router: int, gone: Callable[[], bool]) -> None:
        self.path = f"disk {router}"
        self._disks = disks
        self._router = router
        self._gone = gone

    def read(self, _most: int) -> bytes | None:
        """Return what is there."""
        return self._disks.get(self._router)

    def write(self, data: bytes) -> None:
        """Replace it."""
        if not self._gone():
            self._disks[self._router] = data
