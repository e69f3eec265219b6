"""The coordinator on a real broker: in which order a new one hears what is retained; what an optimisation costs."""

import asyncio
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scripted_agents import DOMAIN, QUICK, ScriptedAgent, running, until

from agent.control import Progress, Result, Start, Status, encode
from agent.mqtt import AgentLink
from coordinator.events import EpisodeEnded, EpisodeStarted
from coordinator.mqtt import Coordinator
from coordinator.protocol import CoordinatorProtocol, Patience, Request
from emulation.broker import Broker, find_mosquitto
from routing.topology import Topology

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")

NODES = [f"r{node}" for node in range(30)]  # more than a broker sends at once without an acknowledgement
RING = Topology.from_links("ring", NODES, [(i, (i + d) % 30) for i in range(30) for d in (1, 29)], 1e9)


def packed(weight: int, first: int | None = None) -> bytes:
    weights = np.full(RING.num_links, weight, dtype="<u2")
    if first is not None:
        weights[0] = first
    return weights.tobytes()


@pytest.mark.asyncio
async def test_a_commit_that_was_left_half_done_is_known_before_an_episode_can_begin(tmp_path: Path) -> None:
    """All agents have told of it, and are ready, before the coordinator is there."""
    with Broker(tmp_path) as broker:
        links = [AgentLink(name, broker.address, domain=DOMAIN, backoff_s=QUICK) for name in NODES]
        for name, link in zip(NODES, links, strict=True):
            sides = {"live_weights": packed(1), "best_weights": packed(3), "began": True, "remembered": True}
            link.publish(Result(router=name, episode=7, status="aborted", steps=3, **sides))  # type: ignore[arg-type]
            link.set_status(Status(router=name, online=True, ready=True, weights=packed(1, first=2)))
        running = [asyncio.create_task(link.run()) for link in links]
        start = Start(
            episode=1, seed=1, steps=3, topology="0" * 32, checkpoint="1" * 32, traffic=b"", start_weights=b""
        )
        await until(lambda: all(link.connected.is_set() and not link._postbox._results for link in links), 30.0)
        await until(lambda: not any(link._postbox._status_due for link in links), 30.0)
        async with asyncio.timeout(30.0):
            protocol = CoordinatorProtocol(RING, first=100)
            coordinator = Coordinator(protocol, broker.address, domain=DOMAIN, chance=random.Random(1))
            coordinator.submit(Request("matrix", start))
            running.append(asyncio.create_task(coordinator.run()))
            while not isinstance(event := await coordinator.events.get(), EpisodeStarted):
                pass
        assert event.name == "restore the costs of episode 7"
        for task in running:
            task.cancel()
        await asyncio.wait(running)


TRIANGLE = Topology.from_links("triangle", ("a", "b", "c"), [(i, j) for i in range(3) for j in range(3) if i != j], 1e9)
STEPS = 4


def request(seed: int) -> Request:
    """Return a request whose `Start` is as long as a real one."""
    matrix, weights = np.ones((3, 3), "<f8").tobytes(), np.ones(TRIANGLE.num_links, "<u2").tobytes()
    digests = {"topology": "0" * 32, "checkpoint": "1" * 32}
    return Request("matrix", Start(episode=1, seed=seed, steps=STEPS, traffic=matrix, start_weights=weights, **digests))


def size(topic: str, message: Start | Status | Progress | Result) -> int:
    """Return the bytes of topic and payload."""
    return len(f"lockstep/{DOMAIN}/{topic}") + len(encode(message))


async def ended(coordinator: Coordinator) -> EpisodeEnded:
    while not isinstance(event := await coordinator.events.get(), EpisodeEnded):
        pass
    return event


@pytest.mark.asyncio
async def test_what_an_optimisation_costs_is_counted(tmp_path: Path) -> None:
    """Both attempts of the first optimisation, then the second by itself; nothing of before and after."""
    results: list[tuple[str, Result]] = []

    def script(name: str, result: Result) -> Result:
        """Let c fail the first attempt."""
        if name == "c" and not any(router == "c" for router, _ in results):
            result = Result(router="c", episode=result.episode, status="aborted", reason="no")
        results.append((name, result))
        return result

    with Broker(tmp_path) as broker:
        agents = [ScriptedAgent(name, broker.address, partial(script, name)) for name in TRIANGLE.nodes]
        protocol = CoordinatorProtocol(TRIANGLE, first=100, patience=Patience(hold_s=0.0))
        coordinator = Coordinator(protocol, broker.address, domain=DOMAIN, backoff_s=QUICK)
        async with running(*agents), asyncio.timeout(30.0):
            serving = asyncio.create_task(coordinator.run())
            coordinator.submit(request(1))
            assert (await ended(coordinator)).outcome.again
            assert not (await ended(coordinator)).outcome.again
            first = coordinator.overhead
            expected = costs(agents[0].starts, results)
            assert (first.messages, first.octets) == expected
            assert first.messages["start"] == 6
            coordinator.submit(request(2))
            await ended(coordinator)
            assert (first.messages, first.octets) == expected
            agents[1].link.set_status(Status(router="b", online=False))
            await until(lambda: "b" not in protocol.online)
            second = costs(agents[0].starts[2:], results[6:])
            assert (coordinator.overhead.messages, coordinator.overhead.octets) == second
            serving.cancel()
            await asyncio.wait([serving])


def costs(starts: list[Start], results: list[tuple[str, Result]]) -> tuple[dict[str, int], dict[str, int]]:
    """Return messages and bytes by kind, as the script of the agents has it."""
    said: list[tuple[str, Start | Status | Progress | Result]] = [
        ("start", start) for start in starts for _ in range(3)
    ]
    for start in starts:
        for name in TRIANGLE.nodes:
            status = Status(router=name, online=True, ready=True, episode=start.episode)
            said.append((f"agents/{name}/status", status))
        for step in range(STEPS + 1):
            chosen, mlu = [1] if step else [], 0.9 - 0.1 * step
            progress = Progress(episode=start.episode, step=step, links=chosen, mlu=mlu)
            said.append(("agents/a/progress", progress))
    said += [(f"agents/{name}/result", result) for name, result in results]
    messages: dict[str, int] = {}
    octets: dict[str, int] = {}
    for topic, message in said:
        kind = topic.rpartition("/")[2]
        messages[kind] = messages.get(kind, 0) + 1
        octets[kind] = octets.get(kind, 0) + size(topic, message)
    return messages, octets
