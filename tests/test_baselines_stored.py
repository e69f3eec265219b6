"""Middlepoint routing against `RoutingState`, and the answers that DEFO's authors' solver left behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from middlepoints import segments_mlu
from published import CELLS, DATA, Cell
from small_networks import small_network

from baselines.segment_paths import as_middle, as_segments, no_middlepoints, pair_shares
from routing.errors import InputError
from routing.state import RoutingState, inverse_capacity


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")
@pytest.mark.parametrize(("name", "profile"), CELLS)
def test_stored_answers_have_the_stored_mlu(name: str, profile: str) -> None:
    cell = Cell(name, profile)
    shares = pair_shares(cell.topology, inverse_capacity(cell.topology))
    compared = 0
    for number, traffic, mlu in cell.stored("defo"):
        assert shares.mlu(traffic, cell.defo[number].astype(np.int32)) == pytest.approx(mlu, abs=1e-6), number
        compared += 1
    assert compared == 150


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 8), st.data())
def test_segments_are_demands_of_their_own(seed: int, nodes: int, data: st.DataObject) -> None:
    topology, traffic = small_network(seed, nodes, min(nodes + 2, nodes * (nodes - 1) // 2))
    weights = np.random.default_rng(seed).integers(1, 4, topology.num_links)
    middle = no_middlepoints(nodes)
    for source, target in np.argwhere(traffic.demand).tolist():
        path = data.draw(st.lists(st.integers(0, nodes - 1), max_size=2))
        middle[source, target, : len(path)] = path
    expected = segments_mlu(topology, traffic, weights, as_segments(middle))
    assert pair_shares(topology, weights).mlu(traffic, middle) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_without_middlepoints_it_is_ospf(seed: int) -> None:
    topology, traffic = small_network(seed, 9, 14)
    weights = np.random.default_rng(seed).integers(1, 4, topology.num_links)
    shares = pair_shares(topology, weights)
    expected = RoutingState(topology, traffic, weights)
    load = shares.loads(traffic.demand, no_middlepoints(9))
    assert load == pytest.approx(expected.load_bps, rel=1e-9, abs=1.0)


def test_a_share_is_split_at_every_hop() -> None:
    topology, _ = small_network(3, 6, 10)
    shares = pair_shares(topology, np.ones(topology.num_links))
    for pair in range(36):
        entries = slice(shares.ptr[pair], shares.ptr[pair + 1])
        leaving = topology.src[shares.link[entries]] == pair // 6
        arriving = topology.dst[shares.link[entries]] == pair % 6
        expected = 0.0 if pair // 6 == pair % 6 else 1.0
        assert shares.share[entries][leaving].sum() == pytest.approx(expected)
        assert shares.share[entries][arriving].sum() == pytest.approx(expected)


def test_arrays_and_mappings_say_the_same() -> None:
    segments = {(0, 2): (1,), (3, 1): (2, 0)}
    middle = as_middle(segments, 4)
    assert middle.shape == (4, 4, 2)
    assert as_segments(middle) == segments
    assert as_segments(as_middle({}, 4)) == {}
    assert as_segments(np.where(no_middlepoints(2, 4) < 0, -1, -1)) == {}


def test_weights_must_fit() -> None:
    topology, _ = small_network(0, 4, 4)
    with pytest.raises(InputError, match="weights"):
        pair_shares(topology, np.ones(3))
