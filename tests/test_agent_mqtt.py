"""The agent's MQTT link against a real broker: what survives its death, what is dropped."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import msgspec
import pytest
from scripted_agents import DOMAIN, QUICK, until

from agent.broker import BrokerAddress
from agent.control import Cancel, Progress, Result, Start, Status, Topics, decode, encode
from agent.mqtt import MAX_INCOMING, AgentLink, keep_connected, make_client, side_by_side, subscribe
from agent.postbox import MAX_RESULTS
from emulation.broker import Broker, find_mosquitto

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")

TOPICS = Topics(DOMAIN)
START = Start(
    episode=10, seed=1, steps=3, topology="0" * 32, checkpoint="1" * 32, traffic=b"\0" * 72, start_weights=b"\1\0" * 6
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as started:
        yield started


def crash(broker: Broker) -> None:
    broker.process.kill()
    broker.process.wait()


class Observer:
    """Another client, which hears what agents say, and speaks for the coordinator."""

    def __init__(self, address: BrokerAddress) -> None:
        self.client = make_client(address, "observer")
        self.statuses: list[Status] = []
        self.results: list[Result] = []
        self.steps: list[int] = []
        self.retained: set[str] = set()

    async def run(self) -> None:
        async for packet in self.client.messages:
            assert isinstance(packet.payload, bytes)
            if packet.retain:
                self.retained.add(packet.topic.value)
            if packet.topic.value.endswith("/status"):
                self.statuses.append(decode(packet.payload, Status))
            elif packet.topic.value.endswith("/result"):
                self.results.append(decode(packet.payload, Result))
            else:
                self.steps.append(decode(packet.payload, Progress).step)

    async def say(self, message: Start | Cancel) -> None:
        topic = TOPICS.start if isinstance(message, Start) else TOPICS.cancel
        await self.client.publish(topic, encode(message), qos=1)

    async def __aenter__(self) -> "Observer":
        await self.client.__aenter__()
        await self.client.subscribe([(TOPICS.all_status, 1), (TOPICS.all_results, 1), (TOPICS.all_progress, 1)])
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and isinstance(self.task.exception(), aiomqtt.MqttError):
            return  # the broker died on purpose
        assert self.task.cancelled()
        await self.client.__aexit__(None, None, None)


class Running:
    """A link at work for the time of a block; `messages` is what it yielded."""

    def __init__(self, link: AgentLink) -> None:
        self.link = link
        self.messages: list[Start | Cancel] = []

    async def collect(self) -> None:
        async for message in self.link:
            self.messages.append(message)

    async def __aenter__(self) -> "Running":
        self.tasks = [asyncio.create_task(self.link.run()), asyncio.create_task(self.collect())]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        assert all(task.cancelled() for task in self.tasks), self.tasks


def new_link(broker: Broker, router: str = "r1") -> AgentLink:
    return AgentLink(router, broker.address, domain=DOMAIN, backoff_s=QUICK)


def result(episode: int, reason: str = "") -> Result:
    return Result(router="r1", episode=episode, status="kept", reason=reason)


@pytest.mark.asyncio
async def test_orders_come_in_and_repetitions_do_not(broker: Broker) -> None:
    link = new_link(broker)
    async with Observer(broker.address) as observer, Running(link) as agent:
        await link.connected.wait()
        for episode in (10, 10, 9, 11):
            await observer.say(msgspec.structs.replace(START, episode=episode))
        await observer.say(Cancel(episode=11, reason="enough"))
        await until(lambda: len(agent.messages) >= 3)
        assert [message.episode for message in agent.messages] == [10, 11, 11]
        assert agent.messages[0] == START
        link.set_status(Status(router="r1", online=True, ready=True))
        await until(lambda: observer.statuses[-1].ready)
        assert observer.statuses[-1].episode == 11  # the newest start it knows


@pytest.mark.asyncio
async def test_malformed_payloads_are_counted_and_dropped(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    link = new_link(broker)
    async with Observer(broker.address) as observer, Running(link) as agent:
        await link.connected.wait()
        await observer.client.publish(TOPICS.start, b"\xc1", qos=1)
        await observer.client.publish(TOPICS.start, encode(Cancel(episode=1, reason="")), qos=1)
        await observer.client.publish(TOPICS.cancel, b"", qos=1)
        await observer.say(START)
        await until(lambda: agent.messages)
        assert agent.messages == [START] and link.malformed == 3
    assert sum("dropped a message on lockstep/test/start: not a Start" in text for text in caplog.messages) == 2


@pytest.mark.asyncio
async def test_an_order_larger_than_any_is_dropped(broker: Broker) -> None:
    link = AgentLink("r1", broker.address, domain=DOMAIN, backoff_s=QUICK, largest=len(encode(START)))
    async with Observer(broker.address) as observer, Running(link) as agent:
        await link.connected.wait()
        await observer.say(msgspec.structs.replace(START, traffic=START.traffic + b"\0"))
        await observer.say(msgspec.structs.replace(START, episode=11))
        await until(lambda: agent.messages)
        assert [message.episode for message in agent.messages] == [11]
        assert link.malformed == 1


@pytest.mark.asyncio
async def test_what_was_said_before_the_connection_is_sent(broker: Broker) -> None:
    link = new_link(broker)
    for step in range(3):
        link.publish(Progress(episode=10, step=step, links=[], mlu=0.5))
    link.publish(result(10))
    async with Observer(broker.address) as observer:
        async with Running(link):
            await until(lambda: observer.results)
        await until(lambda: not observer.statuses[-1].online)  # the goodbye
        assert observer.steps == [0, 1, 2]
        assert observer.results == [result(10)]
    async with Observer(broker.address) as late:
        await until(lambda: late.results and late.statuses)
        assert late.retained == {TOPICS.status("r1"), TOPICS.result("r1")}


@pytest.mark.asyncio
async def test_last_words_are_sent_when_the_agent_ends(broker: Broker) -> None:
    link = new_link(broker)
    async with Observer(broker.address) as observer:
        async with Running(link):
            await link.connected.wait()
            link.publish(result(10, "stopped"))
        await until(lambda: observer.results and not observer.statuses[-1].online)
        assert observer.results == [result(10, "stopped")]


@pytest.mark.asyncio
async def test_the_will_tells_of_a_broken_connection(broker: Broker) -> None:
    link = new_link(broker)
    async with Observer(broker.address) as observer, Running(link):
        await until(lambda: observer.statuses and observer.statuses[-1].online)
        # The same identifier again: the broker cuts the link's connection, publishes its will, and the link comes back.
        async with make_client(broker.address, f"lockstep/{DOMAIN}/agents/r1"):
            await until(lambda: not observer.statuses[-1].online)
        await until(lambda: observer.statuses[-1].online)


@pytest.mark.asyncio
async def test_a_broker_that_died_is_told_everything_again(broker: Broker) -> None:
    link = new_link(broker)
    link.set_status(Status(router="r1", online=True, ready=True))
    async with Running(link) as agent:
        async with Observer(broker.address) as observer:
            await link.connected.wait()
            await observer.say(START)
            await until(lambda: agent.messages)
            link.publish(result(9))
            await until(lambda: observer.results)
            crash(broker)
            await until(lambda: not link.connected.is_set())
        link.publish(result(10))  # the episode ended meanwhile
        broker.start()
        async with Observer(broker.address) as observer:
            await until(lambda: observer.results and observer.statuses)
            assert observer.results == [result(10)]
            assert observer.statuses[-1] == Status(router="r1", online=True, ready=True, episode=10)
            crash(broker)
        broker.start()
        async with Observer(broker.address) as observer:  # nothing is unsent, but this broker knows nothing
            await until(lambda: observer.results)
            assert observer.results == [result(10)]
        assert agent.messages == [START]


@pytest.mark.asyncio
async def test_queues_are_bounded(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    link = new_link(broker)
    for episode in range(1, MAX_RESULTS + 3):
        link.publish(result(episode))
    assert link.dropped == 2
    newest = [result(episode) for episode in range(3, MAX_RESULTS + 3)]
    async with Observer(broker.address) as observer:
        task = asyncio.create_task(link.run())  # and nobody takes what comes in
        await until(lambda: len(observer.results) >= len(newest))
        assert observer.results == newest
        for episode in range(1, MAX_INCOMING + 3):
            await observer.say(Cancel(episode=episode, reason=""))
        await until(lambda: link.dropped == 4)
        assert (await anext(link)).episode == 3
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.asyncio
async def test_tcp(tmp_path: Path) -> None:
    with Broker(tmp_path, "amqtt") as broker:
        link = new_link(broker)
        async with Observer(broker.address) as observer, Running(link) as agent:
            await link.connected.wait()
            await observer.say(START)
            link.publish(result(10))
            await until(lambda: agent.messages == [START] and observer.results == [result(10)])


@pytest.mark.asyncio
async def test_a_cancellation_is_heeded_although_the_connection_breaks_with_it(broker: Broker) -> None:
    """A broker often dies together with its agents: none may go on looking for it."""

    async def fails_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise aiomqtt.MqttError("gone") from None

    entered = asyncio.Event()

    async def session(_: aiomqtt.Client) -> None:
        entered.set()
        await side_by_side("r1", receive=fails_when_cancelled(), send=fails_when_cancelled())

    def connect() -> aiomqtt.Client:
        return make_client(broker.address, "r1")

    task = asyncio.create_task(keep_connected(connect, session, name="r1", chance=random.Random(1), backoff_s=QUICK))
    await entered.wait()
    broker.process.kill()
    task.cancel()
    await asyncio.wait([task], timeout=8)
    assert task.cancelled()


@pytest.mark.asyncio
async def test_a_task_cancelled_at_any_moment_ends(broker: Broker) -> None:
    for turns in range(0, 60, 3):
        link = new_link(broker)
        link.publish(result(10))
        task = asyncio.create_task(link.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns % 2:
            await until(lambda: link.connected.is_set())  # noqa: B023
            for _ in range(turns):
                await asyncio.sleep(0)
        link.publish(result(11))
        task.cancel()
        await asyncio.wait([task], timeout=8)
        assert task.cancelled(), turns


class _Refusing(aiomqtt.Client):
    """A broker's answer that mosquitto never gives: it takes every subscription, and delivers nothing."""

    async def subscribe(self, *_: object, **__: object) -> tuple[int, ...]:
        return (1, 0x80)


@pytest.mark.asyncio
async def test_a_refused_subscription_is_said() -> None:
    with pytest.raises(aiomqtt.MqttError, match="lets this client not read b"):
        await subscribe(_Refusing("nowhere"), "a", "b")
