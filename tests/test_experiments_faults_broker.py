"""Mosquitto dies while real agents work, and comes back: on a unix socket, and on TCP with TLS."""

import json
import math
from pathlib import Path

import pytest
from broker_away import gone

from emulation.agents import LOG_FILE
from emulation.broker import find_mosquitto
from emulation.options import parse
from emulation.plan import prepare
from emulation.processes import EmulationError
from experiments.faults_broker import VIOLATED, main, table
from experiments.faults_broker_cases import CASES
from experiments.faults_broker_trial import Trial, note
from experiments.faults_live_programs import LivePrograms
from experiments.faults_live_truth import wrong_words


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


class Logged(LivePrograms):
    """An installation of which there are only the agents' logs."""

    def __init__(self, folder: Path, *texts: str) -> None:
        self.plan = prepare(parse(["nsfnet"]))
        for node, router in enumerate(self.plan.topology.nodes):
            (folder / router).mkdir()
            text = texts[node] if node < len(texts) else ""
            (folder / router / LOG_FILE).write_text(text.replace("ROUTER", router))
        self._own = lambda node: folder / self.plan.topology.nodes[node]
        self.records = []


def test_a_disagreement_is_seen_in_the_logs_also_of_routers_with_spaces_in_their_names(tmp_path: Path) -> None:
    step = "2026-01-01 10:00:00,000 INFO agent.program [ROUTER ep=7 step=3] links ({},), MLU 0.500000\n"
    end = "2026-01-01 10:00:01,000 INFO agent.program [ROUTER ep=7] {} \n"
    texts = [step.format(5) + end.format("committed")] * 13 + [step.format(6) + end.format("aborted")]
    live = Logged(tmp_path, *texts)
    assert live.decisions() == {(7, 3): {"links (5,)", "links (6,)"}}
    ended = live.endings(7)
    assert len(ended) == 14 and [router for router in ended if ended[router] == "aborted"] == [
        live.plan.topology.nodes[-1]
    ]
    assert any(" " in router for router in ended)
    (violation,) = wrong_words(live, {}, 0, True)
    assert violation.invariant == "I1"


def test_a_judge_without_decisions_does_not_judge(tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match="no agent's log tells of a decision"):
        wrong_words(Logged(tmp_path), {}, 0, True)


def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (
        ["--nonsense"],
        ["--case", "nonsense"],
        ["--down", "1"],
        ["--down", "x"],
        ["--trials", "0"],
        ["--case", "unix", "--seed", "-1"],
    ):
        assert main(wrong) == 2
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
