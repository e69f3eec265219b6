"""Shares that are kept up to date against shares that are computed when asked, after any history of changes."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def random_state(seed: int, ecmp: bool) -> RoutingState:
    """Return the state of a random connected network with small weights, so that ties abound."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 20))
    graph = nx.random_labeled_tree(nodes, seed=int(rng.integers(2**31)))
    for _ in range(int(rng.integers(0, 30))):
        a, b = rng.choice(nodes, 2, replace=False)
        graph.add_edge(int(a), int(b))
    links = [(a, b) for edge in graph.edges for a, b in (edge, edge[::-1])]
    topology = Topology.from_links("random", [f"n{i}" for i in range(nodes)], links, 1e9)
    demand = rng.exponential(1e8, (nodes, nodes)) * (rng.random((nodes, nodes)) < 0.7)
    np.fill_diagonal(demand, 0.0)
    weights = rng.integers(1, int(rng.integers(2, 9)), topology.num_links)
    return RoutingState(topology, TrafficMatrix(demand), weights, ecmp=ecmp)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ecmp=st.booleans())
def test_shares_kept_up_to_date_are_those_computed_anew(seed: int, ecmp: bool) -> None:
    tracked = random_state(seed, ecmp)
    plain = tracked.copy()
    tracked.track_shares()
    links = np.arange(tracked.topology.num_links, dtype=np.int32)
    rng = np.random.default_rng(seed)
    for number in range(25):
        link = int(rng.integers(len(links)))
        weight = int(rng.integers(1, 10)) if rng.random() < 0.3 else int(plain.weights[link]) + 1
        tracked.set_weight(link, weight)
        plain.set_weight(link, weight)
        assert tracked.shifted_shares(links).tobytes() == plain.shifted_shares(links).tobytes()
        if number == 12:
            tracked = tracked.copy()
    np.testing.assert_array_equal(tracked.flow, plain.flow)
    np.testing.assert_array_equal(tracked.distance, plain.distance)


def test_a_full_evaluation_keeps_tracking() -> None:
    state = random_state(3, True)
    state.track_shares()
    state.weights[0] += 1
    state.evaluate()
    links = np.arange(state.topology.num_links, dtype=np.int32)
    fresh = RoutingState(state.topology, state.traffic, state.weights)
    np.testing.assert_array_equal(state.shifted_shares(links), fresh.shifted_shares(links))
