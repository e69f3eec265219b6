"""What-if against doing it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policy.episode import Episode
from policy.features import FEATURE_SETS, HOT
from routing.state import RoutingState
from routing.traffic import TrafficMatrix, uniform
from trainer.instances import random_topology


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), ecmp=st.booleans(), actions=st.lists(st.integers(0, 1000), max_size=8))
def test_what_if_is_what_happens(seed: int, ecmp: bool, actions: list[int]) -> None:
    topology = random_topology(seed, 4 + seed % 9)
    weights = np.random.default_rng(seed).integers(1, 5, topology.num_links)
    state = RoutingState(topology, uniform(topology, seed), weights, ecmp=ecmp)
    for action in actions:
        state.increment(action % topology.num_links)
    before = state.copy()
    links = np.arange(topology.num_links, dtype=np.int32)
    offered = np.random.default_rng(seed + 1).integers(1, 9, topology.num_links)
    effects = state.what_if(links, offered)
    for name in ("weights", "distance", "flow", "load"):
        np.testing.assert_array_equal(getattr(state, name), getattr(before, name))
    for link in links.tolist():
        after = before.copy()
        after.set_weight(link, int(offered[link]))
        powers = (after.utilization / before.mlu) ** 8
        expected = (after.mlu / before.mlu, powers.sum() / ((before.utilization / before.mlu) ** 8).sum())
        np.testing.assert_allclose(effects[link], expected, rtol=1e-12)
    np.testing.assert_array_equal(state.what_if(links[::3], offered[::3]), effects[::3])


def forwarding(state: RoutingState, node: int) -> NDArray[np.bool_]:
    """The links over which a node sends what it has for each destination, (R, links of the node)."""
    at, out = np.flatnonzero(state.flow[:, node]), state.topology.src == node
    return np.array(
        [state.next_hops(int(state.destinations[row]))[out] for row in at if state.destinations[row] != node]
    )


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), ecmp=st.booleans())
def test_lowered_is_the_first_lower_weight_that_changes_what_the_router_does(seed: int, ecmp: bool) -> None:
    topology = random_topology(seed, 4 + seed % 9)
    weights = np.random.default_rng(seed).integers(1, 9, topology.num_links)
    state = RoutingState(topology, uniform(topology, seed), weights, ecmp=ecmp)
    lowered = state.lowered(np.arange(topology.num_links, dtype=np.int32))
    for link, node in enumerate(topology.src.tolist()):
        expected = int(weights[link])
        for lower in range(expected - 1, 0, -1):
            after = state.copy()
            after.set_weight(link, lower)
            # Where the router sends what it had; others may send it more, or less.
            after.flow[:] = state.flow
            if not np.array_equal(forwarding(after, node), forwarding(state, node)):
                expected = lower
                break
        assert lowered[link] == expected


def test_nothing_changes_without_traffic() -> None:
    topology = random_topology(1, 7)
    state = RoutingState(topology, TrafficMatrix(np.zeros((topology.num_nodes,) * 2)), np.ones(topology.num_links))
    assert (state.what_if(np.arange(3, dtype=np.int32), np.arange(3) + 1) == 1).all()


def test_lookahead_features_extend_the_default_ones() -> None:
    topology = random_topology(2, 7)
    weights = np.ones(topology.num_links, dtype=np.int64)
    links = np.arange(topology.num_links, dtype=np.int32)
    plain, ahead = (Episode(topology, uniform(topology, 1), weights, 9, name) for name in ("default", "lookahead"))
    for action in (0, 3, 0):
        x, y = plain.features(links), ahead.features(links)
        assert y.shape[1] == len(FEATURE_SETS["lookahead"]) == 14
        np.testing.assert_array_equal(x, y[:, :12])
        mlu = plain.mlu
        after = plain.routing.copy()
        after.increment(5)
        hot = plain.routing.utilization[5] >= HOT * mlu
        assert y[5, 12] == pytest.approx(np.clip(10 * np.log(after.mlu / mlu), -3, 3) if hot else 0.0, abs=1e-5)
        plain.apply((action,))
        ahead.apply((action,))
