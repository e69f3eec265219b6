"""``--no-agents``: the commands that it prints really launch the agents and have them optimise."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from routing.formats import save_topology
from routing.topology import Topology

ROOT = Path(__file__).resolve().parent.parent.parent


def test_agents_and_coordinator_run_by_the_printed_commands(tmp_path: Path) -> None:
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3), (0, 2), (2, 0)]
    save_topology(tmp_path / "kite.graphml", Topology.from_links("kite", ("a", "b", "c d", "e"), pairs, 10e9))
    command = [
        sys.executable, str(ROOT / "emulation" / "run.py"), str(tmp_path / "kite.graphml"), "--no-agents",
        "--window", "0.2", "--steps", "20", "--seed", "1", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    agents: list[subprocess.Popen[bytes]] = []
    try:
        assert run.stdout is not None
        printed = {}
        for line in run.stdout:
            name, _, rest = line.rstrip("\n").partition(": ")
            if rest.startswith(("nsenter ", "env ")):
                printed[name] = shlex.split(rest)
            if "stays up until" in line:
                break
        assert list(printed) == ["a", "b", "c d", "e", "coordinator"]
        coordinator = printed.pop("coordinator")
        for name, words in printed.items():
            with (tmp_path / f"{name}.log").open("wb") as log:
                agents.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path))
        done = subprocess.run(
            [*coordinator, "--json", "--wait", "60"], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        logs = "".join((tmp_path / f"{name}.log").read_text() for name in printed)
        assert done.returncode == 0, done.stdout + done.stderr + logs
        assert [json.loads(line) for line in done.stdout.splitlines()]
    finally:
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=30)
        for agent in agents:
            agent.communicate(timeout=30)
    assert run.returncode == 130, output
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and is_agent_of(pid, tmp_path)]


def is_agent_of(pid: str, folder: Path) -> bool:
    try:
        return str(folder).encode() in Path("/proc", pid, "cmdline").read_bytes() and int(pid) != os.getpid()
    except OSError:
        return False
