"""The main job with real FRR and real traffic, as a user types it, and what it leaves in its folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emulation.inputs import read_inputs
from emulation.results import read_run
from routing.formats import load_topology

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
ROUTES = {"nsfnet": 14 * 13, "gbn": 17 * 16, "geant2": 24 * 23}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "emulation" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=ROOT)


def test_gbn_is_better_afterwards_and_everything_agrees(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run("gbn", "--out", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == json.loads((folder / "summary.json").read_text())
    found = read_run(folder)

    assert summary["status"] == "committed"
    assert summary["agreement"]["routers"] == summary["routers"] == 17
    assert summary["ospf"]["routes_verified"] == [ROUTES["gbn"], ROUTES["gbn"]]
    assert summary["ospf"]["lsdb_verified"] is True
    assert summary["mlu"]["before"]["predicted"] == pytest.approx(0.9)
    assert summary["mlu"]["after"]["predicted"] < 0.75 * summary["mlu"]["before"]["predicted"]
    inputs = read_inputs(folder)
    assert summary["ospf"]["costs_changed"] == np.count_nonzero(inputs.best_weights != inputs.live_weights) > 0

    # No link overflows: every link carries what the model says, within 2 % of its capacity.
    for row in found.links:
        for predicted, measured in (
            (row.utilization_before_predicted, row.utilization_before_measured),
            (row.utilization_after_predicted, row.utilization_after_measured),
        ):
            assert measured is not None
            assert abs(measured - predicted) < 0.02, row.name

    # The agents' own count and the kernels' are of the same frames.
    for counted, kernel in (
        (sum(row.frames or 0 for row in found.links), sum(row.kernel_frames or 0 for row in found.links)),
        (sum(row.bytes or 0 for row in found.links), sum(row.kernel_bytes or 0 for row in found.links)),
    ):
        assert counted > 0
        assert abs(kernel - counted) < 0.03 * counted  # greetings before and after the optimisation
    assert found.summary.counted is not None and found.summary.counted.apart < 0.001
    for row in found.links:
        assert row.bytes == (row.hidden_state_bytes or 0) + (row.sharing_bytes or 0) + (row.control_bytes or 0)

    assert (folder / "report.html").read_text().lower().startswith("<!doctype html>")
    for name in load_topology("gbn").nodes:
        assert {"ospfd.conf", "zebra.conf", "agent.toml", "agent.log"} <= {
            path.name for path in (folder / name).iterdir()
        }

    replayed = run("--replay", str(folder))
    assert replayed.returncode == 0, replayed.stderr
    assert summary["agreement"]["digest"] in replayed.stdout


@pytest.mark.parametrize(
    ("topology", "options"),
    [
        ("nsfnet", ("--no-ecmp", "--share", "logits", "--traffic", "gravity")),
        ("geant2", ("--initial", "random:1", "--spawn", "fork", "--seed", "3")),
    ],
)
def test_other_networks_and_options(topology: str, options: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run(topology, *options, "--steps", "40", "--window", "1", "--out", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["status"] in ("committed", "kept")
    assert summary["ospf"]["routes_verified"] == [ROUTES[topology], ROUTES[topology]]
    assert summary["agreement"]["routers"] == summary["routers"]
    assert run("--replay", str(folder)).returncode == 0


def test_a_commit_that_would_not_help_is_not_made(tmp_path: Path) -> None:
    """One step from the live weights cannot lower the MLU by 1 % here: costs stay, and that is no failure."""
    done = run(
        "nsfnet", "--steps", "1", "--window", "0.5", "--out", str(tmp_path / "run"), "--json", "--initial", "random:3"
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["status"] == "kept"
    assert summary["ospf"]["costs_changed"] == 0
    assert "not 1 % below the live" in summary["reason"]


@pytest.mark.parametrize(
    ("option", "what", "routes"),
    [
        (("--fail", "Hannover-Frankfurt@10"), "link Hannover-Frankfurt", 17 * 16),
        (("--fail-router", "Leipzig@10"), "router Leipzig", 16 * 15),
    ],
)
def test_a_failure_is_routed_around_and_what_it_cost_is_counted(
    option: tuple[str, str], what: str, routes: int, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = run("gbn", *option, "--window", "2", "--out", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    summary, found = json.loads(done.stdout), read_run(folder)
    failure = summary["failure"]
    assert summary["status"] == "committed" and summary["mlu"]["after"]["predicted"] < failure["mlu_unchanged"]
    assert failure["episode_ended_s"] < failure["committed_s"]
    assert failure["what"] == what and failure["step"] == 10 and failure["happened"] is True
    assert 0 < failure["rerouted_s"] < failure["episode_ended_s"]
    assert summary["ospf"]["routes_verified"] == [routes, routes]
    assert failure["packets_lost"] < 0.2 * failure["packets_sent"]
    assert failure["packets_sent"] > 1000
    # Without an overload (routers) nothing is lost beyond the moment itself; every packet is accounted for.
    assert failure["packets_lost"] - failure["packets_dropped"] < 200
    for row in found.links:
        gone = (
            {row.src, row.dst} == {"Hannover", "Frankfurt"}
            if option[0] == "--fail"
            else "Leipzig" in (row.src, row.dst)
        )
        assert not gone or row.utilization_after_predicted == 0
    for row in found.links:
        assert row.utilization_after_measured is not None
        assert abs(row.utilization_after_measured - row.utilization_after_predicted) < 0.1, row.name
    assert what in (folder / "report.html").read_text()
    replayed = run("--replay", str(folder))
    assert replayed.returncode == 0 and summary["agreement"]["digest"] in replayed.stdout, replayed.stderr
