"""Synthetic networks: the size asked for, a realistic shape, and the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_routing_topology import networks

from routing.errors import InputError
from routing.formats import load_network, load_topology
from routing.generate import PRESETS, parse_synthetic, synthetic, synthetic_traffic
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology


@pytest.mark.parametrize(("name", "nodes", "links"), [("synth100", 100, 360), ("synth500", 500, 1750)])
def test_named_networks_have_the_shape_of_real_ones(name: str, nodes: int, links: int) -> None:
    topology = load_topology(name)
    assert (topology.name, topology.num_nodes, topology.num_links) == (name, nodes, links)
    degree = np.bincount(topology.src)
    # Most routers have few links, none hangs on one, some have very many.
    assert degree.min() >= 2
    assert np.median(degree) <= 3
    assert degree.max() > 2.5 * degree.mean()
    # Links are short.
    length = np.hypot(*(topology.positions[topology.src] - topology.positions[topology.dst]).T)
    anywhere = np.hypot(*(topology.positions[:, None] - topology.positions[None]).reshape(-1, 2).T)
    assert np.median(length) < 0.3 * np.median(anywhere)
    assert sorted(set(topology.capacity.tolist())) == [10e9, 40e9, 100e9]
    np.testing.assert_array_equal(topology.capacity, topology.capacity[topology.reverse])
    # The fastest links are those of the best connected.
    assert degree[topology.src[topology.capacity == 100e9]].mean() > 2 * degree.mean()


def test_the_largest_named_network() -> None:
    topology = load_topology("synth1000")
    assert (topology.num_nodes, topology.num_links) == (1000, 3200)
    assert topology.digest().hex() == "8084075c4d670d2f54b107ee549108fe"


def test_the_same_on_every_machine() -> None:
    assert load_topology("synth100").digest().hex() == "9eba4328456ff9c7ee9d7cf987e78730"
    assert load_topology("synth500").digest().hex() == "a9b0c0d72fa41e4c1e222dc9a2ee2178"
    topology = synthetic(5, 12, 7)
    toy = (
        [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4],
        [64420.0, 16519.0],
        [0.0, 4469855126.0, 397315908.0, 893972162.0, 198657954.0],
    )
    assert toy == (
        topology.src.tolist(),
        topology.positions[0].tolist(),
        synthetic_traffic(topology, 7).demand[0].tolist(),
    )


@settings(max_examples=50)
@given(st.data(), st.integers(2, 30), st.integers(0, 2**64 - 1))
def test_any_size(data: st.DataObject, nodes: int, seed: int) -> None:
    links = 2 * data.draw(st.integers(nodes - 1, nodes * (nodes - 1) // 2))
    topology = synthetic(nodes, links, seed)
    assert (topology.num_nodes, topology.num_links) == (nodes, links)
    assert synthetic(nodes, links, seed).digest() == topology.digest()


def test_seeds_differ() -> None:
    digests = {synthetic(20, 60, seed).digest() for seed in range(20)}
    assert len(digests) == 20
    assert load_topology("synth:20:60:3").digest() == synthetic(20, 60, 3).digest()
    assert load_topology("synth:20:60").digest() == synthetic(20, 60).digest()


@pytest.mark.parametrize("name", ["synth100", "synth500"])
def test_traffic_that_is_worth_engineering(name: str) -> None:
    topology, traffic, weights = load_network(name)
    assert weights is None
    assert traffic is not None
    assert (traffic.demand > 0).sum() == topology.num_nodes * (topology.num_nodes - 1)
    # Not idle and not hopeless.
    assert 0.3 < RoutingState(topology, traffic, inverse_capacity(topology)).mlu < 3
    # Nodes with more capacity send more.
    capacity = np.bincount(topology.src, topology.capacity)
    assert np.corrcoef(capacity, traffic.demand.sum(axis=1))[0, 1] > 0.7


@given(networks(), st.integers(0, 2**64 - 1))
def test_traffic_for_any_network(topology: Topology, seed: int) -> None:
    demand = synthetic_traffic(topology, seed).demand
    np.testing.assert_array_equal(demand, np.floor(demand))
    np.testing.assert_array_equal(demand, synthetic_traffic(topology, seed).demand)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "of 1 nodes, expected 2..5000"),
        ((5001, 20000), "of 5001 nodes"),
        ((10, 16), "16 links between 10 nodes, expected an even number 18..90"),
        ((10, 21), "21 links"),
        ((10, 92), "92 links"),
        ((10, 20, 2**64), "seed 18446744073709551616"),
    ],
)
def test_sizes_that_cannot_be(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic(*arguments)


def test_names() -> None:
    assert parse_synthetic("gbn") is None
    assert parse_synthetic("synthetic.graphml") is None
    assert parse_synthetic("synth:10:20") == (10, 20, 0)
    assert parse_synthetic("synth:10:20:9") == (10, 20, 9)
    assert parse_synthetic("synth1000") == PRESETS["synth1000"]
    for name in ("synth:", "synth:10", "synth:a:b", "synth:10:20:-1", "synth:10:20:1:1"):
        with pytest.raises(InputError, match="expected synth:NODES:LINKS"):
            parse_synthetic(name)
