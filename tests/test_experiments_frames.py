"""The command that measures frames: rows that add up, bad input in one line."""

import json

import pytest

from experiments.frames import main


def test_stages_are_parts_of_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--topology", "nsfnet", "--steps", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    *parts, whole = rows
    assert whole["stage"] == "all"
    assert all(row["us_per_frame"] >= 0.0 for row in rows)
    assert sum(row["us_per_frame"] for row in parts) >= 0.99 * whole["us_per_frame"]


def test_loss_takes_time_and_changes_no_decision(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--topology", "nsfnet", "--steps", "3", "--seeds", "2", "--loss", "0,0.1", "--json"]
    assert main(arguments) == 0
    none, some = json.loads(capsys.readouterr().out)["rows"]
    assert (none["time"], none["frames"], none["repeated"]) == (1.0, 1.0, 0.0)
    assert some["time"] > 1.0
    assert some["repeated"] > 0.0
    assert some["digests"] == 1
    assert some["aborted"] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--loss", "0,x"], "expected probabilities, as 0,0.01,0.1"),
        (["--loss", "1"], "from 0 to below 1"),
        (["--seeds", "0"], "expected at least 1"),
        (["--topology", "nsfnett"], "nsfnet"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    complaint = capsys.readouterr().err
    assert expected in complaint
    assert complaint.count("\n") == 1
