"""OSPF as it comes: one setting of the weights, evaluated. Nothing is searched, so budget and seed do not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from baselines.result import Budget, Result, Trace
from routing.state import RoutingState
from routing.state import inverse_capacity as default_weights
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def given(
    topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, budget: Budget, *, seed: int = 0, ecmp: bool = True
) -> Result:
    """Route over the given weights; without `ecmp` each router uses the first of its equal-cost next hops.

    Raises
    ------
    InputError : the traffic or the weights do not fit the topology
    """
    trace = Trace()
    state = RoutingState(topology, traffic, weights, ecmp=ecmp)
    trace.record(state.mlu)
    return Result(state.mlu, 1, trace.seconds, trace.entries, state.weights)


def unit(
    topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, budget: Budget, *, seed: int = 0, ecmp: bool = True
) -> Result:
    """Route over paths of fewest hops: all weights are 1, `weights` is ignored."""
    return given(topology, traffic, np.ones(topology.num_links, dtype=np.int64), budget, seed=seed, ecmp=ecmp)


def inverse_capacity(
    topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, budget: Budget, *, seed: int = 0, ecmp: bool = True
) -> Result:
    """Route over weights exactly proportional to 1/capacity, as FRR's auto-cost with a large enough reference."""
    return given(topology, traffic, default_weights(topology), budget, seed=seed, ecmp=ecmp)
