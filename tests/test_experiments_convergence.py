"""Figure 7 and the curves over budgets: what is measured, written and drawn."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from published import DATA

from baselines.greedy import greedy
from baselines.result import Budget
from experiments import anytime, convergence
from experiments.quality_instances import Key, Source
from experiments.quality_tables import Row

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")


def test_the_walk_is_that_of_greedy() -> None:
    instance = Source((("nsfnet", "uniform"),), (3,), initial="random:1").load(Key("nsfnet", "uniform", 3))
    walk = convergence.greedy_walk(instance, 40)
    assert len(walk) == 41
    assert walk.min() == greedy(instance.topology, instance.traffic, instance.weights, Budget(steps=40)).mlu


def test_convergence_writes_curves_that_fall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convergence.main(["--topology", "nsfnet", "--runs", "2", "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "convergence.csv").open()))
    assert len(rows) == 2 * 201
    for method in ("greedy", "policy@default"):
        means = [float(row["mean_ratio"]) for row in rows if row["method"] == method]
        assert means == sorted(means, reverse=True) and means[0] > means[-1] >= 1 - 1e-6
    assert (tmp_path / "convergence.png").read_bytes().startswith(b"\x89PNG")
    assert "after T" in capsys.readouterr().out
    assert convergence.main(["--runs", "0", "--out", str(tmp_path)]) == 2
    assert convergence.main(["--topology", "gbm", "--out", str(tmp_path)]) == 2
    capsys.readouterr()


def test_points_are_means_over_what_all_have() -> None:
    def row(matrix: int, method: str, ratio: float) -> Row:
        return Row("gbn", "uniform", matrix, method, ratio, ratio, 1.0, 2.0 * ratio, 10 * matrix)

    rows = [row(1, "greedy", 1.2), row(2, "greedy", 1.4), row(3, "greedy", 9.0)]
    rows += [row(1, "policy:1@x", 1.1), row(2, "policy:1@x", 1.3)]
    points = anytime.points_of(rows, {"greedy": ["greedy"], "policy x": ["policy:1@x"]})
    assert [tuple(point[:3]) for point in points] == [("greedy", "greedy", 15), ("policy x", "policy:1@x", 15)]
    assert [point.ratio for point in points] == pytest.approx([1.3, 1.2])
    assert np.isclose(points[0].cpu_seconds, 2.6)
    assert anytime.points_of(rows[:3], {"a": ["greedy"], "b": ["policy:1@x"]}) == []


@needs_data
def test_anytime_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(anytime, "_EPISODES", (1, 2))
    monkeypatch.setattr(anytime, "_SECONDS", (0.01,))
    arguments = ["--data", str(DATA), "--checkpoints", "default", "--matrices", "1", "--out", str(tmp_path)]
    assert anytime.main(arguments) == 0
    points = list(csv.DictReader((tmp_path / "anytime.csv").open()))
    assert [point["label"] for point in points] == [
        "greedy", "greedy:1", "greedy:2", "local_search:0.01s", "policy:1@default", "policy:2@default",
    ]  # fmt: skip
    assert all(float(point["ratio"]) >= 1 - 1e-6 for point in points)
    assert float(points[2]["evaluations"]) > float(points[1]["evaluations"])
    assert (tmp_path / "anytime.png").read_bytes().startswith(b"\x89PNG")
    assert anytime.main(arguments) == 2
    assert anytime.main([*arguments, "--resume"]) == 0
    assert anytime.main([*arguments[:-2], "--out", str(tmp_path / "x"), "--matrices", "0"]) == 2
    capsys.readouterr()
