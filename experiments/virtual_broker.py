"""An MQTT broker in a `World`, and the client with which programs reach it, in place of `aiomqtt.Client`.

What it has of MQTT 3.1.1: topics with `+`, retained messages, last wills, QoS 1 (at least once: an acknowledgement is
awaited and may not come), clean sessions, one connection per client identifier. It forgets everything when it dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import aiomqtt

from experiments.virtual_time import VirtualLoop, World

LATENCY_S = 0.001
KEEPALIVE_S = 22.5  # one and a half of what the programs ask for


@dataclass(frozen=True)
class Topic:
    """A topic's name, as `aiomqtt.Topic` has it."""

    value: str

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Packet:
    """A message, as `aiomqtt.Message` has it."""

    topic: Topic
    payload: bytes
    retain: bool = False


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic fits a subscription with `+` for one level."""
    ours, theirs = pattern.split("/"), topic.split("/")
    return len(ours) == len(theirs) and all(a in ("+", b) for a, b in zip(ours, theirs, strict=True))


class VirtualBroker:
    """The broker.

    Attributes
    ----------
    alive : whether it takes connections
    taps : told (topic, payload) of every message
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.taps: list[Callable[[str, bytes], None]] = []
        self._clients: dict[str, VirtualClient] = {}
        self._retained: dict[str, bytes] = {}

    def die(self) -> None:
        """End: all connections break, retained messages are gone."""
        self.alive = False
        clients, self._clients = list(self._clients.values()), {}
        self._retained.clear()
        for client in clients:
            client.broken("the broker is gone")

    def restart(self) -> None:
        """Take connections again."""
        self.alive = True

    def connect(self, client: VirtualClient) -> None:
        """Take a connection, in place of an older one of that identifier."""
        old = self._clients.get(client.identifier)
        self._clients[client.identifier] = client
        if old is not None:
            self._will(old)
            old.broken("another connection of the same identifier")

    def lose(self, client: VirtualClient) -> None:
        """Take the end of a connection that said no goodbye: its will is published."""
        if self._clients.get(client.identifier) is client:
            del self._clients[client.identifier]
            self._will(client)
            client.broken("timed out")

    def leave(self, client: VirtualClient) -> None:
        """Take a goodbye."""
        if self._clients.get(client.identifier) is client:
            del self._clients[client.identifier]

    def subscribed(self, client: VirtualClient, pattern: str) -> None:
        """Send what is retained."""
        for topic, payload in self._retained.items():
            if matches(pattern, topic):
                self._send(client, Packet(Topic(topic), payload, True))

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Pass a message on."""
        for tap in self.taps:
            tap(topic, payload)
        if retain:
            self._retained[topic] = payload
        for client in list(self._clients.values()):
            if any(matches(pattern, topic) for pattern in client.patterns):
                self._send(client, Packet(Topic(topic), payload))

    def _send(self, client: VirtualClient, packet: Packet) -> None:
        def arrive() -> None:
            if self._clients.get(client.identifier) is client:
                client.arrive(packet)

        self.world.after(LATENCY_S, arrive)

    def _will(self, client: VirtualClient) -> None:
        will = client.will
        if will is not None:
            assert isinstance(will.payload, bytes)
            self.publish(will.topic, will.payload, retain=will.retain)


class VirtualClient:
    """One program's connection.

    Attributes
    ----------
    cut : the process was killed, nothing leaves it any more
    """

    def __init__(self, broker: VirtualBroker, identifier: str, will: aiomqtt.Will | None = None) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.identifier = identifier
        self.will = will
        self.patterns: set[str] = set()
        self.cut = False
        self._broker = broker
        self._loop = loop
        self._connected = False
        self._packets: asyncio.Queue[Packet | aiomqtt.MqttError] = asyncio.Queue()

    async def __aenter__(self) -> VirtualClient:
        await self._trip()
        self._connected = True
        self._broker.connect(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connected and not self.cut:
            self._connected = False
            self._broker.leave(self)

    @property
    def messages(self) -> AsyncIterator[Packet]:
        """What comes, until the connection breaks."""
        return self._messages()

    async def _messages(self) -> AsyncIterator[Packet]:
        while True:
            packet = await self._packets.get()
            if isinstance(packet, aiomqtt.MqttError):
                raise packet
            yield packet

    async def subscribe(self, topics: Sequence[tuple[str, int]]) -> tuple[int, ...]:
        """Subscribe, and wait for the acknowledgement; return the QoS that is granted of each."""
        await self._trip()
        self._check()
        for pattern, _ in topics:
            self.patterns.add(pattern)
            self._broker.subscribed(self, pattern)
        await self._trip()
        self._check()
        return tuple(qos for _, qos in topics)

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish; with QoS 1 wait for the acknowledgement, without which nobody knows whether it arrived."""
        self._check()
        self._loop.world.after(LATENCY_S, lambda: self._arrives(topic, payload, retain))
        if qos:
            await self._trip()
            await self._trip()
            self._check()

    def _arrives(self, topic: str, payload: bytes, retain: bool) -> None:
        if self._connected and self._broker.alive:
            self._broker.publish(topic, payload, retain=retain)

    async def _trip(self) -> None:
        await asyncio.sleep(LATENCY_S)
        if self.cut or not self._broker.alive:
            raise aiomqtt.MqttError("no broker")

    def _check(self) -> None:
        if not self._connected or self.cut:
            raise aiomqtt.MqttError("not connected")

    # ---- from the broker

    def arrive(self, packet: Packet) -> None:
        """Take a message."""
        self._packets.put_nowait(packet)

    def broken(self, why: str) -> None:
        """Take the end of the connection."""
        self._connected = False
        self._packets.put_nowait(aiomqtt.MqttError(why))

    # ---- from the lab

    def cut_off(self) -> None:
        """Take the end of the process: the kernel closes its connection, and the broker publishes the will."""
        self.cut = True
        self._connected = False
        self._broker.lose(self)

    def stopped(self) -> None:
        """Answer no pings, because the process is stopped; the broker waits for `KEEPALIVE_S`."""
        self._loop.world.after(KEEPALIVE_S, lambda: self._broker.lose(self) if self._loop.paused else None)
