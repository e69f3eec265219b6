"""The run's broker: comes up, is found, goes away; both kinds carry the agents' messages."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from agent.broker import parse_broker
from agent.control import Status, Topics, decode
from agent.mqtt import AgentLink, make_client
from emulation import broker as module
from emulation.broker import Broker, BrokerFailed, find_mosquitto
from routing.errors import InputError

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")
KINDS = [pytest.param("mosquitto", marks=needs_mosquitto), "amqtt"]


async def retained_status(broker: Broker) -> tuple[Status, Status]:
    """An agent's status while it is connected, and the one that a later subscriber gets after it ended."""
    topic = Topics("d").status("r1")

    async def heard() -> Status:
        async with make_client(broker.address, "observer") as client:
            await client.subscribe(topic, qos=1)
            async for packet in client.messages:
                assert isinstance(packet.payload, bytes)
                status = decode(packet.payload, Status)
                if status.ready or not status.online:
                    return status
        raise AssertionError

    link = AgentLink("r1", broker.address, domain="d")
    link.set_status(Status(router="r1", online=True, ready=True))
    task = asyncio.create_task(link.run())
    async with asyncio.timeout(10):
        first = await heard()
        task.cancel()
        await asyncio.wait([task])
        return first, await heard()


@pytest.mark.parametrize("kind", KINDS)
def test_broker_carries_messages_and_goes_away(kind: str, tmp_path: Path) -> None:
    with Broker(tmp_path, kind) as broker:
        assert broker.kind == kind
        assert parse_broker(str(broker.address)) == broker.address
        online, offline = asyncio.run(retained_status(broker))
        assert (online.online, online.ready, offline.online) == (True, True, False)
        process = broker.process
    assert process.returncode is not None
    assert not (tmp_path / "broker.sock").exists()


@needs_mosquitto
def test_only_the_owner_can_connect(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        mode = os.stat(broker.address.path).st_mode
        assert stat.S_ISSOCK(mode) and not mode & (stat.S_IWGRP | stat.S_IWOTH)


@needs_mosquitto
def test_broker_starts_again_after_it_was_killed(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        broker.process.kill()
        broker.process.wait()
        assert (tmp_path / "broker.sock").exists()
        broker.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(broker.address.path)


@needs_mosquitto
def test_failure_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOSQUITTO", "listener 0 {socket}\nno_such_option {user}\n")
    broker = Broker(tmp_path)
    with pytest.raises(BrokerFailed, match="no_such_option"):
        broker.start()
    assert broker.process.returncode is not None


def test_without_mosquitto_it_is_amqtt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_mosquitto", lambda: None)
    assert Broker(tmp_path).kind == "amqtt"
    with pytest.raises(InputError, match="mosquitto is not installed"):
        Broker(tmp_path, "mosquitto")


@needs_mosquitto
def test_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with Broker(folder) as broker:
        path = Path(broker.address.path)
        assert path.is_socket() and not path.is_relative_to(tmp_path)
        broker.process.kill()
        broker.process.wait()
        broker.start()
        again = Path(broker.address.path)
        assert again == path and again.is_socket()
    assert not path.parent.exists()
