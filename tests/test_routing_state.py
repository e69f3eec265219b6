"""The routing kernels against networkx, brute force and their own full evaluation."""

from __future__ import annotations

from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from routing.errors import InputError
from routing.state import RoutingState, checked_weights, inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def random_network(seed: int, nodes: int, extra: int) -> Topology:
    """Return a connected random network: a random tree and `extra` more links, capacities of three sizes."""
    rng = np.random.default_rng(seed)
    graph = nx.random_labeled_tree(nodes, seed=int(rng.integers(2**31)))
    for _ in range(extra):
        a, b = rng.choice(nodes, 2, replace=False)
        graph.add_edge(int(a), int(b))
    links = [(a, b) for edge in graph.edges for a, b in (edge, edge[::-1])]
    capacity = rng.choice([1e9, 2.5e9, 1e10], len(links))
    return Topology.from_links("random", tuple(f"n{i}" for i in range(nodes)), links, capacity)


def random_traffic(topology: Topology, seed: int) -> TrafficMatrix:
    rng = np.random.default_rng(seed)
    demand = rng.exponential(1e8, (topology.num_nodes, topology.num_nodes)) * (
        rng.random((topology.num_nodes,) * 2) < 0.8
    )
    np.fill_diagonal(demand, 0.0)
    return TrafficMatrix(demand, "random")


def oracle_loads(topology: Topology, traffic: TrafficMatrix, weights: NDArray[np.int64], ecmp: bool) -> list[Fraction]:
    """Split the fluid demands exactly over the shortest paths that networkx finds, bit/s."""
    graph = nx.DiGraph()
    for link in range(topology.num_links):
        graph.add_edge(int(topology.src[link]), int(topology.dst[link]), weight=int(weights[link]), link=link)
    loads = [Fraction(0)] * topology.num_links
    for destination in range(topology.num_nodes):
        distance = nx.shortest_path_length(graph, target=destination, weight="weight")
        flow = [Fraction(traffic.demand[node, destination]) for node in range(topology.num_nodes)]
        for node in sorted(distance, key=lambda v: -distance[v]):
            if node == destination:
                continue
            hops = [
                (data["link"], head)
                for _, head, data in graph.out_edges(node, data=True)
                if data["weight"] + distance[head] == distance[node]
            ]
            hops = sorted(hops) if ecmp else sorted(hops)[:1]
            for link, head in hops:
                loads[link] += flow[node] / len(hops)
                flow[head] += flow[node] / len(hops)
    return loads


networks = st.builds(random_network, seed=st.integers(0, 2**32 - 1), nodes=st.integers(2, 14), extra=st.integers(0, 20))


@settings(max_examples=60, deadline=None)
@given(topology=networks, seed=st.integers(0, 2**32 - 1), ecmp=st.booleans(), top=st.sampled_from([1, 2, 4, 100]))
def test_loads_agree_with_networkx(topology: Topology, seed: int, ecmp: bool, top: int) -> None:
    weights = np.random.default_rng(seed).integers(1, top + 1, topology.num_links)
    traffic = random_traffic(topology, seed)
    state = RoutingState(topology, traffic, weights, ecmp=ecmp)
    expected = np.array([float(load) for load in oracle_loads(topology, traffic, weights, ecmp)])
    np.testing.assert_allclose(state.load_bps, expected, rtol=1e-12, atol=1e-3)
    np.testing.assert_allclose(state.utilization, state.load_bps / topology.capacity, rtol=1e-15)
    assert state.mlu == state.utilization.max()


def assert_same_bits(state: RoutingState, fresh: RoutingState) -> None:
    assert np.array_equal(state.weights, fresh.weights)
    assert np.array_equal(state.distance, fresh.distance)
    assert np.array_equal(state.flow, fresh.flow)
    assert np.array_equal(state.load, fresh.load)
    assert state.utilization.tobytes() == fresh.utilization.tobytes()


@settings(max_examples=80, deadline=None)
@given(topology=networks, seed=st.integers(0, 2**32 - 1), ecmp=st.booleans(), data=st.data())
def test_any_history_equals_a_full_evaluation(topology: Topology, seed: int, ecmp: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    traffic = random_traffic(topology, seed)
    state = RoutingState(topology, traffic, rng.integers(1, 5, topology.num_links), ecmp=ecmp)
    for _ in range(data.draw(st.integers(1, 30))):
        link = int(rng.integers(topology.num_links))
        if rng.random() < 0.8:
            state.increment(link)
        else:
            state.set_weight(link, int(rng.integers(1, 8)))
        assert_same_bits(state, RoutingState(topology, traffic, state.weights, ecmp=ecmp))


@settings(max_examples=60, deadline=None)
@given(topology=networks, seed=st.integers(0, 2**32 - 1))
def test_flow_is_conserved_to_the_quantum(topology: Topology, seed: int) -> None:
    state = RoutingState(topology, random_traffic(topology, seed), np.ones(topology.num_links, dtype=np.int64))
    arrived = [state.flow[row, node] for row, node in enumerate(state.destinations)]
    assert arrived == [int(demand.sum()) for demand in state.demand]


@settings(max_examples=30, deadline=None)
@given(topology=networks, seed=st.integers(0, 2**32 - 1))
def test_loads_of_destinations_add_up(topology: Topology, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 5, topology.num_links)
    traffic = random_traffic(topology, seed)
    rows = np.array_split(rng.permutation(topology.num_nodes).astype(np.int32), 2)
    parts = [RoutingState(topology, traffic, weights, destinations=part) for part in rows]
    link = int(rng.integers(topology.num_links))
    for part in parts:
        part.increment(link)
    weights[link] += 1
    assert np.array_equal(parts[0].load + parts[1].load, RoutingState(topology, traffic, weights).load)


@settings(max_examples=40, deadline=None)
@given(topology=networks, seed=st.integers(0, 2**32 - 1), ecmp=st.booleans())
def test_shifted_shares_are_what_leaves_the_link_when_nothing_else_changes(
    topology: Topology, seed: int, ecmp: bool
) -> None:
    """Against brute force: keep the flows, and split the tail's own again with the link one longer."""
    rng = np.random.default_rng(seed)
    state = RoutingState(topology, random_traffic(topology, seed), rng.integers(1, 4, topology.num_links), ecmp=ecmp)
    shares = state.shifted_shares(np.arange(topology.num_links, dtype=np.int32))
    for link in range(topology.num_links):
        tail = int(topology.src[link])
        moved = 0
        for row in range(topology.num_nodes):
            if row != tail:
                moved += _part(state, row, tail, link, state.weights) - _part(
                    state, row, tail, link, _longer(state.weights, link)
                )
        assert shares[link] == (moved / int(state.load[link]) if state.load[link] else 0.0)


def _longer(weights: NDArray[np.int64], link: int) -> NDArray[np.int64]:
    longer = weights.copy()
    longer[link] += 1
    return longer


def _part(state: RoutingState, row: int, tail: int, link: int, weights: NDArray[np.int64]) -> int:
    """Return the quanta of one row that `tail` puts on `link` if its neighbours' distances stay as they are."""
    outward = range(*state.topology.out_links(tail).indices(state.topology.num_links))
    length = {out: int(weights[out]) + int(state.distance[row, state.topology.dst[out]]) for out in outward}
    hops = [out for out in outward if length[out] == min(length.values())]
    if not state.ecmp:
        hops = hops[:1]
    if link not in hops:
        return 0
    share, rest = divmod(int(state.flow[row, tail]), len(hops))
    return share + (hops.index(link) < rest)


def test_copies_are_independent() -> None:
    topology = random_network(1, 8, 8)
    state = RoutingState(topology, random_traffic(topology, 1), np.ones(topology.num_links, dtype=np.int64))
    twin = state.copy()
    twin.increment(0)
    assert_same_bits(state, RoutingState(topology, state.traffic, np.ones(topology.num_links, dtype=np.int64)))
    assert twin.weights[0] == 2


def test_next_hops_are_the_links_that_carry_a_destination() -> None:
    square = Topology.from_links(
        "square",
        ("a", "b", "c", "d"),
        [(a, b) for a, b in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)]],
        np.full(8, 1e9),
    )
    demand = np.zeros((4, 4))
    demand[0, 3] = 3.0
    both = RoutingState(square, TrafficMatrix(demand, "one"), np.ones(8, dtype=np.int64))
    names = [square.link_name(link) for link in np.flatnonzero(both.next_hops(3))]
    assert names == ["a->b", "a->c", "b->d", "c->d"]
    one = RoutingState(square, TrafficMatrix(demand, "one"), np.ones(8, dtype=np.int64), ecmp=False)
    assert [square.link_name(link) for link in np.flatnonzero(one.next_hops(3))] == ["a->b", "b->d", "c->d"]
    assert one.load_bps[square.link_index(0, 1)] == 3.0


def test_weights_are_checked() -> None:
    topology = random_network(3, 4, 0)
    good = np.ones(topology.num_links, dtype=np.int64)
    for wrong in (0, 65536, -1):
        bad = good.copy()
        bad[2] = wrong
        with pytest.raises(InputError, match=topology.link_name(2)):
            checked_weights(topology, bad)
    with pytest.raises(InputError, match="one for each link"):
        checked_weights(topology, good[:-1])
    with pytest.raises(InputError, match="whole"):
        checked_weights(topology, good + 0.5)
    state = RoutingState(topology, random_traffic(topology, 0), np.full(topology.num_links, 65535))
    with pytest.raises(ValueError, match="65535"):
        state.increment(0)


def test_inverse_capacity_is_exactly_proportional() -> None:
    capacity = np.array([1e10, 4e10, 2.5e10, 1e10])
    line = Topology.from_links("line", ("a", "b", "c"), [(0, 1), (1, 0), (1, 2), (2, 1)], capacity)
    weights = inverse_capacity(line)
    assert len(set((weights * line.capacity).tolist())) == 1
    assert weights.max() == 20
