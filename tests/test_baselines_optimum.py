"""The multicommodity-flow optimum against scipy on another formulation, maximum flows, and the published bound."""

from __future__ import annotations

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import CELLS, DATA, Cell
from scipy.optimize import linprog
from small_networks import ones, small_network

from baselines.optimum import certified_bound, distances, optimum, solve
from baselines.result import Budget
from routing.errors import InputError
from routing.generate import synthetic
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform


def by_demand(topology: Topology, traffic: TrafficMatrix) -> float:
    """The same linear program with one flow per demand, not per destination."""
    links = topology.num_links
    demands = np.argwhere(traffic.demand).tolist()
    incidence = np.zeros((topology.num_nodes, links))
    incidence[topology.src, np.arange(links)] = 1.0
    incidence[topology.dst, np.arange(links)] -= 1.0
    balance = np.zeros((len(demands), topology.num_nodes))
    for row, (source, target) in enumerate(demands):
        balance[row, source] = traffic.demand[source, target] / 1e9
        balance[row, target] = -balance[row, source]
    conserve = np.hstack([np.kron(np.eye(len(demands)), incidence), np.zeros((balance.size, 1))])
    capacity = np.hstack([np.tile(np.eye(links), len(demands)), -topology.capacity[:, None] / 1e9])
    cost = np.append(np.zeros(len(demands) * links), 1.0)
    answer = linprog(cost, A_ub=capacity, b_ub=np.zeros(links), A_eq=conserve, b_eq=balance.ravel())
    assert answer.success
    return float(answer.fun)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(0, 4))
def test_it_is_the_optimum(seed: int, nodes: int, more: int) -> None:
    topology, traffic = small_network(seed, nodes, min(nodes - 1 + more, nodes * (nodes - 1) // 2))
    flow = solve(topology, traffic)
    if traffic.demand.any():
        assert flow.mlu == pytest.approx(by_demand(topology, traffic), rel=1e-7)
    assert flow.bound <= flow.mlu * (1 + 1e-9)
    assert flow.bound == pytest.approx(flow.mlu, rel=1e-9)
    assert flow.bound <= RoutingState(topology, traffic, ones(topology)).mlu * (1 + 1e-9)


def test_one_demand_is_a_maximum_flow() -> None:
    for seed in range(5):
        topology, _ = small_network(seed, 8, 14)
        demand = np.zeros((8, 8))
        demand[0, 7] = 3e9
        graph = nx.DiGraph()
        for link in range(topology.num_links):
            graph.add_edge(int(topology.src[link]), int(topology.dst[link]), capacity=float(topology.capacity[link]))
        most = nx.maximum_flow_value(graph, 0, 7)
        assert solve(topology, TrafficMatrix(demand)).mlu == pytest.approx(3e9 / most, rel=1e-9)


@pytest.mark.parametrize("solver", ["simplex", "ipm"])
def test_flow_and_certificate_stand_on_their_own(solver: str) -> None:
    topology, traffic = small_network(5, 9, 16)
    flow = solve(topology, traffic, solver=solver)
    for destination in range(9):
        for node in set(range(9)) - {destination}:
            out = flow.flow[destination][topology.out_links(node)].sum()
            into = flow.flow[destination][topology.incoming(node)].sum()
            assert out - into == pytest.approx(traffic.demand[node, destination], abs=10.0)
    assert (flow.flow.sum(axis=0) <= flow.mlu * topology.capacity * (1 + 1e-9)).all()
    graph = nx.DiGraph()
    for link in range(topology.num_links):
        graph.add_edge(int(topology.src[link]), int(topology.dst[link]), weight=float(flow.lengths[link]))
    needed = sum(
        traffic.demand[source, target] * length
        for source, lengths in nx.all_pairs_dijkstra_path_length(graph)
        for target, length in lengths.items()
    )
    assert float((flow.lengths * topology.capacity).sum()) == pytest.approx(1.0)
    assert flow.bound == pytest.approx(needed, rel=1e-9)


def test_binding_links_are_those_that_matter() -> None:
    topology, traffic = small_network(11, 8, 13)
    flow = solve(topology, traffic)
    full = flow.flow.sum(axis=0) / topology.capacity
    assert len(flow.binding) > 0
    assert full[flow.binding] == pytest.approx(flow.mlu, rel=1e-6)
    links = np.column_stack([topology.src, topology.dst])
    more = topology.capacity.copy()
    more[flow.binding] *= 1.01
    relieved = solve(Topology.from_links("more", topology.nodes, links, more), traffic)
    assert relieved.mlu < flow.mlu * (1 - 1e-6)
    others = topology.capacity * 1.01
    others[flow.binding] = topology.capacity[flow.binding]
    assert solve(Topology.from_links("others", topology.nodes, links, others), traffic).mlu == pytest.approx(flow.mlu)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_any_lengths_give_a_bound(seed: int) -> None:
    topology, traffic = small_network(seed, 6, 9)
    lengths = np.random.default_rng(seed).random(topology.num_links)
    assert certified_bound(topology, traffic, lengths) <= solve(topology, traffic).mlu * (1 + 1e-9)


def test_senseless_input_is_refused() -> None:
    topology, traffic = small_network(0, 4, 4)
    with pytest.raises(ValueError, match="lengths"):
        certified_bound(topology, traffic, -np.ones(topology.num_links))
    with pytest.raises(InputError, match="nodes"):
        solve(topology, TrafficMatrix(np.zeros((3, 3))))
    assert solve(topology, TrafficMatrix(np.zeros((4, 4)))).mlu == 0.0
    assert distances(topology, np.ones(topology.num_links)).max() <= 3


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")
@pytest.mark.parametrize(("name", "profile"), CELLS)
def test_the_published_bound_comes_out(name: str, profile: str) -> None:
    cell = Cell(name, profile)
    compared = 0
    for number, traffic, mlu in cell.stored("mcf_lower_bound"):
        result = optimum(cell.topology, traffic, ones(cell.topology), Budget())
        assert result.mlu == pytest.approx(mlu, abs=1e-6), number
        assert result.bound == pytest.approx(mlu, abs=1e-6), number
        compared += 1
    assert compared == 50


def test_a_hundred_nodes_take_seconds() -> None:
    """The bound on time is generous: it is the machine's, under load, that is measured."""
    topology = synthetic(113, 322, seed=1)
    result = optimum(topology, uniform(topology, 1), ones(topology), Budget())
    assert result.bound == pytest.approx(result.mlu, rel=1e-6)
    assert result.seconds < 120


@pytest.mark.parametrize("first", ["highspy", "ortools.sat.python.cp_model"])
def test_both_solvers_load_in_one_process(first: str) -> None:
    """Some versions of highspy bring a library by the name of the one inside ortools, and the second import fails."""
    code = f"import {first}, highspy, ortools.sat.python.cp_model; highspy.Highs()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
