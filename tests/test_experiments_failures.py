"""Failed links: the draws, the instances, the averages, and the command with its interruption."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.failures import BOUND, main
from experiments.failures_scenarios import Scenarios, failed_links, split
from experiments.failures_tables import markdown, points
from experiments.quality_instances import Source
from experiments.quality_tables import Row
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import inverse_capacity

QUICK = ["--topology", "nsfnet", "--quick", "--methods", "inverse_capacity,greedy"]


def scenarios(failed: tuple[int, ...] = (0, 1, 4)) -> Scenarios:
    return Scenarios(Source((("gbn", "uniform"),), (3, 5), initial="random:1"), failed, 2, 7)


def test_failed_links_are_different_and_leave_the_network_connected() -> None:
    topology = load_topology("gbn")
    seen = set()
    for scenario in range(20):
        lost = failed_links(topology, 9, 0, scenario)
        left = topology.without_links(lost.tolist())  # raises if that cuts it
        assert len(set(lost.tolist())) == 9 and left.num_links == topology.num_links - 18
        seen.add(tuple(sorted(lost.tolist())))
        np.testing.assert_array_equal(lost, failed_links(topology, 9, 0, scenario))
    assert len(seen) == 20


def test_a_network_cannot_lose_more_links_than_it_has_beyond_a_tree() -> None:
    topology = load_topology("gbn")
    most = topology.num_links // 2 - (topology.num_nodes - 1)
    assert len(failed_links(topology, most, 0, 0)) == most
    with pytest.raises(InputError, match=f"connected without {most} links, not {most + 1}"):
        failed_links(topology, most + 1, 0, 0)


def test_instances_keep_traffic_and_weights_and_lose_the_links() -> None:
    source = scenarios()
    keys = source.keys
    assert [split(key) for key in keys] == [
        (3, 0, 0), (5, 0, 0), (3, 1, 0), (5, 1, 0), (3, 4, 0), (5, 4, 0), (3, 1, 1), (5, 1, 1), (3, 4, 1), (5, 4, 1)
    ]  # fmt: skip
    whole, harmed, other = source.load(keys[0]), source.load(keys[4]), source.load(keys[5])
    assert harmed.topology.num_links == whole.topology.num_links - 8
    assert harmed.topology.digest() == other.topology.digest()  # the same scenario for every matrix
    np.testing.assert_array_equal(harmed.traffic.demand, whole.traffic.demand)
    before = {(a, b): w for a, b, w in zip(whole.topology.src, whole.topology.dst, whole.weights.tolist(), strict=True)}
    after = {
        (a, b): w for a, b, w in zip(harmed.topology.src, harmed.topology.dst, harmed.weights.tolist(), strict=True)
    }
    assert after.items() <= before.items() and len(after) == len(before) - 8
    assert len({source.load(key).digest for key in keys}) == len(keys)


def test_inverse_capacity_weights_stay_those_of_the_whole_network() -> None:
    source = Scenarios(Source((("gbn", "uniform"),), (0,)), (2,), 1, 0)
    harmed = source.load(source.keys[0])
    ratio = harmed.weights / inverse_capacity(harmed.topology)
    assert np.ptp(ratio) == 0


def row(matrix: int, failed: int, scenario: int, method: str, mlu: float, ratio: float | None) -> Row:
    return Row("gbn", "uniform", f"{matrix}/{failed}/{scenario}", method, mlu, ratio, 1.0, 1.0, 1)


def test_scenarios_are_averaged_first_and_deviations_are_over_matrices() -> None:
    rows = [
        row(1, 0, 0, "a", 1.0, 1.0), row(2, 0, 0, "a", 2.0, 1.0),
        row(1, 1, 0, "a", 1.0, 1.25), row(1, 1, 1, "a", 3.0, 1.75), row(2, 1, 0, "a", 4.0, 1.0),
        row(2, 1, 1, "a", 8.0, 2.0),
    ]  # fmt: skip
    none, one = [point for point in points(rows, BOUND) if point.method == "a"]
    assert (none.failed, none.degradation, none.degradation_deviation) == (0, 1.0, 0.0)
    assert (one.failed, one.instances, one.mlu) == (1, 4, 4.0)
    assert one.degradation == pytest.approx(2.5)  # of 2 and 3
    assert one.degradation_deviation == pytest.approx(0.5)
    assert one.degradation_deviation_all == pytest.approx(np.std([1, 3, 2, 4]))
    assert one.ratio == pytest.approx(1.5) and one.ratio_deviation == pytest.approx(0.0)


def test_the_bound_is_a_line_of_its_own_and_unknown_ratios_are_dashes() -> None:
    rows = [row(1, 0, 0, "a", 1.0, 2.0), row(1, 1, 0, "a", 3.0, 2.0)]
    bound = [point for point in points(rows, BOUND) if point.method == BOUND]
    assert [point.mlu for point in bound] == [0.5, 1.5]
    assert bound[1].degradation == pytest.approx(3.0)
    unknown = points([row(1, 0, 0, "a", 1.0, None)], BOUND)
    assert [point.method for point in unknown] == ["a"] and unknown[0].ratio is None
    assert "| a | - |" in markdown(unknown)


def test_the_command_writes_table_figure_and_rows_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    arguments = [*QUICK, "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(entry["method"], entry["failed"]) for entry in rows} == {
        (method, n) for method in ("inverse_capacity", "greedy", BOUND) for n in range(4)
    }
    assert all(
        entry["ratio"] >= 1 - 1e-5 and entry["instances"] == (2 if entry["failed"] == 0 else 4) for entry in rows
    )
    with (tmp_path / "failures.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    assert (tmp_path / "failures.png").read_bytes().startswith(b"\x89PNG")
    journal = tmp_path / "results.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-9]) + lines[-9][:20])  # as an interruption leaves it
    assert main([*arguments, "--json", "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)["rows"]
    keys = ("method", "failed", "mlu", "ratio", "degradation")
    assert [[entry[key] for key in keys] for entry in again] == [[entry[key] for key in keys] for entry in rows]
    assert main(arguments) == 2 and "--resume" in capsys.readouterr().err


def test_what_is_said_beside_quick_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--failed", "1", "--json", "--scenarios", "3"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(entry["failed"], entry["instances"]) for entry in rows} == {(0, 2), (1, 6)}
    assert main([*QUICK, "--failed", "99"]) == 2 and "not 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topology", "nsfnet", "--failed", "99"], "stays connected without"),
        (["--matrices", "0"], "at least 1"),
        (["--resume"], "--out"),
        (["--methods", "magic"], "magic"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--failed", "-1"], "whole number"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
