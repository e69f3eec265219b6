"""What a commit has left behind: the costs that OSPF should show, and the load that links should carry.

Without I/O and without a clock of its own. A commit during which a router or an agent died may be half done. Which side
is right follows from the results: the new costs if any member has committed, else the old ones. A cost that is neither
is an operator's, and is right. After a good commit, what the links carry decides whether it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.control import Result
from routing.topology import Topology

EXCESS = 1.10  # measured MLU over predicted MLU above which a commit is taken back ...
EXCESS_S = 30.0  # ... if it stays so for this long


@dataclass(frozen=True, eq=False)
class Settlement:
    """The costs that a commit should have left: `wanted` (L,) int64; `other` (L,), those of the other side."""

    episode: int
    wanted: NDArray[np.int64]
    other: NDArray[np.int64]

    def wrong(self, seen: NDArray[np.int64]) -> list[int]:
        """Return the links that are up and not settled, by what the LSDB shows, (L,) int64."""
        least, most = np.minimum(self.wanted, self.other), np.maximum(self.wanted, self.other)
        ours = (least <= seen) & (seen <= most) & (seen > 0)
        return np.flatnonzero(ours & (seen != self.wanted)).tolist()

    def unseen(self, seen: NDArray[np.int64]) -> bool:
        """Whether a link is down whose cost the commit was to change: it may come back with the wrong one."""
        return bool(np.any((seen == 0) & (self.wanted != self.other)))

    def reverse(self) -> Settlement:
        """Return the other side's."""
        return Settlement(self.episode, self.other, self.wanted)

    def done(self, episode: int) -> Settlement:
        """Return one by which nothing is wrong, since a later episode has set the costs."""
        return Settlement(episode, self.wanted, self.wanted)

    def keeping(self, before: Settlement, links: Iterable[int]) -> Settlement:
        """Return this one, with what the one before it says of some links."""
        wanted, other, links = self.wanted.copy(), self.other.copy(), list(links)
        wanted[links], other[links] = before.wanted[links], before.other[links]
        return Settlement(self.episode, wanted, other)

    def target(self, seen: NDArray[np.int64], links: Iterable[int]) -> NDArray[np.int64]:
        """Return weights for all links: the wanted ones for some, for the others what is there.

        What was down then and is down now has none, and gets 1: every weight of an order has to be valid.
        """
        weights = np.where(seen > 0, seen, self.wanted)
        some = list(links)
        weights[some] = self.wanted[some]
        return np.maximum(weights, 1)


def settle(episode: int, results: Iterable[Result]) -> Settlement | None:
    """Return what the results of an episode say about the costs; None if no commit was begun.

    One without steps was to restore costs: that is still to be done if it failed.
    """
    results = list(results)
    began = [result for result in results if result.began and result.live_weights and result.best_weights]
    if not began:
        return None
    committed = any(result.status == "committed" for result in results) or began[0].steps == 0
    old, new = (
        np.frombuffer(weights, dtype="<u2").astype(np.int64)
        for weights in (began[0].live_weights, began[0].best_weights)
    )
    return Settlement(episode, new, old) if committed else Settlement(episode, old, new)


class Guard:
    """Compares what the links carry after a commit with what was predicted.

    Parameters
    ----------
    topology : its capacities are those of the wire times `1 / scale`
    scale : bit/s on the wire for each bit/s of the topology
    predicted : MLU
    members : routers that report
    """

    def __init__(self, topology: Topology, scale: float, predicted: float, members: Iterable[str]) -> None:
        self.measured = 0.0  # MLU, by the last full set of reports
        self._topology = topology
        self._scale = scale
        self._limit = EXCESS * predicted
        self._members = set(members)
        self._reports: dict[str, float] = {}
        self._above_since: float | None = None

    def report(self, router: str, carried: list[float], now: float) -> bool:
        """Take one router's bit/s per link; return whether the commit is to be taken back."""
        out = self._topology.out_links(self._topology.nodes.index(router))
        if router not in self._members or len(carried) != out.stop - out.start:
            return False
        if router in self._reports:  # a new window has begun
            self._reports.clear()
        capacity = self._topology.capacity[out] * self._scale
        self._reports[router] = float(np.max(np.array(carried) / capacity))
        if self._reports.keys() != self._members:
            return False
        self.measured = max(self._reports.values())
        if self.measured <= self._limit:
            self._above_since = None
            return False
        self._above_since = now if self._above_since is None else self._above_since
        return now - self._above_since >= EXCESS_S


def committed_everywhere(results: Mapping[str, Result], members: Iterable[str]) -> bool:
    """Whether every member says that the new costs are live."""
    return all(name in results and results[name].status == "committed" for name in members)
