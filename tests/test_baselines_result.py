"""Budgets and traces."""

from __future__ import annotations

import pytest

from baselines.result import Budget, Trace


def test_budgets_have_no_negative_limits() -> None:
    Budget(seconds=0.0, steps=0)
    with pytest.raises(ValueError, match="below zero"):
        Budget(seconds=-1.0)
    with pytest.raises(ValueError, match="below zero"):
        Budget(steps=-1)
    with pytest.raises(ValueError, match="below zero"):
        Budget(seconds=float("nan"))


def test_a_budget_without_limits_has_no_end() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Budget().require_end()
    Budget(steps=0).require_end()
    Budget(seconds=0.0).require_end()


def test_a_trace_falls_strictly() -> None:
    trace = Trace()
    assert [trace.record(mlu) for mlu in (1.0, 1.0, 0.5, 0.75, 0.25)] == [True, False, True, False, True]
    assert [mlu for _, mlu in trace.entries] == [1.0, 0.5, 0.25]
    times = [seconds for seconds, _ in trace.entries]
    assert times == sorted(times)
    assert 0 <= times[0] and times[-1] <= trace.seconds
    assert trace.best == 0.25


def test_the_limit_that_comes_first_ends_a_call() -> None:
    trace = Trace()
    assert not trace.exhausted(Budget(seconds=1e6, steps=3), 2)
    assert trace.exhausted(Budget(seconds=1e6, steps=3), 3)
    assert trace.exhausted(Budget(seconds=0.0, steps=3), 0)
    assert trace.used(Budget(steps=4), 1) == 0.25
    assert trace.used(Budget(steps=4), 9) == 1.0
    assert trace.used(Budget(steps=0), 0) == 1.0
    assert trace.used(Budget(seconds=1e6, steps=4), 2) == 0.5
    assert trace.used(Budget(seconds=0.0, steps=4), 2) == 1.0


def test_enough_is_no_limit_but_ends_a_call() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Budget(enough=1.0).require_end()
    trace = Trace()
    budget = Budget(steps=10, enough=0.5)
    assert not trace.exhausted(budget, 0)
    trace.record(0.6)
    assert not trace.exhausted(budget, 1)
    trace.record(0.5)
    assert trace.exhausted(budget, 2)
