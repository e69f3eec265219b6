"""Shortest available path against networkx' paths, a network done by hand, and the bound."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import ones, small_network

from baselines.optimum import optimum
from baselines.result import Budget
from baselines.sap import k_shortest, sap
from routing.errors import InputError
from routing.topology import Topology
from routing.traffic import TrafficMatrix


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(0, 8), st.integers(1, 7))
def test_the_shortest_paths_in_order(seed: int, nodes: int, more: int, wanted: int) -> None:
    topology, _ = small_network(seed, nodes, min(nodes - 1 + more, nodes * (nodes - 1) // 2))
    graph = nx.DiGraph(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
    for source, target in itertools.permutations(range(nodes), 2):
        paths, lengths = np.zeros((wanted, nodes), dtype=np.int32), np.zeros(wanted, dtype=np.int32)
        count = k_shortest(source, target, np.array(topology.out_ptr), np.array(topology.dst), paths, lengths)
        every = sorted(nx.all_simple_paths(graph, source, target), key=lambda path: (len(path), path))
        assert [paths[i, : lengths[i]].tolist() for i in range(count)] == every[:wanted]


def diamond() -> Topology:
    """A network 0 - {1, 2} - 3 whose upper way has 10 and whose lower way has 6 bit/s."""
    links = [(0, 1), (1, 3), (0, 2), (2, 3)]
    both = links + [link[::-1] for link in links]
    return Topology.from_links("diamond", list("abcd"), both, [10.0, 10.0, 6.0, 6.0] * 2)


def test_the_largest_demand_comes_first_and_takes_what_has_room() -> None:
    demand = np.zeros((4, 4))
    demand[0, 3], demand[0, 1], demand[1, 3] = 7.0, 5.0, 4.0
    result = sap(diamond(), TrafficMatrix(demand), np.ones(8), Budget())
    # 7 over node 1; then 5 from 0 to 1: directly there is room for 3, around for 6; then 4 from 1 to 3: directly there
    # is room for 3, around (over 0->2) only for 1.
    assert result.segments == {(0, 3): (1,), (0, 1): (2, 3)}
    assert result.mlu == pytest.approx(11 / 10)
    assert result.weights is None


def test_without_room_it_is_the_path_with_most_left() -> None:
    demand = np.zeros((4, 4))
    demand[0, 3] = 20.0
    assert sap(diamond(), TrafficMatrix(demand), np.ones(8), Budget()).segments == {(0, 3): (1,)}


def test_most_room_goes_around_before_it_must() -> None:
    demand = np.zeros((4, 4))
    demand[0, 1], demand[0, 3] = 5.0, 4.0
    assert sap(diamond(), TrafficMatrix(demand), np.ones(8), Budget()).segments == {(0, 3): (1,)}
    assert sap(diamond(), TrafficMatrix(demand), np.ones(8), Budget(), most_room=True).segments == {(0, 3): (2,)}


@pytest.mark.parametrize("most_room", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_its_paths_have_its_mlu_and_pass_no_bound(seed: int, most_room: bool) -> None:
    topology, traffic = small_network(seed, 9, 15)
    result = sap(topology, traffic, ones(topology), Budget(), most_room=most_room)
    load = np.zeros(topology.num_links)
    for source, target in np.argwhere(traffic.demand).tolist():
        for hop in itertools.pairwise((source, *result.segments.get((source, target), ()), target)):
            load[topology.link_index(*hop)] += traffic.demand[source, target]
    assert result.mlu == pytest.approx(float((load / topology.capacity).max()))
    assert result.mlu >= optimum(topology, traffic, ones(topology), Budget()).mlu * (1 - 1e-9)


def test_senseless_input_is_refused() -> None:
    topology, traffic = small_network(0, 4, 4)
    with pytest.raises(ValueError, match="at least 1"):
        sap(topology, traffic, ones(topology), Budget(), paths=0)
    with pytest.raises(InputError, match="nodes"):
        sap(topology, TrafficMatrix(np.zeros((3, 3))), ones(topology), Budget())
    assert sap(topology, TrafficMatrix(np.zeros((4, 4))), ones(topology), Budget()).mlu == 0.0
