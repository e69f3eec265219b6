"""How long to wait before asking again, learned from the waits themselves.

TCP's mean and deviation (RFC 6298) suit a path whose delay is measured alone. Here a wait contains the repetitions of
routers further away: with some loss nearly every wait is as long as the limit, and whatever follows the typical wait
drives the limit up for ever. So the estimate is a low quantile of the time per hop, which is what a hop takes when
nothing is lost; the limit is a multiple of it.

Often what a router waits for is on its way already when the wait begins, and long links look short. A second estimate
bounds the first one from below: the round trip of a link as the beginning of the session showed it, or the shortest
wait of those that contain whole round trips.
"""

from __future__ import annotations

_STEP = 1.02  # relative change of the estimate by a longer wait; a shorter one counts as many times more as aims at
_QUANTILE = 0.05  # this quantile of all waits
_FACTOR = 4.0  # a wait without loss hardly ever takes so many times the quantile
_TRIPS = 3.0  # a wait without loss takes up to two, if the neighbours began that much later
_MOST_DOUBLED = 4  # a repetition is often in vain because the other waits as well, not because the link is congested


class Patience:
    """The limit of a wait in seconds: `first_s` until something is known, then between `least_s` and `most_s`."""

    def __init__(self, first_s: float, least_s: float, most_s: float) -> None:
        self._hop_s: float | None = None
        self._trip_s = 0.0
        self._first_s = first_s
        self._least_s = least_s
        self._most_s = most_s
        self._doubled = 1

    def learn(self, wait_s: float, hops: int) -> None:
        """Note how long a wait for something `hops` hops away took, and be patient as at first again."""
        self._doubled = 1
        hop_s = wait_s / hops
        if self._hop_s is None:
            self._hop_s = hop_s
        elif hop_s > self._hop_s:
            self._hop_s *= _STEP
        else:
            self._hop_s *= _STEP ** (1 - 1 / _QUANTILE)
        self._hop_s = max(self._hop_s, 1e-6)

    def expect(self, trip_s: float) -> None:
        """Take over the round trip of the slowest link, as far as it is known."""
        self._trip_s = trip_s

    def bound(self, wait_s: float, trips: int) -> None:
        """Note how long a wait took that contained so many round trips."""
        self._trip_s = min(self._trip_s, wait_s / trips)

    def double(self) -> None:
        """Something has been repeated."""
        self._doubled = min(2 * self._doubled, _MOST_DOUBLED)

    def limit_s(self, hops: int) -> float:
        """Return how long to wait now for something `hops` hops away."""
        if self._hop_s is None:
            learned = self._first_s
        else:
            learned = max(_FACTOR * self._hop_s * hops, _TRIPS * self._trip_s * hops, self._least_s)
        return min(learned * self._doubled, self._most_s)
