"""The neighbour round: one frame to each neighbour, and a barrier until one came from each.

Rounds are numbered on and on through an episode (``step * K + round``). A router enters round x when it has computed
what it sends in it, and leaves it when it has every neighbour's frame of round x. A neighbour sends round x+1 only
after it has this router's frame of round x, hence:

* a neighbour is at most one round ahead: its frame is kept until this router gets there;
* a neighbour is at most one round behind: it can lack this router's frames of rounds x and x-1 only, so these two are
  kept and repeated on demand, also between rounds and after the last one.

Whoever waits repeats its own newest frame with `want` set to those it waits for; they repeat what it lacks
(`on_want`). If nothing is lost, nobody waits long enough and no frame is sent twice.
"""

from __future__ import annotations

from collections.abc import Sequence


class Rounds:
    """The barrier of one router with `neighbours` neighbours, numbered 0..n-1. Payloads are opaque."""

    def __init__(self, neighbours: int) -> None:
        self._neighbours = neighbours
        self.number = -1
        self.waiting = False
        self._sent: dict[int, Sequence[bytes]] = {}  # the last two rounds
        self._now: list[bytes | None] = [None] * neighbours
        self._next: list[bytes | None] = [None] * neighbours
        self._missing = 0  # of this round

    def enter(self, payloads: Sequence[bytes]) -> int:
        """Begin the next round with one payload for each neighbour; return its number."""
        if self.waiting:
            raise ValueError(f"round {self.number} is not complete")
        self.number += 1
        self._sent[self.number] = payloads
        self._sent.pop(self.number - 2, None)
        self._now, self._next = self._next, [None] * self._neighbours
        self._missing = self._now.count(None)
        self.waiting = True
        return self.number

    def receive(self, neighbour: int, number: int, payload: bytes) -> None:
        """Take a neighbour's payload; old, repeated and impossible ones are ignored."""
        if number == self.number and self.waiting and self._now[neighbour] is None:
            self._now[neighbour] = payload
            self._missing -= 1
        elif number == self.number + 1 and self._next[neighbour] is None:
            self._next[neighbour] = payload

    def complete(self) -> list[bytes] | None:
        """Return the neighbours' payloads and leave the round, once all are here; else None."""
        if self._missing or not self.waiting:
            return None
        self.waiting = False
        return [payload for payload in self._now if payload is not None]

    def missing(self) -> list[int]:
        """Neighbours whose frame of this round is not here."""
        return [n for n in range(self._neighbours) if self._now[n] is None] if self.waiting else []

    def overtaken(self, neighbour: int) -> bool:
        """Whether a neighbour's next frame came before this round's: then that one was lost or is late."""
        return self.waiting and self._now[neighbour] is None and self._next[neighbour] is not None

    def sent(self, neighbour: int, number: int) -> bytes | None:
        """Return what was sent to a neighbour in a round, if it may still lack it."""
        payloads = self._sent.get(number)
        return None if payloads is None else payloads[neighbour]
