"""Constraint programming over middlepoints against brute force, the bound, and DEFO's stored answers."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from middlepoints import few_demands, least_mlu, segments_mlu
from published import CELLS, DATA, Cell
from small_networks import ones, small_network

from baselines import defo as module
from baselines.defo import defo
from baselines.optimum import optimum
from baselines.result import Budget
from routing.errors import InputError
from routing.state import RoutingState, inverse_capacity
from routing.traffic import TrafficMatrix


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_best_of_all_middlepoints(seed: int) -> None:
    topology, traffic = few_demands(seed)
    weights = np.random.default_rng(seed).integers(1, 4, topology.num_links)
    best = least_mlu(topology, traffic, weights, 2)
    result = defo(topology, traffic, weights, Budget(steps=12), seed=seed)
    assert result.mlu >= best * (1 - 1e-9)
    assert result.mlu == pytest.approx(best, rel=3e-3)  # utilizations are rounded, and a gap of 0.2 % is near enough
    assert result.mlu >= optimum(topology, traffic, weights, Budget()).mlu * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_result_is_what_it_says(seed: int) -> None:
    topology, traffic = small_network(seed, 8, 13)
    weights = inverse_capacity(topology)
    one, two = (defo(topology, traffic, weights, Budget(steps=4), seed=seed) for _ in range(2))
    assert (one.segments, one.mlu) == (two.segments, two.mlu)
    assert all(1 <= len(path) <= 2 for path in one.segments.values())
    assert one.mlu == pytest.approx(segments_mlu(topology, traffic, weights, dict(one.segments)), rel=1e-9)
    assert one.trace[0][1] == pytest.approx(RoutingState(topology, traffic, weights).mlu)
    assert one.evaluations == 4


def test_senseless_input_is_refused() -> None:
    topology, traffic = small_network(0, 4, 4)
    with pytest.raises(ValueError, match="at least one"):
        defo(topology, traffic, ones(topology), Budget())
    with pytest.raises(InputError, match="nodes"):
        defo(topology, TrafficMatrix(np.zeros((3, 3))), ones(topology), Budget(steps=1))
    assert defo(topology, TrafficMatrix(np.zeros((4, 4))), ones(topology), Budget(seconds=10)).mlu == 0.0


def test_it_does_without_the_local_search() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"baselines.segments", "baselines.segment_search"}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")
@pytest.mark.parametrize(("name", "profile"), [cell for cell in CELLS if cell[0] == "geant2"])
def test_not_worse_than_the_stored_answer(name: str, profile: str) -> None:
    """A quick look, on the network where seconds do; the sample of `docs/experiments.md` took longer."""
    cell = Cell(name, profile)
    _, traffic, stored = list(cell.stored("defo"))[120]
    result = defo(cell.topology, traffic, inverse_capacity(cell.topology), Budget(seconds=20.0, steps=20))
    assert result.mlu <= stored * (1 + 1e-5)
