"""Simulated annealing over one middlepoint per demand against brute force and the bound; its random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from middlepoints import few_demands, least_mlu, segments_mlu
from small_networks import ones, small_network

from baselines.annealing import annealing
from baselines.chance import below, draw, exponential, exponential_table, fraction
from baselines.optimum import optimum
from baselines.result import Budget
from routing.errors import InputError
from routing.state import RoutingState
from routing.traffic import TrafficMatrix


@pytest.mark.parametrize("seed", range(10))
def test_it_finds_the_best_of_all_middlepoints(seed: int) -> None:
    topology, traffic = few_demands(seed, 6, 9, 4)
    weights = np.random.default_rng(seed).integers(1, 4, topology.num_links)
    best = least_mlu(topology, traffic, weights, 1)
    result = annealing(topology, traffic, weights, Budget(steps=40_000), seed=seed, temperature=0.1)
    assert result.mlu == pytest.approx(best, rel=1e-9)
    assert result.mlu >= optimum(topology, traffic, weights, Budget()).mlu * (1 - 1e-9)


@pytest.mark.parametrize("budget", [Budget(steps=5000), Budget(seconds=0.2)], ids=["steps", "seconds"])
def test_a_result_is_what_it_says(budget: Budget) -> None:
    topology, traffic = small_network(4, 9, 15)
    result = annealing(topology, traffic, ones(topology), budget)
    assert all(len(path) == 1 for path in result.segments.values())
    assert result.mlu == pytest.approx(segments_mlu(topology, traffic, ones(topology), dict(result.segments)), rel=1e-9)
    assert result.trace[0][1] == pytest.approx(RoutingState(topology, traffic, ones(topology)).mlu)
    assert result.trace[-1][1] == result.mlu
    assert result.evaluations > 0


def test_steps_and_seed_fix_the_result() -> None:
    topology, traffic = small_network(1, 9, 16)
    one, two, other = (annealing(topology, traffic, ones(topology), Budget(steps=9000), seed=s) for s in (4, 4, 5))
    assert (one.segments, one.mlu) == (two.segments, two.mlu)
    assert one.segments != other.segments


def test_senseless_input_is_refused() -> None:
    topology, _ = small_network(0, 4, 4)
    with pytest.raises(InputError, match="nodes"):
        annealing(topology, TrafficMatrix(np.zeros((3, 3))), ones(topology), Budget(steps=1))
    assert annealing(topology, TrafficMatrix(np.zeros((4, 4))), ones(topology), Budget(seconds=10)).mlu == 0.0


def test_the_generator_is_splitmix() -> None:
    """The first outputs for seed 1234567, as in the reference implementation's published test vector."""
    state = np.array([1234567], dtype=np.uint64)
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(draw(state)) for _ in expected] == expected


def test_its_numbers_are_spread_as_they_should() -> None:
    state = np.array([7], dtype=np.uint64)
    counts = np.bincount([below(state, 5) for _ in range(20_000)], minlength=5)
    assert len(counts) == 5 and counts == pytest.approx(4000, rel=0.1)
    fractions = np.array([fraction(state) for _ in range(20_000)])
    assert 0.0 <= fractions.min() and fractions.max() < 1.0 and fractions.mean() == pytest.approx(0.5, abs=0.02)
    table = exponential_table()
    assert table.mean() == pytest.approx(1.0, abs=1e-3) and (np.diff(table) > 0).all()
    assert exponential(state, table) in table
