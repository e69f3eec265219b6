"""The figures of the lab: same decisions under loss, bounded memory, what authentication takes."""

import json
from typing import Any

import pytest

from experiments.faults_figures import FIGURES, IMPAIRMENTS, authentication, loss, main, memory
from experiments.faults_wanted import LENGTHS, WANTED


def tell(_text: str) -> None:
    """Say nothing."""


def test_loss_changes_no_decision_and_lengthens_episodes() -> None:
    rows = loss(2, tell)
    assert WANTED["loss"].missed(rows) == []
    assert rows.keys() == IMPAIRMENTS.keys()
    assert [row["differing"] for row in rows.values()] == [0] * len(rows)  # type: ignore[index]
    lengths = {name: row["mean_length"] for name, row in rows.items()}  # type: ignore[index]
    assert lengths["nothing"] == 1.0 < lengths["loss 1 %"] < lengths["loss 20 %"]
    for row in rows.values():
        spread = [row[f"length_{percentile}"] for percentile in (50, 90, 99, 100)]  # type: ignore[index]
        assert spread == sorted(spread)
        assert spread[0] <= 2 * row["mean_length"] <= 2 * spread[-1]  # type: ignore[index]
    assert [name for name, row in rows.items() if "as_wanted" in row] == list(LENGTHS)  # type: ignore[operator]


def test_programs_do_not_grow() -> None:
    result = memory(200, tell)  # a tenth of them fills what is bounded
    assert (result["episodes"], result["violations"]) == (200, 0)
    assert abs(result["growth"]) < 0.05  # type: ignore[arg-type]
    assert WANTED["memory"].missed(result | {"resident_growth": 0.0}) == []  # this process runs other tests, too


def test_every_tag_of_an_episode_counts() -> None:
    result = authentication(3, tell)
    assert result["tags"] > 2 * 25 * 2 * 52  # type: ignore[operator]  # made and compared, steps, rounds, links
    assert 0 < result["share_by_count"] < 1  # type: ignore[operator]
    interval = result["interval"]
    assert isinstance(interval, list)
    assert interval[0] <= result["share"] <= interval[1]


LOSS: dict[str, Any] = {
    name: {"seeds": 10, "differing": 0} | ({"as_wanted": 10} if name in LENGTHS else {}) for name in IMPAIRMENTS
}
MEMORY = {"violations": 0, "growth": 0.049, "resident_growth": -0.3}
AUTHENTICATION = {"share_by_count": 0.05, "interval": [0.05, 0.3]}


@pytest.mark.parametrize(
    ("figure", "result", "missed"),
    [
        ("loss", LOSS, []),
        ("loss", LOSS | {"loss 20 %": {"seeds": 10, "differing": 1}}, []),
        ("loss", LOSS | {"reordering 64": {"seeds": 10, "differing": 1}}, ["reordering 64: 1 of 10 episodes differ"]),
        (
            "loss",
            LOSS | {"loss 10 %": {"seeds": 10, "differing": 2, "as_wanted": 8}},
            ["loss 10 %: 2 of 10 episodes differ", "loss 10 %: 2 of 10 episodes not within 4 times the length"],
        ),
        ("memory", MEMORY, []),
        ("memory", MEMORY | {"violations": 1}, ["1 violations, wanted none"]),
        ("memory", MEMORY | {"growth": 0.05}, ["growth 5.00%, wanted less than 5%"]),
        ("memory", MEMORY | {"resident_growth": 0.2}, ["resident_growth 20.00%"]),
        ("mixed", {"episodes": 9, "differing": 0}, []),
        ("mixed", {"episodes": 9, "differing": 1}, ["1 of 9 episodes differ"]),
        ("authentication", AUTHENTICATION, []),
        ("authentication", AUTHENTICATION | {"share_by_count": 0.061}, ["share_by_count 6.10%, wanted at most 5%"]),
        ("authentication", AUTHENTICATION | {"interval": [0.06, 0.3]}, ["share between 6.00% and 30.00%"]),
    ],
)
def test_a_missed_figure_is_said_and_changes_the_exit_code(
    figure: str,
    result: dict[str, Any],
    missed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(FIGURES, figure, (lambda _number, _tell: result, 10))
    assert main([figure]) == (1 if missed else 0)
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == len(missed)
    for line, start in zip(lines, missed, strict=True):
        assert line.startswith(f"faults_figures: {figure} missed: {start}")
    printed = json.loads(shown.out)
    assert printed[figure] == result and len(printed["missed"]) == len(missed)
    assert printed["wanted"] == WANTED[figure].text


@pytest.mark.parametrize("wrong", [["--number", "9", "loss"], ["--number", "-1", "loss"], ["rain"], []])
def test_bad_input_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1


def test_help_says_what_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert FIGURES.keys() == WANTED.keys() and all(wanted.text in shown for wanted in WANTED.values())
