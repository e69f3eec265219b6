"""`python -m coordinator` as a process, against scripted agents on a real broker."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scripted_agents import DOMAIN, ScriptedAgent, digest_of, running, until

from agent.control import Cancel, Result
from emulation.broker import Broker, find_mosquitto
from policy.checkpoint import load_checkpoint, random_parameters, save_checkpoint
from policy.preset import PRESETS
from routing.formats import load_topology, save_topology
from routing.topology import Topology
from routing.traffic import save_traffic, uniform

ROOT = Path(__file__).parent.parent
ROUTERS = ("a", "b", "c")
pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto"),
    pytest.mark.asyncio,
]
Lines = list[dict[str, Any]]


class Bench:
    """A folder with a topology and a checkpoint, and a broker."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)]
        self.topology = Topology.from_links("triangle", ROUTERS, pairs, np.full(6, 1e9))
        save_topology(folder / "triangle.graphml", self.topology)
        preset = PRESETS["default"]
        save_checkpoint(folder / "policy.safetensors", preset, random_parameters(preset, 1))
        self.agents = [ScriptedAgent(router, broker.address) for router in ROUTERS]

    def argv(self, *options: str) -> list[str]:
        common = ["--topology", "triangle.graphml", "--checkpoint", "policy.safetensors", "--domain", DOMAIN]
        return [sys.executable, "-m", "coordinator", *common, "--broker", str(self.broker.address), *options]

    @asynccontextmanager
    async def coordinator(self, *options: str) -> AsyncIterator["Process"]:
        process = await asyncio.create_subprocess_exec(
            *self.argv(*options),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield Process(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: Lines = []

    async def line(self, event: str) -> dict[str, Any]:
        """Read on to the next line of this kind."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while text := await self.process.stdout.readline():
                self.lines.append(json.loads(text))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        assert self.process.stderr is not None
        raise AssertionError(f"no {event}: {self.lines} {await self.process.stderr.read()!r}")

    async def end(self) -> tuple[int, str, str]:
        """Wait for its end; return exit code and what else it said."""
        async with asyncio.timeout(20):
            out, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), errors.decode()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Broker(tmp_path) as broker:
        yield Bench(tmp_path, broker)


async def test_an_episode_for_each_matrix(bench: Bench) -> None:
    a, b, c = bench.agents
    async with bench.coordinator(
        "--traffic", "uniform:7", "--traffic", "gravity:8", "--steps", "4", "--json"
    ) as process:
        async with running(a, b):
            waiting = await process.line("waiting")
            assert waiting["for"] == {"c": "no agent"}
            async with running(c):
                first = await process.line("episode_ended")
                second = await process.line("episode_ended")
                code, rest, errors = await process.end()
    assert (code, rest, errors) == (0, "", "")
    assert [(end["name"], end["status"]) for end in (first, second)] == [
        ("uniform:7", "committed"),
        ("gravity:8", "committed"),
    ]
    assert second["episode"] > first["episode"]
    topology = load_topology(bench.folder / "triangle.graphml")
    start = a.starts[0]
    assert (np.frombuffer(start.traffic, "<f8").reshape(3, 3) == uniform(topology, 7).demand).all()
    assert (start.steps, start.topology) == (4, topology.digest().hex())
    assert start.checkpoint == load_checkpoint(bench.folder / "policy.safetensors").hash
    assert b.starts == c.starts == a.starts
    assert (first["digest"], first["costs_changed"], first["lsdb_verified"]) == (digest_of(start), 1, True)
    assert first["mlu"] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert first["links"] == [[1]] * 4
    assert first["best_weights"] == [2] * 6
    steps = [line for line in process.lines if line["event"] == "step_done" and line["episode"] == first["episode"]]
    assert [line["step"] for line in steps] == [0, 1, 2, 3, 4]


async def test_lines_for_people(bench: Bench) -> None:
    async with running(*bench.agents), bench.coordinator("--traffic", "uniform", "--steps", "1") as process:
        code, out, errors = await process.end()
    assert (code, errors) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "connected to the broker"
    assert sorted(lines[1:4]) == [f"agent {router} is online" for router in ROUTERS]
    assert lines[4] == "all 3 agents are ready"
    number = bench.agents[0].starts[0].episode
    assert lines[5] == f"episode {number} started: uniform:1, 1 steps"
    assert "step 1: MLU 0.8000, +1 on a->c" in lines
    assert lines[-1].startswith(
        f"episode {number} committed: MLU 0.9000 -> 0.8000 (best of 1 steps: 1), 1 costs changed, 3 routers agree on "
    )


async def test_disagreement_is_an_abort(bench: Bench) -> None:
    bench.agents[1].script = lambda result: msgspec.structs.replace(result, digest="00", status="kept")
    async with running(*bench.agents), bench.coordinator("--traffic", "uniform", "--steps", "1") as process:
        code, out, _ = await process.end()
    assert code == 3
    assert out.splitlines()[-1].endswith("partial: committed on a, c; kept on b")


async def test_a_missing_result_is_an_abort_in_time(bench: Bench) -> None:
    bench.agents[2].script = lambda result: None
    options = ("--traffic", "uniform", "--steps", "1", "--timeout", "0.5", "--json")
    async with running(*bench.agents), bench.coordinator(*options) as process:
        ended = await process.line("episode_ended")
        code, _, _ = await process.end()
        await until(lambda: bench.agents[2].cancels)
    assert (code, ended["status"], ended["missing"]) == (3, "partial", ["c"])
    assert bench.agents[2].cancels[0].reason == "the coordinator has no result from c"


async def test_missing_agents_are_an_abort_in_time(bench: Bench) -> None:
    async with running(bench.agents[0]), bench.coordinator("--traffic", "uniform", "--wait", "0.5") as process:
        code, out, errors = await process.end()
    assert code == 3
    assert "waiting for 2 of 3: no agent: b, c" in out
    assert errors == "coordinator: after 0.5 s no agent: b, c\n"


async def test_the_broker_dies_in_the_middle_of_an_episode(bench: Bench) -> None:
    for agent in bench.agents:
        agent.go_on.clear()
    options = ("--traffic", "uniform", "--steps", "2", "--json", "--timeout", "20")
    async with running(*bench.agents), bench.coordinator(*options) as process:
        await process.line("episode_started")
        await until(lambda: all(agent.starts for agent in bench.agents))
        bench.broker.process.kill()
        bench.broker.process.wait()
        await process.line("broker_lost")
        for agent in bench.agents:
            agent.go_on.set()  # the episode ends without a broker
        bench.broker.start()
        ended = await process.line("episode_ended")
        code, _, errors = await process.end()
    assert (code, ended["status"], ended["missing"]) == (0, "committed", [])
    assert "coordinator has no broker" in errors
    assert all(len(agent.starts) == 1 for agent in bench.agents)


async def test_a_new_file_supersedes(bench: Bench) -> None:
    folder = bench.folder / "matrices"
    folder.mkdir()
    for agent in bench.agents:
        agent.go_on.clear()
    async with running(*bench.agents), bench.coordinator("--watch", "matrices", "--json", "--steps", "2") as process:
        await process.line("all_ready")
        save_traffic(bench.folder / "first.csv", uniform(bench.topology, 1), bench.topology)
        os.replace(bench.folder / "first.csv", folder / "first.csv")
        (folder / "broken.csv").write_text("src,dst,bps\na,z,1\n")
        started = await process.line("episode_started")
        assert started["name"] == "first.csv"
        save_traffic(folder / "second.csv", uniform(bench.topology, 2), bench.topology)
        cancelled = await process.line("episode_cancelled")
        assert cancelled["reason"] == "superseded by second.csv"
        ended = await process.line("episode_ended")
        assert (ended["status"], ended["superseded"], ended["reason"]) == ("aborted", True, "superseded by second.csv")
        for agent in bench.agents:
            agent.go_on.set()
        ended = await process.line("episode_ended")
        assert (ended["name"], ended["status"]) == ("second.csv", "committed")
        process.process.send_signal(signal.SIGTERM)
        code, _, errors = await process.end()
    assert code == 143
    assert errors.splitlines() == [
        "coordinator: matrices/broken.csv:2: unknown node 'z', expected a node of the topology: a, b, c"
    ]


async def test_every_so_often_the_newest_matrix_again(bench: Bench) -> None:
    options = ("--traffic", "uniform", "--every", "0.05", "--json", "--steps", "1")
    async with running(*bench.agents), bench.coordinator(*options) as process:
        ends = [await process.line("episode_ended") for _ in range(3)]
        process.process.send_signal(signal.SIGINT)
        code, _, _ = await process.end()
    assert code == 130
    assert {(end["name"], end["status"]) for end in ends} == {("uniform:1", "committed")}


async def test_a_signal_cancels_the_episode(bench: Bench) -> None:
    for agent in bench.agents:
        agent.go_on.clear()
    async with running(*bench.agents), bench.coordinator("--traffic", "uniform", "--json") as process:
        await process.line("episode_started")
        await until(lambda: all(agent.starts for agent in bench.agents))
        process.process.send_signal(signal.SIGINT)
        ended = await process.line("episode_ended")
        code, _, _ = await process.end()
    assert (code, ended["status"], ended["reason"]) == (130, "aborted", "the coordinator was stopped")
    assert [agent.cancels for agent in bench.agents] == [
        [Cancel(episode=ended["episode"], reason="the coordinator was stopped")]
    ] * 3


async def test_a_stranger_and_an_impostor(bench: Bench) -> None:
    """An agent outside of the topology is told of; a result on another router's topic is dropped."""
    stranger = ScriptedAgent("z", bench.broker.address, lambda result: _as(result, "a"))
    async with (
        running(stranger, *bench.agents),
        bench.coordinator("--traffic", "uniform", "--json", "--steps", "1") as p,
    ):
        ended = await p.line("episode_ended")
        await p.end()
    assert {"event": "unknown_agent", "router": "z"} in p.lines
    assert ended["status"] == "committed" and set(ended["routers"]) == set(ROUTERS)


def _as(result: Result, router: str) -> Result:
    return msgspec.structs.replace(result, router=router, status="aborted")


async def test_a_reader_that_goes_away_is_no_accident(bench: Bench) -> None:
    async with running(*bench.agents), bench.coordinator("--traffic", "uniform", "--every", "0.1", "--json") as process:
        await process.line("episode_started")
        transport = process.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        code, _, errors = await process.end()
    assert (code, errors) == (1, "")


async def test_bad_input_starts_nothing(bench: Bench) -> None:
    async with bench.coordinator("--traffic", "missing.csv") as process:
        code, out, errors = await process.end()
    assert (code, out) == (2, "")
    assert errors == "coordinator: missing.csv: cannot be read: No such file or directory, expected a traffic matrix\n"
