"""The coordinator on MQTT: packets and the clock in, packets and events out. All decisions are the protocol's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque

import aiomqtt
from msgspec.structs import replace

from agent.broker import BrokerAddress
from agent.control import Cancel, MalformedMessage, Progress, Result, Start, Status, Topics, decode, encode
from agent.messages import printable
from agent.mqtt import (
    BACKOFF_S,
    CLOSE_S,
    keep_connected,
    make_client,
    payload_of,
    publish,
    side_by_side,
    subscribe,
)
from coordinator.events import Event
from coordinator.overhead import MqttOverhead
from coordinator.protocol import CoordinatorProtocol, Request

logger = logging.getLogger(__name__)


class Coordinator:
    """Connects a `CoordinatorProtocol` to a broker, and reconnects it.

    Run `run` as a task; take what happens from `events`; call `submit` and `cancel` at any time.

    Parameters
    ----------
    protocol : the protocol, fresh
    broker : where the broker is
    domain : which routers belong together
    tls : certificates to show and to expect; see `agent.credentials`
    chance : draws the jitter of the pauses between attempts to connect
    backoff_s : shortest and longest pause, in seconds

    Attributes
    ----------
    events : what happened, in order
    malformed : payloads that were dropped because they could not be decoded
    overhead : what the newest optimisation has cost over MQTT so far
    """

    def __init__(
        self,
        protocol: CoordinatorProtocol,
        broker: BrokerAddress,
        *,
        domain: str = "default",
        tls: ssl.SSLContext | None = None,
        chance: random.Random | None = None,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.protocol = protocol
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.malformed = 0
        self.overhead = MqttOverhead()
        self._broker = broker
        self._identifier = f"lockstep/{domain}/coordinator"
        self._topics = Topics(domain)
        self._tls = tls
        self._chance = chance or random.Random()
        self._backoff_s = backoff_s
        self._unsent: deque[Start | Cancel] = deque()
        self._work = asyncio.Event()
        self._rearm = asyncio.Event()

    def submit(self, request: Request) -> None:
        """Run an episode as soon as all agents are ready; supersedes what runs or waits."""
        self.overhead = MqttOverhead()
        self.protocol.submit(request, _now())
        self._turn()

    def cancel(self, reason: str) -> None:
        """End the running episode and forget the waiting request."""
        self.protocol.withdraw()
        self.protocol.cancel(reason, _now())
        self._turn()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_time(), name="coordinator timer")
            tasks.create_task(
                keep_connected(
                    lambda: make_client(self._broker, self._identifier, tls=self._tls),
                    self._session,
                    name="coordinator",
                    chance=self._chance,
                    backoff_s=self._backoff_s,
                ),
                name="coordinator mqtt",
            )

    def _turn(self) -> None:
        """Carry out what the protocol wants after it was fed."""
        while (event := self.protocol.next_event()) is not None:
            self.events.put_nowait(event)
        if self.protocol.idle:
            self.overhead.end()
        self._unsent.extend(self.protocol.messages_to_publish())
        self._work.set()
        self._rearm.set()

    async def _keep_time(self) -> None:
        while True:
            self._rearm.clear()
            try:
                async with asyncio.timeout_at(self.protocol.get_timer()):
                    await self._rearm.wait()
            except TimeoutError:
                self.protocol.handle_timer(_now())
                self._turn()

    async def _session(self, client: aiomqtt.Client) -> None:
        """Serve one connection."""
        topics = self._topics
        # What is retained comes in this order: how the last episode ended, before anything lets the next begin.
        await subscribe(client, topics.all_results, topics.all_status, topics.all_progress)
        self.protocol.connection_made(_now())
        self._turn()
        try:
            await side_by_side("coordinator", receive=self._receive(client), send=self._send(client))
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._flush(client)
            raise
        finally:
            self.protocol.connection_lost()
            self._turn()

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for packet in client.messages:
            try:
                topic, payload = packet.topic.value, payload_of(packet)
                self.overhead.received(topic, payload)
                message = read_message(topic, payload)
            except MalformedMessage as error:
                self.malformed += 1
                logger.warning("dropped a message on %s: %s", packet.topic, error)
                continue
            self.protocol.receive(message, _now())
            self._turn()

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            self._work.clear()
            await self._flush(client)
            await self._work.wait()

    async def _flush(self, client: aiomqtt.Client) -> None:
        """Send what is due, and take each off only after the broker's acknowledgement."""
        while self._unsent:
            message = self._unsent[0]
            topic = self._topics.start if isinstance(message, Start) else self._topics.cancel
            payload = encode(message)
            self.overhead.sent(topic, payload, len(self.protocol.online))
            await publish(client, topic, payload)
            self._unsent.popleft()


def read_message(topic: str, payload: bytes) -> Status | Progress | Result:
    """Return the message of an agent, or raise `MalformedMessage`: also if it names another router than its topic.

    What comes of texts can be printed on a terminal.
    """
    sender, _, kind = topic.rpartition("/")
    if kind == "progress":
        return decode(payload, Progress)
    message = decode(payload, Status) if kind == "status" else decode(payload, Result)
    router = sender.rpartition("/")[2]
    if message.router != router:
        raise MalformedMessage(f"router {message.router!r} on the topic of {router!r}")
    if not router.isprintable():
        raise MalformedMessage(f"router {router!r}, expected a printable name")
    if isinstance(message, Status):
        return replace(message, waiting_for=[printable(name) for name in message.waiting_for])
    return replace(message, reason=printable(message.reason))


def _now() -> float:
    return asyncio.get_running_loop().time()
