"""The trade-off of bytes, MLU and seconds: when episodes end, what is undominated, and the command."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cost_tradeoff import Point, best, ended, main, settings_of


def test_an_episode_ends_when_nothing_better_came_for_long_enough() -> None:
    mlu = [5.0, 4.0, 4.5, 4.0, 4.2, 3.0, 3.5]
    assert ended(mlu, 3) == 4  # the best of step 1, and 2, 3, 4 brought nothing better
    assert ended(mlu, 4) == 6  # step 5 came in time
    assert ended(mlu, 1) == 2
    assert ended([1.0], 1) == 0 and ended([2.0, 1.0, 0.5], 1) == 2


def point(label: str, of_paper: float, mlu: float) -> Point:
    return Point(label, "c", 1, 1, 1, 1.0, "candidate", 1, mlu, 0.0, 1.0, 1.0, 1.0, 1.0, of_paper, 1.0, 1 / of_paper)


def test_only_the_undominated_are_best() -> None:
    points = [point("a", 0.3, 0.9), point("b", 0.1, 1.0), point("c", 0.2, 1.1), point("d", 0.2, 0.95)]
    assert [p.label for p in best(points)] == ["b", "d", "a"]
    assert [p.label for p in best([*points, replace(points[0], label="e", of_paper=0.05)])] == ["e"]
    assert [p.label for p in best(points, "light_s")] == ["a"]


def test_settings_are_all_combinations() -> None:
    settings = settings_of(["default"], [1, 2], [1.0, 0.5])
    assert len(settings) == len({setting.label for setting in settings}) == 3 * 3 * 2 + 1
    assert {setting.rounds for setting in settings} == {0, 1, 2}
    assert settings[-1].label == "default, K=2, opening 4, logits"
    assert "default, K=1, 2 links, patience T/2" in [setting.label for setting in settings]
    assert {setting.rounds for setting in settings_of(["paper"], [1], [1.0])} == {8}


def test_the_command_writes_rows_and_the_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["--quick", "--increments", "1,2", "--patience", "1,4", "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    rows = {row["label"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    plain, logits = rows["default, K=2, opening 4"], rows["default, K=2, opening 4, logits"]
    assert plain["mlu"] == logits["mlu"] and plain["hidden_bytes"] == logits["hidden_bytes"]
    assert logits["sharing_bytes"] > 5 * plain["sharing_bytes"]
    assert rows["default, K=0"]["hidden_bytes"] == 0
    one = rows["default, K=2"]
    assert one["hidden_bytes"] == plain["hidden_bytes"] and one["sharing_bytes"] < plain["sharing_bytes"]
    assert rows["default, K=1"]["hidden_bytes"] == pytest.approx(plain["hidden_bytes"] / 2)
    assert rows["default, K=2, 2 links"]["decisions"] == pytest.approx(plain["decisions"] / 2)
    early = rows["default, K=2, opening 4, patience T/4"]
    assert early["decisions"] <= plain["decisions"] and early["mlu"] >= plain["mlu"]
    with (tmp_path / "tradeoff.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == list(rows)
    assert (tmp_path / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert "**default, K=0" in (tmp_path / "tradeoff.md").read_text()


@pytest.mark.parametrize(
    "arguments", [["--increments", "0"], ["--patience", "x"], ["--checkpoints", "none"], ["--data", "/nowhere"]]
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
