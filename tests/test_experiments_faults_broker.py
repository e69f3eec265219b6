"""Mosquitto dies while real agents work, and comes back: on a unix socket, and on TCP with TLS."""

import json
import math
from pathlib import Path

import pytest
from broker_away import gone

from emulation.broker import find_mosquitto
from experiments.faults_broker import BAD_INPUT, VIOLATED, main, table
from experiments.faults_broker_cases import CASES
from experiments.faults_broker_trial import Trial, note
from experiments.faults_live_programs import LivePrograms


@pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")
@pytest.mark.parametrize("case", ["unix", "tcp"])
def test_an_episode_ends_without_the_broker_and_is_told_when_it_is_back(case: str, tmp_path: Path) -> None:
    row = gone(tmp_path, case, 2)
    assert row["violations"] == [] and row["status"] in ("committed", "kept")
    assert row["results"] == row["in_the_dark"] == row["agents_lost"] == 4
    assert 0 <= row["lost_s"] and 0 < row["back_s"] < row["told_s"] < row["next_s"]


class Told(LivePrograms):
    """What the coordinator of some installation has told."""

    def __init__(self, *told: tuple[float, str]) -> None:
        self.records = [(at, {"event": event}) for at, event in told]

    def without_broker(self) -> int:
        return 0

    def good_episode(self, *_: object, **__: object) -> None:
        return None


@pytest.mark.parametrize(
    ("told", "lost_s", "back_s"),
    [
        ([(1.0, "broker_connected")], math.nan, 0.0),  # it never lost it
        ([(1.0, "broker_connected"), (6.0, "broker_lost"), (8.5, "broker_connected")], 1.0, 0.5),
        ([(1.0, "broker_connected"), (6.0, "broker_lost"), (7.5, "broker_connected")], 1.0, 0.0),  # another way to it
        ([(1.0, "broker_connected"), (6.0, "broker_lost")], 1.0, math.nan),
    ],
)
def test_when_the_coordinator_was_back(told: list[tuple[float, str]], lost_s: float, back_s: float) -> None:
    trial = Trial("unix", 1)
    note(Told(*told), trial, episode=1, struck=5.0, healed=8.0, since=1, mark=1)
    assert (trial.lost_s, trial.back_s) == pytest.approx((lost_s, back_s), nan_ok=True)


def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--case", "nonsense"], ["--down", "1"], ["--trials", "0"], ["--case", "unix", "--seed", "-1"]):
        assert main(wrong) == BAD_INPUT
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_violation_is_shown_and_changes_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(_topology: str, _down_s: float, trial: Trial) -> Trial:
        trial.violations.append("3 of 4 results reached the user")
        return trial

    monkeypatch.setitem(CASES, "unix", type(CASES["unix"])("lost", lost))
    assert main(["--case", "unix", "--seed", "7", "--json"]) == VIOLATED
    shown = capsys.readouterr()
    assert "unix, seed 7: 3 of 4 results reached the user" in shown.err
    assert json.loads(shown.out)["rows"][0]["back_s"] is None  # JSON knows no NaN


def test_the_table_has_a_line_per_case() -> None:
    trials = [Trial("unix", 1, back_s=1.0, status="kept"), Trial("unix", 2, back_s=2.0, status="kept"), Trial("tcp", 1)]
    assert [list(column.cells) for column in table(trials, 60.0).columns][:2] == [["unix", "tcp"], ["2", "1"]]
    assert "1.50 2.00" in list(table(trials, 60.0).columns[10].cells)
