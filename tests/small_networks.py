"""Small random networks on which every setting of the weights can be tried."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def small_network(seed: int, nodes: int, pairs: int) -> tuple[Topology, TrafficMatrix]:
    """Return a connected network of `pairs` links in both directions, and random demands (a fifth of them zero)."""
    rng = np.random.default_rng(seed)
    graph = nx.random_labeled_tree(nodes, seed=int(rng.integers(2**31)))
    while graph.number_of_edges() < pairs:
        a, b = rng.choice(nodes, 2, replace=False)
        graph.add_edge(int(a), int(b))
    links = [(a, b) for edge in graph.edges for a, b in (edge, edge[::-1])]
    capacity = rng.choice([1e9, 2.5e9, 1e10], len(links))
    demand = rng.exponential(2e8, (nodes, nodes)) * (rng.random((nodes, nodes)) < 0.8)
    np.fill_diagonal(demand, 0.0)
    topology = Topology.from_links(f"small-{seed}", [f"n{i}" for i in range(nodes)], links, capacity)
    return topology, TrafficMatrix(demand)


def least_mlu(topology: Topology, traffic: TrafficMatrix, top: int, *, ecmp: bool = True) -> float:
    """Return the lowest MLU of all settings of weights in 1..top, each evaluated."""
    state = RoutingState(topology, traffic, np.ones(topology.num_links, dtype=np.int64), ecmp=ecmp)
    best = state.mlu
    for weights in itertools.product(range(1, top + 1), repeat=topology.num_links):
        for link in np.flatnonzero(state.weights != np.array(weights)):
            state.set_weight(int(link), weights[link])
        best = min(best, state.mlu)
    return best


def ones(topology: Topology) -> NDArray[np.int64]:
    """All weights 1."""
    return np.ones(topology.num_links, dtype=np.int64)
