"""Agents forked from one lean process: who they are, how they end, what they cost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config import AgentConfig
from emulation.agentconf import AGENT_FILE, agent_config, on_loopback, write_config, write_shared
from emulation.doors import Entry
from emulation.nursery import Nursery
from emulation.processes import EmulationError
from emulation.spawn import Child
from routing import jit
from routing.topology import Topology

PAIR = Topology.from_links("pair", ["a", "b"], [(0, 1), (1, 0)], 1e9)


def poll(done: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(child: Child) -> bool:
    try:
        return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def agents(nursery: Nursery, tmp_path: Path) -> list[Child]:
    """Two agents, without a broker, that know each other."""
    write_shared(tmp_path, PAIR)
    place = on_loopback(PAIR)
    for node, name in enumerate(PAIR.nodes):
        folder = tmp_path / name
        folder.mkdir()
        entry = Entry(f"unix:{tmp_path}/none")
        config: AgentConfig = agent_config(place, PAIR, node, tmp_path, entry=entry, checkpoint="default")
        write_config(folder, config)
        nursery.fork(name, None, folder / AGENT_FILE, folder, folder / "agent.log")
    poll(lambda: all("started" in child.log.read_text() for child in nursery.children))
    return nursery.children


def test_agents_run_and_are_reported_when_they_end(nursery: Nursery, agents: list[Child]) -> None:
    assert [child.name for child in agents] == ["a", "b"]
    assert all(os.getsid(child.pid) == child.pid for child in agents)
    assert nursery.poll() == []
    os.kill(agents[0].pid, signal.SIGKILL)
    ended: list[Child] = []
    poll(lambda: ended.extend(nursery.poll()) or ended)
    assert [(child.name, child.exit_code) for child in ended] == [("a", -signal.SIGKILL)]
    assert alive(agents[1])


def test_they_end_with_it_and_leave_their_counters(nursery: Nursery, agents: list[Child], tmp_path: Path) -> None:
    nursery.end()
    assert not any(map(alive, agents))
    assert all((tmp_path / name / "overhead.json").exists() for name in PAIR.nodes)
    nursery.end()


def test_they_die_when_it_is_killed(nursery: Nursery, agents: list[Child]) -> None:
    os.kill(nursery.pid, signal.SIGKILL)
    poll(lambda: not any(map(alive, agents)))
    with pytest.raises(EmulationError, match="has ended"):
        nursery.poll()


def test_a_configuration_that_cannot_be_read_is_an_error(nursery: Nursery, tmp_path: Path) -> None:
    with pytest.raises(EmulationError, match="has ended"):
        nursery.fork("a", None, tmp_path / "none.toml", tmp_path, tmp_path / "agent.log")


@pytest.mark.skipif(jit.BUILT is None, reason="no kernels built ahead of time: agents carry numba")
def test_no_compiler_is_in_an_agent_and_little_is_its_own(agents: list[Child]) -> None:
    for child in agents:
        assert "llvmlite" not in Path(f"/proc/{child.pid}/maps").read_text()
        lines = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
        own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
        assert 0 < own < 12e6
