"""The profile of the central engine: the same decisions, all of the time."""

import json

import pytest

from experiments.cost_profile import Profile, least, main, markdown, profiled
from policy.checkpoint import load_checkpoint
from policy.episode import run_episode
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.traffic import uniform


def test_the_episode_taken_apart_is_the_engines() -> None:
    checkpoint, topology = load_checkpoint("default"), load_topology("nsfnet")
    found = profiled("nsfnet", checkpoint, "default", increments=2, seed=3)
    trace = run_episode(
        topology, uniform(topology, 3), inverse_capacity(topology), checkpoint, steps=50, seed=3, increments=2
    )
    assert (found.mlu, found.decisions) == (trace.best_mlu, len(trace.actions))
    assert 0 < found.total == found.features + found.network + found.draw + found.routing


def test_each_part_counts_at_its_least() -> None:
    one, other = (Profile("n", "c", 10, 1, 0.5, *parts) for parts in ((1.0, 2.0, 3.0, 4.0), (2.0, 1.0, 4.0, 3.0)))
    assert least([one, other]) == Profile("n", "c", 10, 1, 0.5, 1.0, 1.0, 3.0, 3.0)
    assert "| n | c | 10 | 1 | 1,000 (10%) | 2,000 (20%) |" in markdown([one])


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--topology", "nsfnet", "--repeats", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["topology"] == "nsfnet" and row["decisions"] == 100 and row["network"] > 0


@pytest.mark.parametrize(
    "arguments", [["--topology", "gbm"], ["--repeats", "0"], ["--checkpoints", "none"], ["--what"]]
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
