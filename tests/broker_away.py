"""One trial of `experiments.faults_broker` on a small network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.faults_broker import DONE
from routing.formats import save_topology
from routing.topology import Topology

ROOT = Path(__file__).resolve().parent.parent
ENDS = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
NET = Topology.from_links("small", ("a", "b c", "d", "e"), [*ENDS, *((dst, src) for src, dst in ENDS)], 10e9)


def gone(folder: Path, case: str, seconds: float) -> dict[str, Any]:
    """Return the trial's row."""
    save_topology(folder / "small.graphml", NET)
    command = [sys.executable, "-m", "experiments.faults_broker", "--case", case, "--down", str(seconds), "--json"]
    command += ["--topology", str(folder / "small.graphml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == DONE, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    return dict(row)
