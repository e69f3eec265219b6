"""The search over weights against brute force, the bound, and itself."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import least_mlu, ones, small_network

from baselines.greedy import greedy
from baselines.local_search import local_search
from baselines.optimum import optimum
from baselines.replicated import agreed_steps, replicated
from baselines.result import Budget
from routing.formats import load_topology
from routing.generate import synthetic_traffic
from routing.state import RoutingState, inverse_capacity


@pytest.mark.parametrize("ecmp", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_the_best_of_all_settings(seed: int, ecmp: bool) -> None:
    topology, traffic = small_network(seed, 4, 5)
    best = least_mlu(topology, traffic, 3, ecmp=ecmp)
    result = local_search(topology, traffic, ones(topology), Budget(steps=20_000), top_weight=3, ecmp=ecmp)
    assert result.mlu == best
    assert result.weights is not None
    assert result.weights.min() >= 1 and result.weights.max() <= 3


@pytest.mark.parametrize("seed", range(6))
def test_its_result_is_true_and_never_beats_the_bound(seed: int) -> None:
    topology, traffic = small_network(seed, 10, 18)
    start = np.random.default_rng(seed).integers(1, 5, topology.num_links)
    result = local_search(topology, traffic, start, Budget(steps=5_000), seed=seed)
    assert result.weights is not None
    assert RoutingState(topology, traffic, result.weights).mlu == result.mlu
    bound = optimum(topology, traffic, start, Budget()).bound
    assert bound is not None
    assert result.mlu >= bound * (1 - 1e-9)
    assert result.trace[0][1] == RoutingState(topology, traffic, start).mlu
    assert result.trace[-1][1] == result.mlu
    assert 1 <= result.evaluations <= 5_001


def test_the_given_weights_stand_if_nothing_better_is_found() -> None:
    topology, traffic = small_network(2, 6, 9)
    start = np.random.default_rng(2).integers(1, 60_000, topology.num_links)
    result = local_search(topology, traffic, start, Budget(steps=0), top_weight=1)
    assert result.mlu == min(
        RoutingState(topology, traffic, start).mlu, RoutingState(topology, traffic, ones(topology)).mlu
    )
    longer = local_search(topology, traffic, inverse_capacity(topology), Budget(steps=2_000))
    assert longer.mlu <= RoutingState(topology, traffic, inverse_capacity(topology)).mlu


def test_a_budget_of_steps_gives_the_same_weights_again() -> None:
    topology, traffic = small_network(4, 10, 18)
    first, again, other = (
        local_search(topology, traffic, ones(topology), Budget(steps=3_000), seed=seed) for seed in (5, 5, 6)
    )
    assert first.weights is not None and again.weights is not None and other.weights is not None
    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.mlu, first.evaluations) == (again.mlu, again.evaluations)
    assert not np.array_equal(first.weights, other.weights)


def test_time_is_a_budget_too() -> None:
    topology, traffic = small_network(4, 10, 18)
    result = local_search(topology, traffic, ones(topology), Budget(seconds=0.05))
    assert 0.05 <= result.seconds < 5
    assert result.evaluations > 1
    assert all(seconds <= result.seconds for seconds, _ in result.trace)
    with pytest.raises(ValueError, match="at least one"):
        local_search(topology, traffic, ones(topology), Budget())


def test_replicas_agree() -> None:
    topology, traffic = small_network(5, 8, 12)
    routers = [replicated(topology, traffic, ones(topology), Budget(steps=2_000), seed=3) for _ in range(3)]
    assert len({router.weights.tobytes() for router in routers if router.weights is not None}) == 1
    assert routers[0].mlu == local_search(topology, traffic, ones(topology), Budget(steps=2_000), seed=3).mlu


def test_diverse_replicas_take_the_best_of_their_searches() -> None:
    topology, traffic = small_network(5, 8, 12)
    best = replicated(topology, traffic, ones(topology), Budget(steps=1_000), seed=3, diverse=True)
    single = [local_search(topology, traffic, ones(topology), Budget(steps=500), seed=3 + i).mlu for i in range(8)]
    assert best.mlu == min(single)


def test_seconds_are_turned_into_steps_without_a_clock() -> None:
    topology, traffic = small_network(5, 8, 12)
    steps = agreed_steps(topology, 0.01)
    assert steps == int(0.01 / (120e-9 * np.sqrt(8 * topology.num_links) + 0.4e-9 * 8 * topology.num_links))
    by_seconds = replicated(topology, traffic, ones(topology), Budget(seconds=0.01), seed=3)
    by_steps = replicated(topology, traffic, ones(topology), Budget(steps=steps), seed=3)
    assert by_seconds.weights is not None and by_steps.weights is not None
    np.testing.assert_array_equal(by_seconds.weights, by_steps.weights)
    assert by_seconds.evaluations == by_steps.evaluations > 100


def test_a_large_network_keeps_the_proportions_of_its_weights() -> None:
    topology = load_topology("synth:130:520")
    traffic = synthetic_traffic(topology, 0)
    start = inverse_capacity(topology)
    result = local_search(topology, traffic, start, Budget(steps=8_000))
    climbed = greedy(topology, traffic, start, Budget(steps=1_430))
    assert result.mlu <= climbed.mlu < result.trace[0][1]
    assert result.weights is not None
    assert RoutingState(topology, traffic, result.weights).mlu == result.mlu
