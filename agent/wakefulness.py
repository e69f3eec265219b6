"""Whether this process ran all the time: one that was stopped for long has been given up by the others.

Whoever stops a process (SIGSTOP, a machine that is moved, one that is out of memory) stops its hellos as well. After
`dead_s` without any its neighbours have gone on without it, and by and by another commit may be made. What it was
about to do to its router's costs when it was stopped, it must not do when it goes on.
"""

from __future__ import annotations


class Wakefulness:
    """Notices long pauses between calls that come all the time.

    Parameters
    ----------
    limit_s : the longest pause that counts for none, in seconds; calls have to come more often
    now : the clock
    """

    def __init__(self, limit_s: float, now: float) -> None:
        self._limit_s = limit_s
        self._called_at = now

    def lasts(self, now: float) -> bool:
        """Whether there is no long pause behind the process of which `slept_s` has not told yet."""
        return now - self._called_at <= self._limit_s

    def slept_s(self, now: float) -> float:
        """Note that the process runs; return how long it did not before, in seconds, 0 if that was short."""
        pause_s = 0.0 if self.lasts(now) else now - self._called_at
        self._called_at = now
        return pause_s
