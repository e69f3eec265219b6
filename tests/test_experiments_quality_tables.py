"""From records to tables."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from experiments import quality_tables as tables
from experiments.quality_instances import Key
from experiments.quality_journal import BOUND, Record, Task

KEYS = [Key("gbn", "uniform", 1), Key("gbn", "uniform", 2), Key("gbn", "gravity", 1)]


def records(mlus: dict[str, list[float]], bound: list[float]) -> dict[Task, Record]:
    figures = {"seconds": 0.5, "cpu_seconds": 0.25, "evaluations": 3}
    found: dict[Task, Record] = {(key, BOUND): {"bound": value} for key, value in zip(KEYS, bound, strict=False)}
    for method, values in mlus.items():
        found |= {(key, method): {"mlu": mlu, **figures} for key, mlu in zip(KEYS, values, strict=False)}
    return found


MLUS = {"a": [1.0, 3.0, 2.0], "b": [1.5, 2.0, 2.0 + 1e-9], "lp": [1.0, 1.0, 1.0]}
ROWS = tables.rows_of(records(MLUS, [0.5, 1.0, 1.0]), KEYS, list(MLUS))


def test_summary() -> None:
    a = tables.summaries(ROWS, {"lp"})["a"]
    assert (a.instances, a.mean_mlu, a.median_mlu, a.worst_mlu) == (3, 2.0, 2.0, 3.0)
    assert a.mean_ratio == pytest.approx((2 + 3 + 2) / 3)
    assert (a.median_ratio, a.worst_ratio, a.mean_seconds, a.mean_cpu_seconds) == (2.0, 3.0, 0.5, 0.25)


def test_wins_count_ties_and_leave_bounds_out() -> None:
    assert {name: s.wins for name, s in tables.summaries(ROWS, {"lp"}).items()} == {"a": 2, "b": 2, "lp": 0}


def test_no_bound_no_ratio() -> None:
    rows = tables.rows_of(records({"a": [1.0, 2.0]}, [0.5]), KEYS, ["a"])
    assert [row.ratio for row in rows] == [2.0, None]
    summary = tables.summaries(rows, set())["a"]
    assert summary.mean_mlu == 1.5 and summary.mean_ratio is None
    assert tables.as_json(rows, set())["summary"]["a"]["mean_ratio"] is None
    tables.show(rows, set(), Console(file=io.StringIO()))


def test_better_than_possible_is_found() -> None:
    rows = tables.rows_of(records({"a": [1.0, 1.0, 1.0]}, [1.0, 1.0 + 1e-7, 1.01]), KEYS, ["a"])
    assert [row.key for row in tables.beating(rows)] == [KEYS[2]]


def test_json() -> None:
    found = tables.as_json(ROWS, {"lp"})
    assert found["instances"][0] == {
        "topology": "gbn", "traffic": "uniform", "matrix": 1, "method": "a", "mlu": 1.0, "ratio": 2.0,
        "seconds": 0.5, "cpu_seconds": 0.25, "evaluations": 3,
    }  # fmt: skip
    assert found["summary"]["a"].keys() == {"mean_mlu", "mean_ratio", "worst_ratio", "mean_seconds"}
    assert found["cells"]["gbn gravity"]["b"]["mean_mlu"] == pytest.approx(2.0)


def test_texts() -> None:
    read = list(csv.DictReader(io.StringIO(tables.instances_csv(ROWS))))
    assert len(read) == 9 and read[0]["ratio"] == "2.0"
    read = list(csv.DictReader(io.StringIO(tables.summary_csv(ROWS, {"lp"}))))
    assert [(row["cell"], row["method"]) for row in read][3:] == [("gbn gravity", name) for name in MLUS]
    markdown = tables.markdown(ROWS, {"lp"})
    assert "| method | gbn uniform | gbn gravity | mean |" in markdown
    assert "| a | 2.500 | 2.000 | 2.250 |" in markdown
    out = io.StringIO()
    tables.show(ROWS, {"lp"}, Console(file=out, width=140))
    assert "mean ratio to the bound" in out.getvalue()


def test_a_cell_that_is_not_done_has_no_figure() -> None:
    rows = tables.rows_of(records({"a": [1.0, 1.0, 1.0], "b": [1.0]}, [1.0, 1.0, 1.0]), KEYS, ["a", "b"])
    assert tables.side_by_side(rows, set())[1][1] == ["b", "1.000", "-", "-"]
