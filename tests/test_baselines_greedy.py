"""Greedy +1 against its definition, brute force and the published data set's figures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_networks import least_mlu, ones, small_network

from baselines.greedy import greedy
from baselines.optimum import optimum
from baselines.result import Budget
from routing.formats import load_topology
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "marl-gnn-te"
STEPS = {"nsfnet": 100, "gbn": 150, "geant2": 200}  # paper 003, V-A


def slow_greedy(topology: Topology, traffic: TrafficMatrix, weights: NDArray[np.int64], steps: int) -> float:
    weights = weights.copy()
    best = np.inf
    for _ in range(steps + 1):
        state = RoutingState(topology, traffic, weights)
        best = min(best, state.mlu)
        weights[np.argmax(state.utilization)] += 1
    return float(best)


@pytest.mark.parametrize("seed", range(8))
def test_it_does_what_it_says(seed: int) -> None:
    topology, traffic = small_network(seed, 7, 11)
    weights = np.random.default_rng(seed).integers(1, 5, topology.num_links)
    result = greedy(topology, traffic, weights, Budget(steps=40))
    assert result.mlu == slow_greedy(topology, traffic, weights, 40)
    assert result.weights is not None
    assert RoutingState(topology, traffic, result.weights).mlu == result.mlu
    assert result.evaluations == 41
    assert result.trace[0][1] == RoutingState(topology, traffic, weights).mlu
    assert result.trace[-1][1] == result.mlu


@pytest.mark.parametrize("ecmp", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_greedy_beats_brute_force_or_the_bound(seed: int, ecmp: bool) -> None:
    topology, traffic = small_network(seed, 4, 5)
    bound = optimum(topology, traffic, ones(topology), Budget()).bound
    assert bound is not None
    for temperature, episodes in ((0.0, 1), (0.05, 4)):
        result = greedy(
            topology, traffic, ones(topology), Budget(steps=30), temperature=temperature, episodes=episodes, ecmp=ecmp
        )
        assert result.mlu >= bound * (1 - 1e-9)
        assert result.weights is not None
        if result.weights.max() <= 2:
            assert result.mlu >= least_mlu(topology, traffic, 2, ecmp=ecmp)


def test_samples_repeat_with_their_seed_and_improve_with_episodes() -> None:
    topology = load_topology("gbn")
    traffic = uniform(topology, 1)

    def run(seed: int, episodes: int) -> float:
        budget = Budget(steps=50)
        return greedy(topology, traffic, ones(topology), budget, seed=seed, temperature=0.05, episodes=episodes).mlu

    assert run(7, 1) == run(7, 1)
    assert len({run(seed, 1) for seed in range(6)}) > 1
    assert run(7, 8) <= run(7, 1)


def test_nothing_to_send_is_no_utilization() -> None:
    topology, _ = small_network(0, 5, 6)
    nothing = TrafficMatrix(np.zeros((5, 5)))
    for temperature in (0.0, 0.05):
        assert greedy(topology, nothing, ones(topology), Budget(steps=5), temperature=temperature).mlu == 0.0


def test_it_stops_at_the_largest_metric() -> None:
    topology, traffic = small_network(0, 3, 2)
    result = greedy(topology, traffic, np.full(4, 65534), Budget(steps=50))
    assert result.evaluations == 2


def test_senseless_options_are_refused() -> None:
    topology, traffic = small_network(0, 3, 3)
    with pytest.raises(ValueError, match="at least one"):
        greedy(topology, traffic, ones(topology), Budget())
    with pytest.raises(ValueError, match="temperature"):
        greedy(topology, traffic, ones(topology), Budget(steps=1), episodes=2)
    with pytest.raises(ValueError, match="temperature"):
        greedy(topology, traffic, ones(topology), Budget(steps=1), temperature=-1.0)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")
@pytest.mark.parametrize("profile", ["uniform", "gravity"])
@pytest.mark.parametrize("name", STEPS)
def test_the_published_figures_come_out(name: str, profile: str) -> None:
    """Column `greedy_plus_one`: all test matrices 100-149, from the paper's start weights."""
    topology = load_topology(name, profile)
    with np.load(DATA / f"{name}_{profile}.npz") as archive:
        links, capacity, matrices = archive["links"], archive["capacity"], archive["tm"]
    order = np.lexsort((links[:, 1], links[:, 0]))
    scale = topology.capacity[0] / capacity[order][0]
    weights = np.random.RandomState(1).randint(1, 5, len(links))[order]
    with (DATA / "reference_mlu.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (name, profile)]
    checked = [row for row in rows if row["greedy_plus_one"]]
    assert len(checked) >= 50
    for row in checked:
        traffic = TrafficMatrix(matrices[int(row["tm"])] * scale)
        result = greedy(topology, traffic, weights, Budget(steps=STEPS[name]))
        assert result.mlu == pytest.approx(float(row["greedy_plus_one"]), abs=1e-6), row["tm"]
        if row["mcf_lower_bound"]:
            assert result.mlu >= float(row["mcf_lower_bound"]) - 1e-6
