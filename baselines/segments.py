"""Local search over up to two middlepoints per demand, every segment over equal-cost shortest paths.

After S. Gay, R. Hartert and S. Vissicchio, "Expect the unexpected: sub-second optimization for segment routing"
(INFOCOM 2017), whose search, SRLS, takes a demand from the most utilised link and gives it another path of node
segments. Here the demand gets the cheapest of all its paths with one middlepoint and of those that change one of its
two, the cost of a link growing with the 128th power of its utilization, and a change for the worse is accepted by
Metropolis' rule at a fixed temperature, so that the search does not stick where two links are equally full.

Where a few large demands rule, they have to change places through links that are far from full, which a search that
only looks at the fullest links never lets them do. So the first half of the budget goes to `baselines.annealing`,
which moves any demand to any one middlepoint, and the search goes on from its best assignment. (Annealing with two
middlepoints fills the network with detours and ends higher.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from baselines.annealing import TEMPERATURE, anneal
from baselines.chance import exponential_table
from baselines.result import Budget, Result, Trace
from baselines.segment_paths import Middle, PairShares, as_segments, no_middlepoints, pair_shares
from baselines.segment_search import BEST, DOUBLINGS, LEVEL, TRIED, enrol, search
from routing.ecmp import Float64
from routing.errors import InputError
from routing.topology import Topology
from routing.traffic import TrafficMatrix

# Of the index, 8 bytes each. Where all demands of all links would be more, only the largest demands move.
_INDEX = 2**25
_CHECK = 0.01  # seconds between two looks at the clock
_ANNEALED = 0.5  # of a budget of seconds


class SegmentSearch:
    """A search under way: which demand takes which middlepoints, and the best assignment so far.

    Parameters
    ----------
    shares : the paths between all pairs under the given weights
    traffic : the demands
    middle : (N, N, 2), the middlepoints to begin with, -1 for none
    seed : 0..2**64-1
    temperature : of changes for the worse; the unit is what the most utilised link costs
    """

    def __init__(
        self, shares: PairShares, traffic: TrafficMatrix, middle: Middle, seed: int, temperature: float
    ) -> None:
        topology = shares.topology
        nodes, links = topology.num_nodes, topology.num_links
        self.traffic = traffic
        self.shares = shares
        sources, targets = np.nonzero(traffic.demand)
        volume = traffic.demand[sources, targets]
        largest = np.sort(np.argsort(-volume, kind="stable")[: max(1, _INDEX // links)])
        self._source, self._target = sources[largest].astype(np.int32), targets[largest].astype(np.int32)
        self._start = middle
        self._best: Middle = np.ascontiguousarray(middle[self._source, self._target])
        present = self._best.copy()
        use: Float64 = shares.loads(traffic.demand, middle) / topology.capacity
        level = max(float(use.max()), np.finfo(np.float64).tiny)
        member, where = (np.full((links, len(largest)), -1, dtype=np.int32) for _ in range(2))
        count = np.zeros(links, dtype=np.int32)
        for demand, (first, second) in enumerate(present.tolist()):
            source, target = int(self._source[demand]), int(self._target[demand])
            enrol(demand, source, first, second, target, nodes, shares.ptr, shares.link, member, count, where, True)
        cost = use / level
        for _ in range(DOUBLINGS):  # not `**`, which differs in its last bits between CPUs
            cost *= cost
        self._state = np.zeros(3)
        self._state[BEST] = self._state[LEVEL] = level
        self._arguments = (
            self._state,
            np.array([seed], dtype=np.uint64),
            exponential_table(),
            temperature,
            nodes,
            shares.ptr,
            shares.link,
            shares.share / topology.capacity[shares.link],
            self._source,
            self._target,
            volume[largest],
            present,
            self._best,
            use,
            cost,
            np.zeros(6 * links, dtype=np.int32),
            np.zeros(6 * links),
            np.zeros(6 * links),
            member,
            count,
            where,
        )

    def run(self, steps: int) -> bool:
        """Consider `steps` demands; return whether the best assignment has changed."""
        before = self._state[BEST]
        search(steps, *self._arguments)
        return bool(self._state[BEST] < before)

    @property
    def tried(self) -> int:
        """How many paths were tried so far."""
        return int(self._state[TRIED])

    @property
    def middle(self) -> Middle:
        """The best assignment so far, (N, N, 2), -1 for none."""
        middle = self._start.copy()
        middle[self._source, self._target] = self._best
        return middle


def segments(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    temperature: float = 0.5,
) -> Result:
    """Search for middlepoints of the demands over the shortest paths of `weights`, which stay as they are.

    Parameters
    ----------
    topology, traffic, weights, seed : see `baselines.result`
    budget : a step takes one demand off a hot link, tries about 3 N paths and puts it on one; a budget of steps pays
        for 3 N tries of annealing with each
    temperature : how readily a demand takes a dearer path; 0 only accepts cheaper ones

    Raises
    ------
    InputError : traffic matrix or weights do not fit the topology
    ValueError : the budget has no end
    """
    budget.require_end()
    trace = Trace()
    if traffic.num_nodes != topology.num_nodes:
        raise InputError(f"traffic matrix of {traffic.num_nodes} nodes, {topology.name} has {topology.num_nodes}")
    shares = pair_shares(topology, weights)
    each = None if budget.steps is None else 3 * budget.steps * topology.num_nodes
    through, tried = anneal(shares, traffic, budget.part(_ANNEALED, each), trace, seed, TEMPERATURE)
    middle = np.concatenate([through, no_middlepoints(topology.num_nodes, 1)], axis=2)
    steps = 0
    if trace.best > 0.0:
        under_way = SegmentSearch(shares, traffic, middle, seed, temperature)
        chunk = 16
        while not trace.exhausted(budget, steps):
            chunk = chunk if budget.steps is None else min(chunk, budget.steps - steps)
            started = trace.seconds
            if under_way.run(chunk) and trace.record(shares.mlu(traffic, under_way.middle)):
                middle = under_way.middle
            steps += chunk
            # How far the search gets per call changes nothing but how often the clock is read.
            chunk = max(1, min(2 * chunk, int(chunk * _CHECK / max(trace.seconds - started, 1e-6))))
        tried += under_way.tried
    return Result(
        mlu=trace.best,
        evaluations=tried,
        seconds=trace.seconds,
        trace=trace.entries,
        weights=shares.weights,
        segments=as_segments(middle),
    )
