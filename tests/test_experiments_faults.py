"""The campaign sees what is wrong, and repeats it; the negative controls are caught by the invariant they break."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent.control import Result, Start
from agent.events import EpisodeEnded, SetCosts, StepDone
from coordinator.outcome import summarise
from experiments.faults import main
from experiments.faults_plants import PLANTS
from experiments.faults_scenarios import FAULTS
from experiments.faults_trial import run_trial, small_network
from experiments.faults_truth import Truth
from experiments.virtual_ospf import Area
from experiments.virtual_time import World
from routing.traffic import uniform

ROOT = Path(__file__).parent.parent
NET = small_network(0)
BROKEN = {
    "float-sampling": "I1",
    "no-digest-check": "I2",
    "commit-without-prepare": "I2",
    "no-authentication": "auth",
    "no-replay-window": "auth",
}


def violations(fault: str, plant: str = "", trials: int = 6) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(trials):
        trial = run_trial(fault, FAULTS[fault], seed, PLANTS[plant] if plant else None)
        found.update(violation.invariant for violation in trial.violations)
    return found


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_caught_and_what_it_replaces_is_not(plant: str) -> None:
    fault = PLANTS[plant].fault
    assert violations(fault, plant)[BROKEN[plant]] > 0
    assert violations(fault)[BROKEN[plant]] == 0


@pytest.mark.parametrize("fault", ["duplication", "everything"])
def test_frames_that_links_repeat_are_accepted_once(fault: str) -> None:
    assert violations(fault, "no-replay-window", trials=1).keys() == {"auth"}
    assert violations(fault, trials=1) == {}


def test_the_quick_campaign_violates_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--quick", "--json"])
    captured = capsys.readouterr()
    rows = json.loads(captured.out)["rows"]
    assert {row["fault"]: row["by_invariant"] for row in rows} == {fault: {} for fault in FAULTS}, captured.err
    assert code == 0


def test_a_trial_can_be_repeated() -> None:
    trials = [run_trial("two-faults", FAULTS["two-faults"], 3) for _ in range(2)]
    assert trials[0] == trials[1]


def test_the_command_prints_rows_and_its_exit_code_tells(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--fault", "none", "--fault", "pause", "--trials", "2", "--workers", "1", "--json"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["fault"], row["trials"], row["violations"]) for row in rows] == [("none", 2, 0), ("pause", 2, 0)]
    assert {"detection_s", "recovery_s"} <= rows[1].keys()
    assert main(["--plant", "commit-without-prepare", "--trials", "1", "--workers", "1"]) == 1
    captured = capsys.readouterr()
    replay = "replay: python -m experiments.faults --fault none --trials 1 --seed 0 --plant commit-without-prepare"
    assert replay in captured.err
    assert main(["--plant", "no-replay-window", "--fault", "none", "--trials", "1", "--workers", "1"]) == 0
    assert "no-replay-window was at work in every trial, and nothing was violated" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fault", "rain"],
        ["--plant", "weed"],
        ["--trials", "0"],
        ["--seed", "-1"],
        ["--workers", "0"],
        ["--plant", "float-sampling", "--live"],
        ["--plant", "float-sampling", "--fault", "live-crash"],
    ],
)
def test_bad_input_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--trials", "many"], "argument --trials: 'many', expected a whole number"),
        (["--live-trials", "0"], "--live-trials 0, expected at least 1"),
        (["--fault", "live-link-down"], "--fault live-link-down: a fault in the emulation, expected --live with it"),
        (
            ["--fault", "commit-points", "--seed", "5000", "--trials", "2"],
            "--fault commit-points: points 5000 to 5001 of",
        ),
        (["--fault", "crash-all-points", "--trials", "9999"], "--fault crash-all-points: points 0 to 9998 of"),
        (["--fault", "commit-points", "--seed", "1"], "--fault commit-points: points 1 to "),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"faults: {said}")


def test_help_names_all_faults_and_plants() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.faults", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in (*FAULTS, *PLANTS))


class Watch:
    """A truth that is told things by hand."""

    def __init__(self) -> None:
        self.world = World(1)
        self.area = Area(self.world, NET, np.full(NET.num_links, 5, dtype=np.int64))
        self.truth = Truth(self.world, self.area, {b"fake"})
        traffic = uniform(NET, 1)
        self.truth.requested(9, traffic)
        self.start = Start(
            episode=1,
            seed=9,
            steps=1,
            topology=NET.digest().hex(),
            checkpoint="0" * 32,
            traffic=traffic.demand.tobytes(),
            start_weights=b"",
        )
        self.truth.started(self.start)

    def decide(self, router: int, *links: int) -> None:
        self.truth.told(router, StepDone(1, 0, (), 0.5))
        for step, link in enumerate(links, 1):
            self.truth.told(router, StepDone(1, step, (link,), 0.5))

    def commit(self, router: int, cost: int = 7, undo: bool = False) -> None:
        out = NET.out_links(router)
        weights = np.full(NET.num_links, cost, dtype=np.int64)
        costs = dict.fromkeys(range(out.start, out.stop), cost)
        self.truth.told(router, SetCosts(1, costs, weights, undo=undo))

    @property
    def seen(self) -> dict[str, int]:
        return self.truth.counts()


def test_truth_sees_routers_that_act_differently() -> None:
    watch = Watch()
    watch.decide(0, 3)
    watch.decide(1, 3)
    assert watch.seen == {}
    watch.decide(2, 4)
    assert watch.seen == {"I1": 1}


def test_a_number_counts_for_the_order_that_was_heard() -> None:
    """A coordinator that was restarted gives the number of an order that died with the broker to another one."""
    watch = Watch()
    second, third = (msgspec.structs.replace(watch.start, seed=seed) for seed in (10, 11))
    watch.truth.started(second)
    for router in range(NET.num_nodes):
        watch.decide(router, 3)
    watch.truth.started(third)
    assert list(watch.truth.decided_by_all()) == [(second, [[3]])]


def test_truth_sees_a_commit_before_all_have_decided() -> None:
    watch = Watch()
    for router in range(NET.num_nodes - 1):
        watch.decide(router, 3)
    watch.commit(0)
    assert watch.seen == {"I2": 1}


def test_truth_sees_changes_that_nobody_ordered_and_commits_that_stay_half_done() -> None:
    watch = Watch()
    for router in range(NET.num_nodes):
        watch.decide(router, 3)
    watch.commit(0)
    watch.area.set_cost(0, 7)
    assert watch.seen == {}
    watch.area.set_cost(0, 8)
    assert watch.seen == {"I4": 1}
    watch.area.set_cost(0, 7)
    watch.truth.check_commits("now")
    assert watch.seen == {"I4": 2}
    with watch.truth.by_hand():
        watch.area.set_cost(0, 44)  # an operator's change is nobody's violation
    watch.truth.check_commits("now")
    assert watch.seen == {"I4": 2}


def test_a_cost_in_between_is_forgiven_to_a_router_whose_agent_is_away_and_to_no_other() -> None:
    watch = Watch()
    for router in range(NET.num_nodes):
        watch.decide(router, 3)
    watch.commit(0)
    both = (watch.truth.commits[-1].old[0], watch.truth.commits[-1].new[0])
    between = next(cost for cost in range(1, 9) if cost not in both)
    watch.truth.commits[-1].ordered[0].add(between)
    watch.area.set_cost(0, between)
    assert watch.truth.all_old_or_new([int(NET.src[0])])
    assert not watch.truth.all_old_or_new([int(NET.src[0]) + 1])
    watch.truth.check_commits("now")
    assert watch.seen == {"I4": 1}


@pytest.mark.parametrize(
    ("fault", "seed"),
    [
        ("crash-for-good", 151),  # the agent dies when its link is half way, in the second of three waves
        ("loss-20", 60),  # the first episode is aborted and tried again at once
        ("pause-commit", 500182),  # the agent goes back between two waves of the next commit, in which it has no part
        ("partition-commit", 600021),  # the smaller part goes back when the larger one has committed three times more
    ],
)
def test_trials_that_were_judged_too_early_or_too_hard(fault: str, seed: int) -> None:
    assert run_trial(fault, FAULTS[fault], seed).violations == []


def test_truth_sees_an_mlu_that_rises() -> None:
    watch = Watch()
    for router in range(NET.num_nodes):
        watch.decide(router, 3)
    worse = np.ones(NET.num_links, dtype=np.int64)
    worse[NET.out_links(0)] = 60000
    for router in range(NET.num_nodes):
        out = NET.out_links(router)
        costs = {link: int(worse[link]) for link in range(out.start, out.stop)}
        watch.truth.told(router, SetCosts(1, costs, worse))
        for link, cost in costs.items():
            watch.area.set_cost(link, cost)
    watch.truth.check_commits("now")
    assert watch.seen == {}
    results = {name: Result(router=name, episode=1, status="committed", digest="d") for name in NET.nodes}
    watch.truth.reported(summarise(1, "r", NET.nodes, results, "", superseded=False))
    assert watch.seen == {"I3": 1}


def test_truth_sees_aborts_without_a_reason_and_frames_that_nobody_sent_or_that_came_before() -> None:
    watch = Watch()
    genuine, asking = b"\0\0\0\1genuine, tag", b"\0\0\0\0init, with its tag"
    for data in (genuine, asking, asking):
        watch.truth.accepted(data)
    assert watch.seen == {}
    watch.truth.accepted(b"fake")
    weights = np.ones(NET.num_links, dtype=np.int64)
    ended = EpisodeEnded(1, "aborted", " ", b"", 0, 0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, weights)
    watch.truth.told(0, ended)
    watch.truth.reported(summarise(1, "r", NET.nodes, {}, "", superseded=False))  # "no result from ..."
    assert watch.seen == {"auth": 1, "I6": 1}
    watch.truth.accepted(genuine)
    assert watch.seen == {"auth": 2, "I6": 1}
