"""MQTT over aiomqtt: a connection that is made again whenever it breaks, and an agent's line to the coordinator on it.

- An episode never waits for the broker: messages are handed over without blocking and go out when there is one.
- The broker publishes an offline `Status` (the last will) when the connection breaks. The client identifier is fixed,
  so a half open connection is replaced at once, and its will cannot come after the new `Status`.
- A cancelled task ends, whatever the broker does at the same moment; see `within` and `side_by_side`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import aiomqtt

from agent.broker import BrokerAddress
from agent.control import MAX_PAYLOAD, Cancel, MalformedMessage, Progress, Result, Start, Status, Topics, decode, encode
from agent.credentials import TCP_OPTIONS
from agent.postbox import Postbox

logger = logging.getLogger(__name__)

QOS = 1
CONNECT_S = 5.0  # to connect, subscribe or disconnect, in seconds
PUBLISH_S = 60.0  # a matrix of 2000 nodes is 32 MB, and the line may be slow
KEEPALIVE_S = 15  # a router that lost its power is noticed after one and a half of these
BACKOFF_S = (0.05, 1.0)  # first and longest pause before connecting again
CLOSE_S = 2.0  # for the last messages of a program that ends
MAX_INCOMING = 16  # messages not yet taken by the agent; the oldest goes first
MAX_WAITING = 20_000  # packets not yet decoded: more than the steps and answers of a large network at once
_REFUSED = 0x80  # a subscription's return code from here on is a failure (MQTT 3.1.1, 3.9.3)


def make_client(
    broker: BrokerAddress, identifier: str, *, tls: ssl.SSLContext | None = None, will: aiomqtt.Will | None = None
) -> aiomqtt.Client:
    """Return a client, not yet connected; call it within a running event loop."""
    tcp = not broker.path
    return aiomqtt.Client(
        broker.host if tcp else broker.path,
        broker.port if tcp else 1,  # paho insists on a positive port
        transport="tcp" if tcp else "unix",
        socket_options=TCP_OPTIONS if tcp else (),
        identifier=identifier,
        tls_context=tls,
        will=will,
        timeout=math.inf,  # see `within`
        keepalive=KEEPALIVE_S,
        max_queued_incoming_messages=MAX_WAITING,
    )


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Raise `MqttError` if the block takes too long.

    aiomqtt's own timeouts are off, because they use `asyncio.wait_for`, which in Python 3.11 swallows a cancellation
    that comes together with the awaited answer (python/cpython#86296): the task would go on for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise aiomqtt.MqttError(f"{what} takes more than {seconds:g} s") from error


@asynccontextmanager
async def connected(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """Connect and disconnect a client; raises `MqttError`."""
    async with within(CONNECT_S, "connecting"):
        await client.__aenter__()
    try:
        yield client
    finally:
        # Whatever ended the block (a cancellation, say) must not be hidden by a failure to say goodbye.
        with suppress(aiomqtt.MqttError):
            async with within(CONNECT_S, "disconnecting"):
                await client.__aexit__(None, None, None)


async def publish(client: aiomqtt.Client, topic: str, payload: bytes, *, qos: int = QOS, retain: bool = False) -> None:
    """Publish and, with QoS 1, wait for the broker's acknowledgement; raises `MqttError`."""
    async with within(PUBLISH_S, "publishing"):
        await client.publish(topic, payload, qos=qos, retain=retain)


async def subscribe(client: aiomqtt.Client, *topics: str) -> None:
    """Subscribe, with QoS 1; raises `MqttError`, also if the broker refuses a topic."""
    async with within(CONNECT_S, "subscribing"):
        codes = await client.subscribe([(topic, QOS) for topic in topics])
    values = [code if isinstance(code, int) else code.value for code in codes]
    refused = [topic for topic, value in zip(topics, values, strict=True) if value >= _REFUSED]
    if refused:
        raise aiomqtt.MqttError(f"the broker lets this client not read {', '.join(refused)}")


async def keep_connected(
    connect: Callable[[], aiomqtt.Client],
    session: Callable[[aiomqtt.Client], Awaitable[None]],
    *,
    name: str,
    chance: random.Random,
    backoff_s: tuple[float, float] = BACKOFF_S,
) -> None:
    """Run `session` on one connection after another until cancelled.

    The pauses double up to the longest; each is between half and all of that, drawn from `chance`, so that a hundred
    agents do not return to a restarted broker in one instant.
    """
    attempt = 0
    while True:
        try:
            async with connected(connect()) as client:
                logger.info("%s connected to the broker", name)
                attempt = 0
                await session(client)
        except aiomqtt.MqttError as error:
            level = logging.WARNING if attempt == 0 else logging.DEBUG
            logger.log(level, "%s has no broker (%s), trying again", name, error)
        pause = min(backoff_s[1], backoff_s[0] * 2.0 ** min(attempt, 30))
        attempt += 1
        await asyncio.sleep(pause * chance.uniform(0.5, 1.0))


async def side_by_side(name: str, **works: Coroutine[None, None, None]) -> None:
    """Run tasks until one of them ends, then cancel the others; what it raises is raised.

    Not a TaskGroup: in Python 3.11 it forgets that it was cancelled itself if at the same time one of its tasks fails,
    and a broker often dies together with its clients.
    """
    tasks = [asyncio.create_task(work, name=f"{name} {kind}") for kind, work in works.items()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def payload_of(packet: aiomqtt.Message, largest: int = MAX_PAYLOAD) -> bytes:
    """Return the payload as it came over the wire; raise `MalformedMessage` if it is too long."""
    if not isinstance(packet.payload, bytes):
        raise MalformedMessage(f"payload of type {type(packet.payload).__name__}")
    if len(packet.payload) > largest:
        raise MalformedMessage(f"{len(packet.payload)} bytes, expected at most {largest}")
    return packet.payload


class AgentLink:
    """An agent's messages to and from the coordinator.

    Run `run` as a task, iterate over the link to get `Start` and `Cancel` messages, call `set_status` and `publish` at
    any time; nothing blocks. Cancelling `run` sends what is unsent, says goodbye and disconnects, within
    `CLOSE_S` seconds.

    Parameters
    ----------
    router : name of the router
    broker : where the broker is
    domain : which routers belong together
    tls : certificates to show and to expect; see `agent.credentials`
    largest : bytes of the longest message that makes sense here; what is longer is dropped
    newest_start : number of the newest episode that the agent knows: this and older ones are dropped
    chance : draws the jitter of the pauses
    backoff_s : first and longest pause before connecting again, in seconds

    Attributes
    ----------
    connected : set while there is a connection on which all subscriptions stand
    malformed : payloads that were dropped because they could not be decoded
    """

    def __init__(
        self,
        router: str,
        broker: BrokerAddress,
        *,
        domain: str = "default",
        tls: ssl.SSLContext | None = None,
        largest: int = MAX_PAYLOAD,
        newest_start: int = 0,
        chance: random.Random | None = None,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.router = router
        self.connected = asyncio.Event()
        self.malformed = 0
        self._not_taken = 0
        self._broker = broker
        self._identifier = f"lockstep/{domain}/agents/{router}"
        self._topics = Topics(domain)
        self._tls = tls
        self._largest = largest
        self._chance = chance or random.Random()
        self._backoff_s = backoff_s
        self._incoming: asyncio.Queue[Start | Cancel] = asyncio.Queue(MAX_INCOMING)
        self._postbox = Postbox(router, newest_start)
        self._work = asyncio.Event()

    @property
    def dropped(self) -> int:
        """Messages that were dropped because a queue was full, in either direction."""
        return self._not_taken + self._postbox.dropped

    def __aiter__(self) -> AsyncIterator[Start | Cancel]:
        return self

    async def __anext__(self) -> Start | Cancel:
        """Return the coordinator's next message; waits for as long as it takes."""
        return await self._incoming.get()

    def set_status(self, status: Status) -> None:
        """Publish a status now and after every reconnection; `episode` is raised to the newest `Start` received."""
        self._postbox.set_status(status)
        self._work.set()

    def publish(self, message: Progress | Result) -> None:
        """Send a message as soon as there is a connection."""
        self._postbox.put(message)
        self._work.set()

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        name = f"[{self.router}]"
        await keep_connected(self._connect, self._session, name=name, chance=self._chance, backoff_s=self._backoff_s)

    def _connect(self) -> aiomqtt.Client:
        offline = encode(self._postbox.goodbye())
        will = aiomqtt.Will(self._topics.status(self.router), offline, qos=QOS, retain=True)
        return make_client(self._broker, self._identifier, tls=self._tls, will=will)

    async def _session(self, client: aiomqtt.Client) -> None:
        """Serve one connection."""
        await subscribe(client, self._topics.start, self._topics.cancel)
        self._postbox.connection_made()
        self._work.set()
        self.connected.set()
        try:
            await side_by_side(self.router, receive=self._receive(client), send=self._send(client))
        except asyncio.CancelledError:
            await self._say_goodbye(client)
            raise
        finally:
            self.connected.clear()

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for packet in client.messages:
            try:
                payload = payload_of(packet, self._largest)
                start = packet.topic.value == self._topics.start
                self._take(decode(payload, Start) if start else decode(payload, Cancel))
            except MalformedMessage as error:
                self.malformed += 1
                logger.warning("[%s] dropped a message on %s: %s", self.router, packet.topic, error)

    def _take(self, message: Start | Cancel) -> None:
        if isinstance(message, Start) and not self._postbox.is_new(message):
            return
        if self._incoming.full():
            self._incoming.get_nowait()
            self._not_taken += 1
            logger.warning("[%s] too many messages not yet handled, the oldest is dropped", self.router)
        self._incoming.put_nowait(message)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            await self._flush(client)

    async def _flush(self, client: aiomqtt.Client) -> None:
        """Send all that is due."""
        while (message := self._postbox.take()) is not None:
            await self._publish(client, message)
            self._postbox.sent(message)

    async def _publish(self, client: aiomqtt.Client, message: Status | Progress | Result) -> None:
        if isinstance(message, Progress):
            # QoS 0: a lost step costs a line on a screen, an acknowledgement costs the root time within its round.
            await publish(client, self._topics.progress(self.router), encode(message), qos=0)
            return
        status = isinstance(message, Status)
        topic = self._topics.status(self.router) if status else self._topics.result(self.router)
        await publish(client, topic, encode(message), retain=True)

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """Send what is due and an offline status: a clean disconnection brings no last will."""
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._flush(client)
                await self._publish(client, self._postbox.goodbye())
