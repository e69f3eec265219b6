"""The bar that has no messages: every router runs the same seeded local search by itself.

All routers know topology, weights and traffic matrix; a search with a budget of steps gives the same weights bit for
bit on every machine. So each can compute its own links' new costs without exchanging one byte, and this is what an
exchange of messages has to beat: by sharing the computing, by working without the whole traffic matrix, or on networks
too large for one router.

The routers must agree on the number of steps beforehand: clocks differ. `agreed_steps` turns a time into one by the
network's size alone, so that all find the same number without asking, however busy or slow their processors are.

With ``diverse=True`` each router searches from a seed of its own, and one pass over a spanning tree (up: the least
(MLU, router); down: the winner) tells all whose seed to search again: N searches for the time of two, and 2 (N - 1)
messages of 12 bytes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from baselines.local_search import local_search
from baselines.result import Budget, Result
from routing.topology import Topology
from routing.traffic import TrafficMatrix

# Seconds per step of `local_search` on one core of an AMD EPYC (Zen 4), fitted to twelve networks of 14 to 1000 nodes
# (within 30 %): two costs, since a change touches some rows of all N, and some nodes of each.
_PER_ROOT, _PER_PLACE = 120e-9, 0.4e-9


def agreed_steps(topology: Topology, seconds: float) -> int:
    """Return about how many steps of the search a present-day core takes in `seconds`: a fixed number, no measurement.

    A step is taken to last ``120 ns sqrt(N L) + 0.4 ns N L``. On a slower or busier machine the search lasts longer.
    """
    places = topology.num_nodes * topology.num_links
    return max(1, int(seconds / (_PER_ROOT * math.sqrt(places) + _PER_PLACE * places)))


def replicated(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    diverse: bool = False,
    ecmp: bool = True,
) -> Result:
    """Return what every router computes, with the time that one router takes.

    Parameters
    ----------
    budget : steps of each router's search; seconds alone are turned into steps by `agreed_steps` first, and no clock
        is looked at
    diverse : each router has the seed ``seed + its index``; here they run one after the other, and `seconds` and
        `trace` are those of the winner, its second search included

    Raises
    ------
    InputError : the traffic or the weights do not fit the topology
    ValueError : the budget has no end
    """
    budget.require_end()
    steps = budget.steps
    if steps is None:
        steps = agreed_steps(topology, budget.nominal_seconds or 0.0)
    if not diverse:
        return local_search(topology, traffic, weights, Budget(steps=steps), seed=seed, ecmp=ecmp)
    results = [
        local_search(topology, traffic, weights, Budget(steps=steps // 2), seed=(seed + router) % 2**64, ecmp=ecmp)
        for router in range(topology.num_nodes)
    ]
    winner = results[int(np.argmin([result.mlu for result in results]))]
    return replace(winner, seconds=2 * winner.seconds, evaluations=sum(result.evaluations for result in results))
