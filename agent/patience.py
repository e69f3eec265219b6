"""How long to wait before asking again, learned from the waits themselves.

A long wait on a network that has lost nothing means that others are slow, and asking would make them slower: the limit
is the mean and four deviations, as TCP's (RFC 6298), seldom exceeded. Where frames are lost that would not do. A wait
contains the repetitions of routers further away, so nearly every wait is as long as the limit, and whatever follows the
typical wait drives the limit up for ever. There the limit is a low quantile, which is what a wait takes when
nothing is lost, and a round trip; for the very first one, what the way takes.

Often what a router waits for is on its way already when the wait begins, and long links look short. The round trips
that a wait may contain bound the limit from below.
"""

from __future__ import annotations

_STEP = 1.02  # relative change of the quantile by a longer wait; a shorter one counts as many times more as aims at
_QUANTILE = 0.05  # this quantile of all waits
_FIRST = 10  # of so few waits it is the least
_SHORTER = _STEP ** (1 - 1 / _QUANTILE)
_GAIN, _DEVIATION_GAIN, _DEVIATIONS = 1 / 8, 1 / 4, 4.0  # RFC 6298, section 2
_FACTOR, _TRIPS, _GROWTH, _MOST_GROWN = 4.0, 2.0, 2.0, 4.0
# A repetition is lost as easily as the first frame; still a neighbour that is gone is not flooded.
_LOSSY_TRIPS, _LOSSY_GROWTH = 2.0, 1.25


class Patience:
    """The limit of one kind of wait in seconds.

    Parameters
    ----------
    first_s : the limit until something is known
    least_s, lossy_s : never less, the latter where frames are lost
    most_s : never more
    """

    def __init__(self, first_s: float, least_s: float, most_s: float, lossy_s: float) -> None:
        self._first_s = first_s
        self._least_s = least_s
        self._most_s = most_s
        self._lossy_s = lossy_s
        self._low_s: float | None = None
        self._mean_s = self._deviation_s = 0.0
        self._learned = 0  # waits
        self._repeated = 0

    def learn(self, wait_s: float, *, lossy: bool = False) -> None:
        """Note how long a wait took, and be patient as at first again."""
        self._repeated = 0
        if self._low_s is None:
            self._low_s, self._mean_s, self._deviation_s = wait_s, wait_s, wait_s / 2
            return
        self._learned += 1
        if self._learned < _FIRST:
            self._low_s = min(self._low_s, wait_s)
        else:
            self._low_s *= _STEP if wait_s > self._low_s else _SHORTER
        self._low_s = max(self._low_s, 1e-6)
        if not lossy:
            self._deviation_s += _DEVIATION_GAIN * (abs(wait_s - self._mean_s) - self._deviation_s)
            self._mean_s += _GAIN * (wait_s - self._mean_s)

    def repeated(self) -> None:
        """Something has been repeated: wait longer the next time."""
        self._repeated += 1

    def limit_s(self, trip_s: float, trips: int, *, lossy: bool = False) -> float:
        """Return how long to wait now for what takes so many round trips, `trip_s` each on the slowest link."""
        if lossy:
            low_s = _TRIPS * trip_s * trips if self._low_s is None else self._low_s
            quick = max(low_s + _LOSSY_TRIPS * trip_s, self._lossy_s)
            return min(quick * _LOSSY_GROWTH ** min(self._repeated, 100), self._most_s)
        limit = max(self._first_s, _TRIPS * trip_s * trips)
        if self._low_s is not None:
            usual = max(_FACTOR * self._low_s, self._mean_s + _DEVIATIONS * self._deviation_s)
            limit = max(usual, _TRIPS * trip_s * trips, self._least_s)
        return min(limit * min(_GROWTH ** min(self._repeated, 10), _MOST_GROWN), self._most_s)
