"""That an episode is over reaches every neighbour.

Who aborts an episode, or hears of it for the first time, tells all its neighbours and repeats it to those that have not
answered. The answer is an Abort without a reason, which nobody answers. A neighbour's own Abort is as good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.messages import Abort

_REMEMBERED = 8  # episodes
_REPEAT_S = 0.1
_GIVE_UP_S = 10.0  # whoever has not answered by then is silent


class Aborts:
    """What was aborted, and who does not know it yet; `over`: episodes called off before, and why."""

    def __init__(self, over: Mapping[int, str] | None = None) -> None:
        self._called_off: dict[int, str] = dict(over or {})
        self._newest: Abort | None = None
        self._unaware: set[int] = set()  # of the newest
        self._repeat_at = self._until = 0.0

    def reason(self, episode: int) -> str:
        """Return why an episode was called off, "" if it is not known to be."""
        return self._called_off.get(episode, "")

    def call_off(self, episode: int, reason: str) -> None:
        """Note that an episode is over."""
        self._called_off.setdefault(episode, reason or "no reason given")
        while len(self._called_off) > _REMEMBERED:
            del self._called_off[min(self._called_off)]

    def told(self, abort: Abort, neighbours: Iterable[int], now: float) -> None:
        """Note an Abort that has just been sent to some neighbours."""
        self.call_off(abort.episode, abort.reason)
        self._newest = abort
        self._unaware = set(neighbours)
        self._repeat_at = now + _REPEAT_S
        self._until = now + _GIVE_UP_S

    def heard(self, abort: Abort, neighbour: int) -> Abort | None:
        """Take a neighbour's Abort; return the answer, if it wants one."""
        if self._newest is not None and abort.episode == self._newest.episode:
            self._unaware.discard(neighbour)
        return Abort(abort.episode, "") if abort.reason else None

    def due(self) -> float:
        """Return when `repeat` has something to do."""
        return self._repeat_at if self._unaware else float("inf")

    def repeat(self, now: float) -> list[tuple[int, Abort]]:
        """Return what is to be said again: (neighbour, Abort)."""
        if self._newest is None or not self._unaware or now < self._repeat_at:
            return []
        if now >= self._until:
            self._unaware.clear()
            return []
        self._repeat_at = now + _REPEAT_S
        return [(neighbour, self._newest) for neighbour in sorted(self._unaware)]
