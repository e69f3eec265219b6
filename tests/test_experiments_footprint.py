"""What an agent's start costs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def footprint(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.footprint", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_an_agents_start_is_measured() -> None:
    done = footprint("nsfnet", "--starts", "1")
    assert done.returncode == 0, done.stderr
    kernels, listens, computing, memory = done.stdout.splitlines()
    assert kernels.endswith("; 1 starts")
    seconds, of_these = (float(line.split("best ")[1].split()[0]) for line in (listens, computing))
    assert 0 < of_these
    assert 0 < seconds
    assert 5 < float(memory.split("best ")[1].split()[0]) < 1000


def test_a_wrong_topology_is_one_line() -> None:
    done = footprint("nsfnt")
    assert done.returncode == 2
    assert done.stderr.startswith("footprint.py: ") and done.stderr.count("\n") == 1
