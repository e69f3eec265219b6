"""The trade-off of bytes, MLU and seconds: when episodes end, what is undominated, and the command."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.cost_int8 import LEVELS, HeardNetwork, Int8Network
from experiments.cost_points import Point, Setting, ended, settings_of, short
from experiments.cost_tradeoff import best, main, telling
from policy.checkpoint import load_checkpoint
from policy.episode import run_episode
from policy.mpnn import Network
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.traffic import uniform


def test_an_episode_ends_when_nothing_better_came_for_long_enough() -> None:
    mlu = [5.0, 4.0, 4.5, 4.0, 4.2, 3.0, 3.5]
    assert ended(mlu, 3) == 4  # the best of step 1, and 2, 3, 4 brought nothing better
    assert ended(mlu, 4) == 6  # step 5 came in time
    assert ended(mlu, 1) == 2
    assert ended([1.0], 1) == 0 and ended([2.0, 1.0, 0.5], 1) == 2
    assert ended(mlu, 0) == 6


@pytest.mark.parametrize("patience", [5, 17])
def test_an_episode_cut_by_calculation_is_one_that_ended_early(patience: int) -> None:
    topology, checkpoint = load_topology("gbn"), load_checkpoint("default")
    problem = topology, uniform(topology, 2), inverse_capacity(topology), checkpoint
    whole = run_episode(*problem, steps=150, seed=0, patience=0)
    early = run_episode(*problem, steps=150, seed=0, patience=patience)
    assert len(early.actions) == ended(whole.mlu.tolist(), patience) < 150


def point(label: str, of_paper: float, mlu: float) -> Point:
    setting = Setting("c", 1, 1, 1, 0)
    return Point(
        label, *vars(setting).values(), False, 1, mlu, 0.0, 1.0, 1.0, 1.0, 1.0, of_paper, 1.0, 1 / of_paper
    )  # fmt: skip


def test_only_the_undominated_are_best() -> None:
    points = [point("a", 0.3, 0.9), point("b", 0.1, 1.0), point("c", 0.2, 1.1), point("d", 0.2, 0.95)]
    assert [p.label for p in best(points)] == ["b", "d", "a"]
    assert [p.label for p in best([*points, replace(points[0], label="e", of_paper=0.05)])] == ["e"]
    assert [p.label for p in best(points, "light_s")] == ["a"]


def test_settings_are_all_combinations() -> None:
    settings = settings_of(["default"], [1, 2], [0, 2])
    # The checkpoint's own patience is always among them: K = 0 and 1, three patiences; int8 sends hidden states only.
    assert len(settings) == len({setting.label for setting in settings}) == 2 * 3 * 3 + 3 + 1
    assert {setting.rounds for setting in settings} == {0, 1}
    assert settings[-1].label == "default, K=1, opening 4, patience T/3, logits"
    assert "default, K=0, 2 links, patience T/2" in [setting.label for setting in settings]
    assert "default, K=1, opening 4, int8" in [setting.label for setting in settings]
    assert {setting.rounds for setting in settings_of(["paper"], [1], [0])} == {8}
    assert short("runs/one/best.safetensors") == "one/best" and short("default") == "default"


def test_a_table_shows_the_undominated_and_what_is_near_the_recommended() -> None:
    own = replace(point("own", 0.2, 0.9), shipped=True)
    others = [
        replace(point("no rounds", 0.3, 1.0), rounds=0),
        replace(point("int8", 0.4, 1.0), wire="int8"),
        replace(point("fewer rounds in int8", 0.4, 1.0), wire="int8", rounds=0),
        replace(point("two things", 0.5, 1.0), rounds=0, patience=4),
        replace(point("undominated", 0.1, 1.0), rounds=0, patience=4),
    ]
    assert [p.label for p in telling([own, *others])] == ["own", "no rounds", "int8", "undominated"]


def test_a_network_that_hears_all_decides_as_the_engine_and_one_that_hears_int8_hears_the_nearest_level() -> None:
    topology, checkpoint = load_topology("nsfnet"), load_checkpoint("default")
    problem = topology, uniform(topology, 2), inverse_capacity(topology), checkpoint
    heard = HeardNetwork(checkpoint.preset, checkpoint.parameters)
    trace = run_episode(*problem, steps=20, seed=0, network=heard)
    np.testing.assert_array_equal(trace.scores, run_episode(*problem, steps=20, seed=0).scores)
    rounded = Int8Network(checkpoint.preset, checkpoint.parameters, heard.largest)
    assert (heard.largest <= LEVELS * rounded.scale).all() and (np.log2(rounded.scale) % 1 == 0).all()
    features = np.random.default_rng(1).normal(size=(topology.num_links, checkpoint.preset.num_features))
    hidden = heard.initial(features.astype(np.float32))
    inside = np.clip(hidden, -LEVELS * rounded.scale, LEVELS * rounded.scale)
    assert (np.abs(rounded.hear(hidden) - inside) <= rounded.scale / 2).all()
    exact = np.asarray(rounded.hear(hidden), dtype=np.float16).astype(np.float32)
    np.testing.assert_array_equal(exact, rounded.hear(hidden))
    plain = Network(checkpoint.preset, checkpoint.parameters)
    assert (
        rounded.logits(topology, features.astype(np.float32)) != plain.logits(topology, features.astype(np.float32))
    ).any()


def test_the_command_writes_rows_and_the_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["--quick", "--increments", "1,2", "--patience", "0,4", "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    rows = {row["label"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    usual = "default, K=1, opening 4, patience T/3"
    plain, shipped, logits = rows["default, K=1, opening 4"], rows[usual], rows[f"{usual}, logits"]
    assert shipped["shipped"] and not plain["shipped"] and not logits["shipped"]
    assert shipped["mlu"] == logits["mlu"] and shipped["hidden_bytes"] == logits["hidden_bytes"]
    assert logits["sharing_bytes"] > 5 * shipped["sharing_bytes"]
    assert shipped["decisions"] <= plain["decisions"] and shipped["mlu"] >= plain["mlu"]
    assert rows["default, K=0"]["hidden_bytes"] == 0
    one = rows["default, K=1"]
    assert one["hidden_bytes"] == plain["hidden_bytes"] and one["sharing_bytes"] < plain["sharing_bytes"]
    assert rows["default, K=1, 2 links"]["decisions"] == pytest.approx(plain["decisions"] / 2)
    int8 = rows["default, K=1, opening 4, int8"]
    assert int8["hidden_bytes"] == pytest.approx(plain["hidden_bytes"] - 16 * plain["decisions"])
    with (tmp_path / "tradeoff.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == list(rows)
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "tradeoff.md").read_text()
    assert "**default, K=0" in table and f"*{usual}*" in table


@pytest.mark.parametrize(
    "arguments",
    [
        ["--increments", "0"],
        ["--patience", "x"],
        ["--patience", "1000"],
        ["--checkpoints", "none"],
        ["--data", "/nowhere"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
