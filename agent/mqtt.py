"""An agent's line to the coordinator: MQTT over aiomqtt, kept up for as long as the agent lives.

What holds whatever the broker does:

- The episode never waits for the broker: everything to be sent is handed over without blocking and goes out when there
  is a connection.
- After every (re)connection the agent's `Status` is published again, and so is its newest `Result`, both retained: a
  broker that died forgot them, and the coordinator may come back later than the agent. It may get a result twice.
- The broker publishes an offline `Status` (the last will) when the connection breaks. The client identifier is fixed,
  so a connection that is half open is replaced at once; its will cannot come after the new `Status`.
- QoS 1 delivers at least once: a `Start` that was seen before is dropped here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncIterator

import aiomqtt
import msgspec

from agent.broker import BrokerAddress
from agent.connection import (
    BACKOFF_S,
    CLOSE_S,
    QOS,
    Login,
    keep_connected,
    make_client,
    payload_of,
    publish,
    side_by_side,
    subscribe,
)
from agent.control import Cancel, MalformedMessage, Progress, Result, Start, Status, Topics, decode, encode

logger = logging.getLogger(__name__)

MAX_INCOMING = 16  # messages not yet taken by the agent; the oldest goes first
MAX_RESULTS = 8
MAX_PROGRESS = 1000


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
    login : user name, password, TLS
    chance : draws the jitter of the pauses
    backoff_s : first and longest pause before connecting again, in seconds

    Attributes
    ----------
    connected : set while there is a connection on which all subscriptions stand
    malformed : payloads that were dropped because they could not be decoded
    dropped : messages that were dropped because a queue was full
    """

    def __init__(
        self,
        router: str,
        broker: BrokerAddress,
        *,
        domain: str = "default",
        login: Login | None = None,
        chance: random.Random | None = None,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.router = router
        self.connected = asyncio.Event()
        self.malformed = 0
        self.dropped = 0
        self._broker = broker
        self._identifier = f"lockstep/{domain}/agents/{router}"
        self._topics = Topics(domain)
        self._login = login
        self._chance = chance or random.Random()
        self._backoff_s = backoff_s
        self._incoming: asyncio.Queue[Start | Cancel] = asyncio.Queue(MAX_INCOMING)
        self._newest_start = 0
        self._status = Status(router=router, online=True)
        self._status_due = True
        self._last_result: Result | None = None
        self._results: deque[Result] = deque(maxlen=MAX_RESULTS)
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)
        self._work = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Start | Cancel]:
        return self

    async def __anext__(self) -> Start | Cancel:
        """Return the coordinator's next message; waits for as long as it takes."""
        return await self._incoming.get()

    def set_status(self, status: Status) -> None:
        """Publish a status now and after every reconnection; `episode` is raised to the newest `Start` received."""
        self._status = status
        self._status_due = True
        self._work.set()

    def publish(self, message: Progress | Result) -> None:
        """Send a message as soon as there is a connection."""
        unsent: deque[Progress] | deque[Result] = self._progress if isinstance(message, Progress) else self._results
        if len(unsent) == unsent.maxlen:
            self.dropped += 1
            logger.warning(
                "[%s] too many unsent messages, the oldest %s is dropped", self.router, type(message).__name__
            )
        if isinstance(message, Result):
            self._results.append(message)
            self._last_result = message
        else:
            self._progress.append(message)
        self._work.set()

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        name = f"[{self.router}]"
        await keep_connected(self._connect, self._session, name=name, chance=self._chance, backoff_s=self._backoff_s)

    def _connect(self) -> aiomqtt.Client:
        offline = encode(Status(router=self.router, online=False))
        will = aiomqtt.Will(self._topics.status(self.router), offline, qos=QOS, retain=True)
        return make_client(self._broker, self._identifier, login=self._login, will=will)

    async def _session(self, client: aiomqtt.Client) -> None:
        """Serve one connection."""
        await subscribe(client, self._topics.start, self._topics.cancel)
        self._status_due = True
        if not self._results and self._last_result is not None:
            self._results.append(self._last_result)
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
                payload = payload_of(packet)
                start = packet.topic.value == self._topics.start
                self._take(decode(payload, Start) if start else decode(payload, Cancel))
            except MalformedMessage as error:
                self.malformed += 1
                logger.warning("[%s] dropped a message on %s: %s", self.router, packet.topic, error)

    def _take(self, message: Start | Cancel) -> None:
        if isinstance(message, Start):
            if message.episode <= self._newest_start:
                level = logging.DEBUG if message.episode == self._newest_start else logging.WARNING
                text = "[%s] dropped the start of episode %d, episode %d came before"
                logger.log(level, text, self.router, message.episode, self._newest_start)
                return
            self._newest_start = message.episode
        if self._incoming.full():
            self._incoming.get_nowait()
            self.dropped += 1
            logger.warning("[%s] too many messages not yet handled, the oldest is dropped", self.router)
        self._incoming.put_nowait(message)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            await self._flush(client)

    async def _flush(self, client: aiomqtt.Client) -> None:
        """Send all that is due. A result is taken off only after the broker's acknowledgement."""
        if self._status_due:
            self._status_due = False  # before the await: set_status may be called during it
            status = msgspec.structs.replace(self._status, episode=max(self._status.episode, self._newest_start))
            await publish(client, self._topics.status(self.router), encode(status), retain=True)
        while self._progress:
            # QoS 0: a lost step costs a line on a screen, an acknowledgement costs the root time within its round.
            await publish(client, self._topics.progress, encode(self._progress.popleft()), qos=0)
        while self._results:
            result = self._results[0]
            await publish(client, self._topics.result(self.router), encode(result), retain=True)
            if self._results and self._results[0] is result:  # not pushed out by newer ones meanwhile
                self._results.popleft()

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """Send what is due and an offline status: a clean disconnection brings no last will."""
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._flush(client)
                offline = Status(router=self.router, online=False, episode=self._newest_start)
                await publish(client, self._topics.status(self.router), encode(offline), retain=True)
