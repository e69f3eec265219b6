"""The broker is reached over the very network that the agents route: it dies, or the way to it falls silent."""

import asyncio
import os
import time
from pathlib import Path

import aiomqtt
import pytest
from broker_away import NET, gone
from isolation import hold_network, isolated, kill

from agent.mqtt import KEEPALIVE_S, connected, make_client
from emulation.isolate import Isolation
from emulation.namespaces import inside
from emulation.processes import run_in_each
from experiments.faults_broker_doors import TlsBroker

pytestmark = pytest.mark.root


def test_a_broker_in_a_router_dies_in_the_commit_that_moves_the_ways_to_it(tmp_path: Path) -> None:
    row = gone(tmp_path, "in-band-commit", 2)
    assert row["violations"] == [] and row["status"] == "committed"
    assert row["results"] == row["in_the_dark"] == row["agents_lost"] == 4 and row["moved"] > 0
    assert 0 < row["back_s"] < row["told_s"] < row["next_s"]


def silence(folder: Path) -> float:
    """Return after how many seconds a client notices that there is no way to its broker any more."""

    def body(_: Isolation) -> float:
        near, far = pids = [hold_network(), hold_network()]
        link = [f"link add left netns {near} type veth peer name right netns {far}"]
        run_in_each([(os.getpid(), ["ip", "-batch", "-"], "\n".join(link) + "\n")])
        for pid, device, address in ((near, "left", "10.9.0.1/30"), (far, "right", "10.9.0.2/30")):
            lines = ["link set lo up", f"address add {address} dev {device}", f"link set {device} up"]
            run_in_each([(pid, ["ip", "-batch", "-"], "\n".join(lines) + "\n")])
        broker = TlsBroker(folder, NET, "10.9.0.2", at=far)
        broker.start()
        door = broker.doors(NET).coordinator.door()

        async def listen() -> float:
            async with connected(make_client(door.address, "coordinator", tls=door.tls)) as client:
                run_in_each([(far, ["ip", "link", "set", "right", "down"], "")])
                cut = time.monotonic()
                with pytest.raises(aiomqtt.MqttError):
                    async for _ in client.messages:
                        raise AssertionError("nobody said anything")
                return time.monotonic() - cut

        try:
            with inside(near):
                return asyncio.run(listen())
        finally:
            broker.stop()
            kill(pids)

    return float(isolated(body))


def test_a_connection_without_a_way_is_lost_before_mqtt_notices(tmp_path: Path) -> None:
    assert silence(tmp_path) < KEEPALIVE_S
