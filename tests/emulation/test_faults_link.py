"""A link that goes down in the middle of an emulated episode."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_episode_after_a_failure_is_as_good_as_one_begun_afresh() -> None:
    command = [sys.executable, "-m", "experiments.faults_link", "--trials", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=ROOT)
    assert done.returncode in (0, 1), done.stderr
    printed = json.loads(done.stdout)
    assert all("new epoch after" in line for line in printed["missed"])  # a busy machine may be late
    assert done.returncode == bool(printed["missed"])
    (row,) = printed["rows"]
    assert 0 < row["rerouted_s"] < row["ended_s"] and 0 < row["epoch_s"] < row["ended_s"]
    assert row["mlu"] == pytest.approx(row["mlu_fresh"], rel=0.02) and row["apart"] < 0.02
