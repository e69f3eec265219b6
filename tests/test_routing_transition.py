"""Orders of changes, against brute force: whatever each router has heard of a wave, no packet can loop."""

from itertools import chain, combinations, pairwise, product
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray
from policy_networks import random_topology

from routing import transition
from routing.formats import load_topology
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import uniform
from routing.transition import MAX_WORK, Wave, find_gentle_waves, find_waves, is_safe

Weights = NDArray[np.int64]


def next_hops(topology: Topology, weights: Weights, destination: int) -> dict[int, list[int]]:
    """Each router's next hops toward a destination, by networkx."""
    graph = nx.DiGraph()
    for link in range(topology.num_links):
        graph.add_edge(int(topology.src[link]), int(topology.dst[link]), weight=int(weights[link]))
    far = nx.single_source_dijkstra_path_length(graph.reverse(), destination)
    return {
        node: [peer for peer in graph.successors(node) if graph[node][peer]["weight"] + far[peer] == far[node]]
        for node in graph
    }


def mixtures(before: Weights, after: Weights) -> list[Weights]:
    """The weights that a router may believe in: every subset of the changes."""
    changed = np.flatnonzero(before != after).tolist()
    subsets = chain.from_iterable(combinations(changed, size) for size in range(len(changed) + 1))
    found = []
    for subset in subsets:
        weights = before.copy()
        weights[list(subset)] = after[list(subset)]
        found.append(weights)
    return found


def loops_by_router(topology: Topology, before: Weights, after: Weights) -> bool:
    """Try every assignment of a belief to each router, and follow all next hops."""
    believed = mixtures(before, after)
    for destination in range(topology.num_nodes):
        tables = [next_hops(topology, weights, destination) for weights in believed]
        for beliefs in product(range(len(believed)), repeat=topology.num_nodes):
            edges = [(node, peer) for node, belief in enumerate(beliefs) for peer in tables[belief][node]]
            if not nx.is_directed_acyclic_graph(nx.DiGraph(edges)):
                return True
    return False


def loops_in_union(topology: Topology, before: Weights, after: Weights) -> bool:
    """Put the next hops under all beliefs together."""
    believed = mixtures(before, after)
    for destination in range(topology.num_nodes):
        edges = {
            (node, peer)
            for weights in believed
            for node, peers in next_hops(topology, weights, destination).items()
            for peer in peers
        }
        if not nx.is_directed_acyclic_graph(nx.DiGraph(list(edges))):
            return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_safe_is_what_every_assignment_of_beliefs_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    topology = random_topology(4, 2, seed)
    before = random.integers(1, 6, topology.num_links)
    after = before.copy()
    changed = random.choice(topology.num_links, 2, replace=False)
    after[changed] = random.integers(1, 12, 2)
    loops = loops_by_router(topology, before, after)
    assert loops == loops_in_union(topology, before, after)
    assert is_safe(topology, before, after) is not loops


@pytest.mark.parametrize("seed", range(40))
def test_safe_is_what_all_subsets_say(seed: int) -> None:
    random = np.random.default_rng(100 + seed)
    topology = random_topology(int(random.integers(5, 9)), int(random.integers(0, 7)), seed)
    before = random.integers(1, 8, topology.num_links)
    after = before.copy()
    changed = random.choice(topology.num_links, int(random.integers(1, 6)), replace=False)
    after[changed] = random.integers(1, 20, len(changed))
    assert is_safe(topology, before, after) is not loops_in_union(topology, before, after)


@pytest.mark.parametrize("seed", range(15))
def test_waves_lead_to_the_end_and_none_of_them_loops(seed: int) -> None:
    random = np.random.default_rng(200 + seed)
    topology = random_topology(int(random.integers(5, 9)), int(random.integers(0, 7)), seed)
    before, after = random.integers(1, 9, (2, topology.num_links))
    now = before
    for wave in find_waves(topology, before, after):
        assert wave.changes == {int(link): int(wave.weights[link]) for link in np.flatnonzero(wave.weights != now)}
        # Each weight goes towards its end, so there is one.
        assert np.all(np.abs(after - wave.weights) <= np.abs(after - now))
        assert len(wave.changes) > 0
        if len(wave.changes) <= 8:
            assert not loops_in_union(topology, now, wave.weights)
        now = wave.weights
    np.testing.assert_array_equal(now, after)


def test_large_waves_do_not_loop_in_random_mixtures() -> None:
    topology = load_topology("gbn")
    random = np.random.default_rng(7)
    before, after = inverse_capacity(topology), random.integers(1, 40, topology.num_links)
    now = before
    for wave in find_waves(topology, before, after):
        links = np.array(list(wave.changes))
        believed = []
        for _ in range(10):
            weights = now.copy()
            some = links[random.random(len(links)) < random.random()]
            weights[some] = wave.weights[some]
            believed.append(weights)
        for destination in range(topology.num_nodes):
            tables = [next_hops(topology, weights, destination) for weights in [now, wave.weights, *believed]]
            edges = {(node, peer) for table in tables for node, peers in table.items() for peer in peers}
            assert nx.is_directed_acyclic_graph(nx.DiGraph(list(edges)))
        now = wave.weights
    np.testing.assert_array_equal(now, after)


def test_the_order_matters() -> None:
    """Three routers on a line and a detour: raising the middle link at once makes its ends point at each other."""
    square = Topology.from_links(
        "square", ["a", "b", "c", "d"], [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)], 1e9
    )
    before = np.ones(8, dtype=np.int64)
    after = before.copy()
    after[square.link_index(1, 2)] = 50
    assert not is_safe(square, before, after)
    assert loops_in_union(square, before, after)
    waves = find_waves(square, before, after)
    assert len(waves) > 1
    back = find_waves(square, after, before)
    np.testing.assert_array_equal(back[-1].weights, before)


def test_gentle_waves_load_no_more_than_others_and_end_where_they_should() -> None:
    topology = load_topology("gbn")
    traffic = uniform(topology, 1)

    def mlu(weights: Weights) -> float:
        return RoutingState(topology, traffic, weights).mlu

    def peak(waves: list[Wave]) -> float:
        return max(mlu(wave.weights) for wave in waves)

    gentler = 0
    for seed in range(5):
        before, after = np.random.default_rng(seed).integers(1, 21, topology.num_links), inverse_capacity(topology)
        ends = max(mlu(before), mlu(after))
        gentle, first = find_gentle_waves(topology, before, after, mlu), find_waves(topology, before, after)
        np.testing.assert_array_equal(gentle[-1].weights, after)
        ranks = [(max(ends, peak(waves)), len(waves)) for waves in (gentle, first)]
        assert ranks[0] <= ranks[1]
        gentler += ranks[0][0] < ranks[1][0]
        now = before
        for wave in gentle:
            assert is_safe(topology, now, wave.weights)
            now = wave.weights
    assert gentler > 0
    assert find_gentle_waves(topology, before, before.copy(), mlu) == []


def test_a_plan_that_takes_too_long_ends_with_all_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of fifty nodes may need hundreds of waves; its root would be taken for dead meanwhile."""
    topology = random_topology(39, 47, 5)
    before = inverse_capacity(topology)
    after = np.random.default_rng(3).integers(1, 20, topology.num_links)
    checks = 0

    def counted(*arguments: Any) -> bool:
        nonlocal checks
        checks += 1
        return is_safe(*arguments)

    monkeypatch.setattr(transition, "is_safe", counted)
    waves = find_gentle_waves(topology, before, after, lambda weights: 1.0)
    size = topology.num_nodes * topology.num_links
    # The budget is looked at between waves: over by no more than one, and what finds a part of one change.
    assert MAX_WORK // size < checks < MAX_WORK // size + 7 * topology.num_links
    for former, wave in pairwise([before, *(wave.weights for wave in waves)]):
        assert (wave != former).any()
    for former, wave in pairwise([before, *(wave.weights for wave in waves[:-1])]):
        assert is_safe(topology, former, wave)
    assert not is_safe(topology, waves[-2].weights, after)
    np.testing.assert_array_equal(waves[-1].weights, after)


def test_nothing_to_do() -> None:
    topology = load_topology("nsfnet")
    weights = inverse_capacity(topology)
    assert find_waves(topology, weights, weights.copy()) == []
