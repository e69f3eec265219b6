"""The coordinator on a real broker: in which order a new one hears what is retained."""

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest
from scripted_agents import DOMAIN, QUICK, until

from agent.control import Result, Start, Status
from agent.mqtt import AgentLink
from coordinator.events import EpisodeStarted
from coordinator.mqtt import Coordinator
from coordinator.protocol import CoordinatorProtocol, Request
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
