"""Brute force over middlepoints, from `RoutingState` alone: nothing of `baselines.segment_paths`."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from small_networks import small_network

from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

Segments = dict[tuple[int, int], tuple[int, ...]]


def few_demands(seed: int, nodes: int = 5, pairs: int = 7, keep: int = 4) -> tuple[Topology, TrafficMatrix]:
    """Return a small network with its `keep` largest demands only."""
    topology, traffic = small_network(seed, nodes, pairs)
    least = np.sort(traffic.demand.ravel())[-keep]
    return topology, TrafficMatrix(np.where(traffic.demand >= least, traffic.demand, 0.0))


def segments_mlu(topology: Topology, traffic: TrafficMatrix, weights: NDArray[np.int64], segments: Segments) -> float:
    """Return the MLU if every segment were a demand of its own."""
    demand = np.zeros_like(traffic.demand)
    for source, target in np.argwhere(traffic.demand).tolist():
        stops = [source, *segments.get((source, target), ()), target]
        for at, beyond in itertools.pairwise(stops):
            if at != beyond:
                demand[at, beyond] += traffic.demand[source, target]
    return RoutingState(topology, TrafficMatrix(demand), weights).mlu


def least_mlu(topology: Topology, traffic: TrafficMatrix, weights: NDArray[np.int64], most: int) -> float:
    """Return the lowest MLU of all assignments of up to `most` middlepoints to each demand."""
    nodes = topology.num_nodes
    unit = np.zeros((nodes, nodes, topology.num_links))
    for at, beyond in itertools.permutations(range(nodes), 2):
        one = np.zeros((nodes, nodes))
        one[at, beyond] = 1.0
        unit[at, beyond] = RoutingState(topology, TrafficMatrix(one), weights).utilization
    options = []
    for source, target in np.argwhere(traffic.demand).tolist():
        paths = [path for count in range(most + 1) for path in itertools.product(range(nodes), repeat=count)]
        uses = [sum(unit[at, beyond] for at, beyond in itertools.pairwise((source, *path, target))) for path in paths]
        options.append(np.unique(np.array(uses) * traffic.demand[source, target], axis=0))
    total = options[0]
    for uses in options[1:]:
        total = (total[:, None] + uses[None]).reshape(-1, topology.num_links)
    return float(total.max(axis=1).min())
