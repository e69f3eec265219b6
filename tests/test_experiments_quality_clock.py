"""Budgets of processor time."""

from __future__ import annotations

import itertools
import time

import pytest

from baselines.local_search import local_search
from baselines.result import Budget, Trace
from experiments.quality_clock import ProcessorBudget
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.traffic import uniform


@pytest.fixture
def half_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the wall clock is two seconds after the last, at the processor's one second."""
    wall, cpu = itertools.count(0.0, 2.0), itertools.count(0.0, 1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(time, "process_time", lambda: next(cpu))


@pytest.mark.usefixtures("half_speed")
def test_waiting_makes_the_seconds_longer() -> None:
    budget = ProcessorBudget(10.0)
    assert (budget.seconds, budget.nominal_seconds) == (20.0, 10.0)


def test_used_share_is_that_of_the_processor_time() -> None:
    budget = ProcessorBudget(0.05)
    trace, cpu = Trace(), time.process_time()
    while not trace.exhausted(budget, 0):
        used = time.process_time() - cpu
        assert trace.used(budget, 0) == pytest.approx(used / 0.05, abs=0.2)
    assert 0.045 < time.process_time() - cpu < 0.1


def test_limits() -> None:
    assert ProcessorBudget(None, 5).seconds is None
    assert ProcessorBudget(None, 5).steps == 5
    assert ProcessorBudget(0.0).seconds == 0.0
    with pytest.raises(ValueError, match="none below zero"):
        ProcessorBudget(-1.0)
    with pytest.raises(ValueError, match="at least one"):
        ProcessorBudget().require_end()


def test_a_search_stops_by_it() -> None:
    topology = load_topology("nsfnet")
    traffic = uniform(topology, 1)
    before = time.process_time()
    local_search(topology, traffic, inverse_capacity(topology), ProcessorBudget(0.1))
    assert 0.08 < time.process_time() - before < 0.3
    assert isinstance(ProcessorBudget(0.1), Budget)
