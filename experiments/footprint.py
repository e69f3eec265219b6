"""What one agent's process costs: from its command until it listens, and its memory then.

    python -m experiments.footprint gbn

A forked agent's figures, and those after an episode, are in the output of `emulation/run.py` and in its summary.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emulation.agentconf import agent_config, on_loopback, write_config, write_shared
from emulation.agents import command
from emulation.doors import Entry
from emulation.spawn import processor_time, proportional_memory
from routing import jit
from routing.errors import InputError
from routing.formats import load_topology

_READY_S = 120.0
_POLL_S = 0.005


def start(folder: Path) -> tuple[float, float, int]:
    """Start the agent whose configuration is in a folder, and end it when it listens.

    Returns
    -------
    tuple
        Seconds until then, processor seconds of them, bytes (PSS).

    Raises
    ------
    RuntimeError
        If it ends by itself, or does not listen.
    """
    log = folder / "agent.log"
    with log.open("wb") as sink:
        began = time.monotonic()
        process = subprocess.Popen(command(folder), stdout=sink, stderr=sink)
    try:
        while b" started, " not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > began + _READY_S:
                raise RuntimeError(f"the agent does not start: {log.read_text(errors='replace').strip()}")
            time.sleep(_POLL_S)
        return time.monotonic() - began, processor_time(process.pid), proportional_memory(process.pid)
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Print the best and the median of several starts."""
    parser = argparse.ArgumentParser(prog="footprint.py", description="Measure what the start of an agent costs.")
    parser.add_argument("topology", help="nsfnet, gbn, geant2 or a file (docs/formats.md)")
    parser.add_argument("--starts", type=int, default=9, metavar="N", help="how many [9]")
    options = parser.parse_args()
    try:
        topology = load_topology(options.topology, "uniform")
    except InputError as error:
        print(f"footprint.py: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shared(folder, topology)
        entry = Entry(f"unix:{folder / 'no-broker'}")
        write_config(
            folder, agent_config(on_loopback(topology), topology, 0, folder, entry=entry, checkpoint="default")
        )
        found = [start(folder) for _ in range(max(1, options.starts))]
    print(f"kernels {'built ahead of time' if jit.BUILT is not None else 'compiled by numba'}; {len(found)} starts")
    for title, column, scale, unit in (("listens after", 0, 1.0, "s"), ("of these computing", 1, 1.0, "s"),
                                       ("memory (PSS)", 2, 1e-6, "MB")):  # fmt: skip
        values = [one[column] * scale for one in found]
        print(f"{title:<20} best {min(values):.2f} {unit}, median {statistics.median(values):.2f} {unit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
