"""A commit in waves, on one router: what to set next, forward and back. The tree passes between them are `agent.run`'s.

The root finds the waves (`routing.transition`) and tells them with the outcome of PREPARE; each member checks that they
lead to the weights that it knows itself, so that wrong ones could at worst let packets loop for a moment. Forward, wave
k leads from the weights after wave k-1 to those after wave k. If one fails, the same way leads back, wave by wave. A
router that is left alone (somebody fell silent, nothing moves) sets all its old costs in one go.

Weights and links are the epoch's part's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.messages import MalformedFrame
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix
from routing.transition import Wave, find_gentle_waves


def plan_waves(
    topology: Topology,
    traffic: TrafficMatrix,
    live: NDArray[np.int64],
    best: NDArray[np.int64],
    *,
    ordered: bool,
    ecmp: bool = True,
) -> list[Wave]:
    """Return the waves from the live weights to the best, (L,) int64 each; one wave if they are not to be ordered."""
    if ordered:
        return find_gentle_waves(
            topology, live, best, lambda weights: RoutingState(topology, traffic, weights, ecmp=ecmp).mlu
        )
    changed = np.flatnonzero(live != best).tolist()
    return [Wave({link: int(best[link]) for link in changed}, best.copy())] if changed else []


def told_waves(changes: Sequence[Mapping[int, int]], live: NDArray[np.int64], best: NDArray[np.int64]) -> list[Wave]:
    """Return the waves of another's plan, link -> weight each, which have to lead from `live` to `best`, (L,) int64.

    Raises
    ------
    MalformedFrame : they do not, or not straight: a weight is not between those before it and in the end
    """
    waves: list[Wave] = []
    now = live
    for wave in changes:
        links, weights = np.array(list(wave)), np.array(list(wave.values()))
        if max(wave) >= len(live):
            raise MalformedFrame(f"a wave changes link {max(wave)} of {len(live)}")
        low, high = np.minimum(now[links], best[links]), np.maximum(now[links], best[links])
        if np.any((weights < low) | (weights > high) | (weights == now[links])):
            raise MalformedFrame("a wave leads away from the agreed weights")
        now = now.copy()
        now[links] = weights
        waves.append(Wave({link: int(weight) for link, weight in wave.items()}, now))
    if not np.array_equal(now, best):
        raise MalformedFrame("the waves do not lead to the agreed weights")
    return waves


class Commit:
    """Where a commit stands.

    Parameters
    ----------
    waves : at least one
    live : (L,) int64, weights before the first

    Attributes
    ----------
    back : on the way back
    """

    def __init__(self, waves: Sequence[Wave], live: NDArray[np.int64]) -> None:
        self._states = [live, *(wave.weights for wave in waves)]
        self._reached = 1  # number of the state that is being set
        self.back = False

    @property
    def last(self) -> bool:
        """The wave under way is the last one forward."""
        return not self.back and self._reached == len(self._states) - 1

    @property
    def live(self) -> NDArray[np.int64]:
        """(L,) the weights before the commit."""
        return self._states[0]

    @property
    def weights(self) -> NDArray[np.int64]:
        """(L,) the weights after the wave under way."""
        return self._states[self._reached]

    def advance(self) -> bool:
        """Go to the next wave in the present direction; return whether there is one."""
        step = -1 if self.back else 1
        if not 0 <= self._reached + step < len(self._states):
            return False
        self._reached += step
        return True

    def turn_back(self) -> None:
        """Take the wave under way back, which may be half done, and then those before it."""
        self.back = True
        self._reached -= 1

    def changes(self, links: NDArray[np.int32]) -> dict[int, int]:
        """Return what the wave under way changes of some links: link -> weight."""
        before = self._states[self._reached + 1 if self.back else self._reached - 1]
        return {int(link): int(self.weights[link]) for link in links if before[link] != self.weights[link]}

    def all_changes(self, links: NDArray[np.int32]) -> dict[int, int]:
        """Return the old weights of some links that the commit changes in any wave: link -> weight."""
        return {int(link): int(self.live[link]) for link in links if len(self.ours(int(link))) > 1}

    def ours(self, link: int) -> frozenset[int]:
        """Return the weights that the commit may have given a link, the old one included."""
        return frozenset(int(weights[link]) for weights in self._states)

    def given_up(self, seen: NDArray[np.int64]) -> list[int]:
        """Return the links that are not new any more: they have an earlier weight of this commit, by a LSDB (L,)."""
        return [
            int(link) for link in np.flatnonzero(seen != self._states[-1]) if int(seen[link]) in self.ours(int(link))
        ]

    def foreign(self, seen: NDArray[np.int64]) -> list[int]:
        """Return the links whose weight, by a LSDB (L,), is none of this commit: somebody else has set it."""
        lowest, highest = np.min(self._states, axis=0), np.max(self._states, axis=0)
        suspects = np.flatnonzero((seen < lowest) | (seen > highest) | ((seen != lowest) & (seen != highest)))
        return [int(link) for link in suspects if int(seen[link]) not in self.ours(int(link))]
