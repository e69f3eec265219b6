"""Every point of a commit is counted once, and a trial strikes exactly there; interrupted campaigns go on."""

import json
from pathlib import Path

import pytest

from experiments import faults_points
from experiments.faults import main
from experiments.faults_journal import Journal
from experiments.faults_lab import COORDINATOR, Lab
from experiments.faults_points import Point, count_points, find_case, run_point
from experiments.faults_trial import Trial, first_episode
from experiments.faults_truth import Violation
from routing.errors import InputError


def test_points_are_all_that_every_process_does_in_the_commit_each_once() -> None:
    case = find_case(0)
    routers = range(case.setting.topology.num_nodes)
    assert {point.victim for point in case.points} == {COORDINATOR, *routers}
    for victim in (COORDINATOR, *routers):
        doings = sorted(point.doing for point in case.points if point.victim == victim)
        assert doings == list(range(doings[0], doings[0] + len(doings)))
        assert len(doings) > 10
    assert count_points() == len(case.points) + len(find_case(1).points)


def test_the_undisturbed_run_is_the_same_up_to_the_point_and_the_victim_does_no_more() -> None:
    case = find_case(0)
    points = sorted((point for point in case.points if point.victim == 2), key=lambda point: point.doing)
    point = points[len(points) // 2]

    def sent(kill: bool) -> list[tuple[int, int, bytes]]:
        with Lab(case.setting, case.seed) as lab:
            first_episode(lab)
            frames: list[tuple[int, int, bytes]] = []

            def tap(sender: int, receiver: int, data: bytes) -> bytes:
                frames.append((sender, receiver, data))
                return data

            lab.auto = True
            lab.submit()
            if kill:
                faults_points._at_point(lab, point, lambda: lab.kill(point.victim))
            lab.wires.taps.append(tap)
            lab.wait(lambda: len(lab.outcomes()) == 2, 30.0)
            return frames

    whole, cut = sent(False), sent(True)
    before = next(number for number, (a, b) in enumerate(zip(whole, cut, strict=False)) if a != b)
    assert before > 100
    assert 2 not in {sender for sender, _, _ in cut[before:]}


@pytest.mark.parametrize("number", [0, 5])
def test_a_point_can_be_repeated_and_violates_nothing(number: int) -> None:
    trial = run_point("commit-points", number)
    assert trial == run_point("commit-points", number)
    assert trial.violations == [] and trial.next_s is not None


def test_a_half_done_commit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The victim sets a cost by itself when it is killed, and nobody puts it right."""

    def kill(lab: Lab, point: Point) -> tuple[object, float]:
        link = lab.topology.out_links(0).start
        lab.area.set_cost(link, int(lab.area.costs[link]) + 1)
        return lambda: None, 0.05

    monkeypatch.setattr(faults_points, "_kill", kill)
    assert {violation.invariant for violation in run_point("commit-points", 0).violations} >= {"I4"}


@pytest.mark.parametrize(
    ("fault", "plant", "invariant"),
    [("commit-points", "commit-without-prepare", "I2"), ("crash-all-points", "float-sampling", "I1")],
)
def test_a_planted_fault_is_caught_at_points_too(
    fault: str, plant: str, invariant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--fault", fault, "--plant", plant, "--trials", "2", "--workers", "1", "--json"]) == 1
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)["rows"]
    assert row["by_invariant"][invariant] > 0
    assert f"--fault {fault} --trials 1 --seed 0 --plant {plant}" in captured.err


def test_a_journal_keeps_trials_and_takes_no_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.jsonl"
    trial = Trial("none", 3, [Violation("I1", 0.5, "x")], next_s=0.25, outcomes={"kept": 2})
    with Journal(path, False, "") as journal:
        journal.add(trial)
    with path.open("a") as file:
        file.write('{"fault":"none","se')  # the process ended here
    with Journal(path, True, "") as journal:
        assert journal.trials == {("none", 3): trial}
        journal.add(Trial("none", 4))
    with Journal(path, True, "") as journal:
        assert [seed for _, seed in journal.trials] == [3, 4]
    with pytest.raises(InputError, match="expected --resume"):
        Journal(path, False, "")
    with pytest.raises(InputError, match="--plant was ''"):
        Journal(path, True, "float-sampling")
    monkeypatch.setattr("experiments.faults_journal._code_digest", lambda: "another")
    with pytest.raises(InputError, match="other code"):
        Journal(path, True, "")
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match=r":1: .*expected a line"):
        Journal(path, True, "")


def test_an_interrupted_campaign_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[tuple[str, int, str]] = []

    def one(task: tuple[str, int, str]) -> Trial:
        if len(run) == 3:
            raise KeyboardInterrupt
        run.append(task)
        return Trial(task[0], task[1], next_s=0.5)

    monkeypatch.setattr("experiments.faults_campaign._one", one)
    out = str(tmp_path / "trials.jsonl")
    command = ["--fault", "none", "--fault", "pause", "--trials", "2", "--workers", "1", "--json", "--out", out]
    assert main(command) == 130
    assert "interrupted; what was done is in --out, if given, and --resume goes on" in capsys.readouterr().err
    assert main(command) == 2  # what is there is not thrown away
    run.append(("", 0, ""))
    assert main([*command, "--resume"]) == 0
    assert [task[:2] for task in run[:3] + run[4:]] == [("none", 0), ("none", 1), ("pause", 0), ("pause", 1)]
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["fault"], row["trials"]) for row in rows] == [("none", 2), ("pause", 2)]
    assert main(["--resume"]) == 2
