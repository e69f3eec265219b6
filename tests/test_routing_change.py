"""The kernels of weight changes against full evaluations: any change up or down, and back."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.change import change, undo
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def random_state(seed: int, top: int, ecmp: bool) -> RoutingState:
    """Return the state of a random connected network with weights 1..top; some demands are zero."""
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 16))
    graph = nx.random_labeled_tree(nodes, seed=int(rng.integers(2**31)))
    for _ in range(int(rng.integers(0, 24))):
        a, b = rng.choice(nodes, 2, replace=False)
        graph.add_edge(int(a), int(b))
    links = [(a, b) for edge in graph.edges for a, b in (edge, edge[::-1])]
    topology = Topology.from_links("random", [f"n{i}" for i in range(nodes)], links, 1e9)
    demand = rng.exponential(1e8, (nodes, nodes)) * (rng.random((nodes, nodes)) < 0.7)
    np.fill_diagonal(demand, 0.0)
    weights = rng.integers(1, top + 1, topology.num_links)
    return RoutingState(topology, TrafficMatrix(demand), weights, ecmp=ecmp)


def assert_same(state: RoutingState, other: RoutingState) -> None:
    for name in ("weights", "distance", "flow", "load"):
        np.testing.assert_array_equal(getattr(state, name), getattr(other, name), err_msg=name)


seeds = st.integers(0, 2**32 - 1)
tops = st.sampled_from([2, 5, 20, 65535])


@settings(max_examples=100)
@given(seed=seeds, top=tops, ecmp=st.booleans())
def test_any_change_equals_a_full_evaluation(seed: int, top: int, ecmp: bool) -> None:
    state = random_state(seed, top, ecmp)
    rng = np.random.default_rng(seed)
    for _ in range(12):
        state.set_weight(int(rng.integers(state.topology.num_links)), int(rng.integers(1, top + 1)))
        assert_same(state, RoutingState(state.topology, state.traffic, state.weights, ecmp=ecmp))


@settings(max_examples=100)
@given(seed=seeds, top=tops, ecmp=st.booleans())
def test_a_change_is_undone(seed: int, top: int, ecmp: bool) -> None:
    state = random_state(seed, top, ecmp)
    rng = np.random.default_rng(seed)
    places = state.distance.size
    log = (np.zeros(places, np.int64), np.zeros(places, np.int32), np.zeros(places, np.int64))
    nodes = state.topology.num_nodes
    scratch = (np.zeros((4, nodes), np.int32), np.zeros(nodes, np.int64), np.zeros(nodes, np.int8))
    heap = np.zeros(state.topology.num_links + nodes + 1, np.int64)
    graph = tuple(np.array(getattr(state.topology, name)) for name in ("out_ptr", "src", "dst", "in_ptr", "in_links"))
    for _ in range(12):
        before = state.copy()
        link, weight = int(rng.integers(state.topology.num_links)), int(rng.integers(1, top + 1))
        written = change(
            *graph, state.weights, state.destinations, state.distance, state.flow, state.load, ecmp,
            *scratch, heap, link, weight, *log,
        )  # fmt: skip
        assert_same(state, RoutingState(state.topology, state.traffic, state.weights, ecmp=ecmp))
        assert not scratch[1].any() and not scratch[2].any()
        if rng.random() < 0.7:
            undo(written, *log, state.distance, state.flow)
            state.weights[link] = before.weights[link]
            state.load[:] = before.load
            assert_same(state, before)
