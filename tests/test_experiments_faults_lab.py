"""The lab's ground: loops that stop and die between callbacks; sockets, broker and OSPF like the real ones."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiomqtt
import numpy as np
import pytest

from agent.frr import FrrUnavailable
from experiments.faults_lab import COORDINATOR, Lab
from experiments.faults_trial import make_setting, small_network
from experiments.virtual_broker import VirtualBroker, VirtualClient, matches
from experiments.virtual_links import BUFFER_BYTES, VirtualPoll, Wires
from experiments.virtual_network import Impairment
from experiments.virtual_ospf import DEAD_S, Area, VirtualFrr
from experiments.virtual_time import VirtualLoop, World

NET = small_network(0)


def make_loop(world: World, name: str) -> VirtualLoop:
    return VirtualLoop(world, name)  # type: ignore[abstract]


def test_a_program_on_a_virtual_loop_finds_time_timeouts_and_queues_as_usual() -> None:
    world = World(1)
    seen: list[object] = []

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        seen.append(loop.time())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await queue.get()
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put(3))
            seen.append(await queue.get())
        seen.append(loop.time())

    task = make_loop(world, "p").start(main())
    assert world.run_until(task.done, 10.0)
    task.result()
    assert seen == [0.5, 3, 1.5]


def test_a_stopped_process_does_nothing_until_it_continues_and_a_killed_one_never() -> None:
    world = World(1)
    ticks: dict[str, list[float]] = {"stopped": [], "killed": []}
    loops = {name: make_loop(world, name) for name in ticks}

    async def tick(name: str) -> None:
        while True:
            await asyncio.sleep(1.0)
            ticks[name].append(world.now)

    for name, loop in loops.items():
        loop.start(tick(name))
    world.at(2.5, loops["stopped"].pause)
    world.at(5.25, loops["stopped"].resume)
    world.at(3.5, loops["killed"].kill)
    world.run_for(7.0)
    assert ticks == {"stopped": [1.0, 2.0, 5.25, 6.25], "killed": [1.0, 2.0, 3.0]}
    assert world.now == 7.0


def test_a_moment_is_between_two_happenings() -> None:
    world = World(1)
    order: list[str] = []
    for name in "abc":
        world.at(1.0, lambda name=name: order.append(name))  # type: ignore[misc]
    world.when_happened(2, lambda: order.append("struck"))
    world.run_for(2.0)
    assert order == ["a", "b", "struck", "c"]


def wired(impairment: Impairment | None = None) -> tuple[World, Wires, Callable[[], list[bytes]], VirtualLoop]:
    world = World(3)
    wires = Wires(world, NET, impairment or Impairment())
    loop = make_loop(world, "receiver")
    wires.socket(0, 1)
    socket, poll = wires.socket(1, 0), VirtualPoll()
    poll.register(socket, 1)
    heard: list[bytes] = []
    loop.add_reader(poll, lambda: heard.append(socket.recv(2000)))
    return world, wires, lambda: heard, loop


def test_a_stopped_receiver_reads_what_its_buffer_holds() -> None:
    world, wires, heard, loop = wired()
    loop.pause()
    for _ in range(2000):
        wires.transmit(0, 1, bytes(1000))
    world.run_for(1.0)
    assert heard() == []
    loop.resume()
    world.run_for(1.0)
    assert len(heard()) == BUFFER_BYTES // 1000


def test_links_lose_repeat_damage_and_are_cut() -> None:
    world, wires, heard, _ = wired(Impairment(loss=0.25, duplication=0.5, corruption=0.1))
    for number in range(4000):
        wires.transmit(0, 1, number.to_bytes(4, "big"))
    world.run_for(1.0)
    assert len(heard()) == pytest.approx(4000 * 0.75 * 1.5, rel=0.05)
    damaged = [data for data in heard() if data in wires.fakes]
    assert len(damaged) >= 0.1 * 0.8 * len(heard())
    before = len(heard())
    wires.cut.add((0, 1))
    wires.transmit(0, 1, b"nobody")
    world.run_for(1.0)
    assert len(heard()) == before


def test_subscriptions() -> None:
    assert matches("a/+/c", "a/b/c") and not matches("a/+/c", "a/b/d") and not matches("a/+", "a/b/c")


def run(world: World, *mains: Callable[[], Any]) -> None:
    tasks = [make_loop(world, f"p{n}").start(main()) for n, main in enumerate(mains)]
    assert world.run_until(lambda: all(task.done() for task in tasks), 100.0)
    for task in tasks:
        task.result()


def test_a_broker_keeps_what_is_retained_and_publishes_wills() -> None:
    world = World(1)
    broker = VirtualBroker(world)
    heard: list[tuple[str, bytes, bool]] = []

    async def first() -> None:
        async with VirtualClient(broker, "a", aiomqtt.Will("s/a", b"gone", 1, True)) as client:
            await client.publish("s/a", b"here", qos=1, retain=True)
            await asyncio.sleep(1.0)
            client.cut_off()

    async def second() -> None:
        await asyncio.sleep(0.5)
        async with VirtualClient(broker, "b") as client:
            assert await client.subscribe([("s/+", 1)]) == (1,)
            async for packet in client.messages:
                heard.append((packet.topic.value, packet.payload, packet.retain))
                if packet.payload == b"gone":
                    return

    run(world, first, second)
    assert heard == [("s/a", b"here", True), ("s/a", b"gone", False)]


def test_a_dead_broker_breaks_connections_forgets_and_takes_none() -> None:
    world = World(1)
    broker = VirtualBroker(world)

    async def main() -> None:
        async with VirtualClient(broker, "a") as client:
            await client.publish("t", b"x", qos=1, retain=True)
            broker.die()
            with pytest.raises(aiomqtt.MqttError):
                await client.publish("t", b"y", qos=1)
            with pytest.raises(aiomqtt.MqttError):
                async for _ in client.messages:
                    raise AssertionError
        with pytest.raises(aiomqtt.MqttError):
            await VirtualClient(broker, "b").__aenter__()
        broker.restart()
        async with VirtualClient(broker, "b") as client:
            await client.subscribe([("t", 1)])
            await asyncio.sleep(1.0)
            assert client._packets.empty()

    run(world, main)


def test_costs_flood_and_links_that_are_down_leave_the_databases() -> None:
    world = World(1)
    area = Area(world, NET, np.full(NET.num_links, 5, dtype=np.int64))
    ends = [(area.router_id(int(NET.src[link])), area.router_id(int(NET.dst[link]))) for link in range(NET.num_links)]

    async def main() -> None:
        frr = [VirtualFrr(area, node) for node in range(NET.num_nodes)]
        own = NET.out_links(0).start
        await frr[0].set_costs({f"if{own}": 9})
        assert (await frr[3].lsdb())[ends[own]] == 5
        await asyncio.sleep(0.1)
        assert [(await one.lsdb())[ends[own]] for one in frr] == [9] * NET.num_nodes
        area.link_down(own)
        await asyncio.sleep(0.1)
        for one in frr:
            assert not {ends[own], ends[own][::-1]} & (await one.lsdb()).keys()
        area.link_up(own)
        await asyncio.sleep(0.2)
        assert [(await one.lsdb())[ends[own]] for one in frr] == [9] * NET.num_nodes

    run(world, main)


def test_an_ospfd_that_dies_is_missed_later_and_comes_back_with_its_file() -> None:
    world = World(1)
    area = Area(world, NET, np.full(NET.num_links, 5, dtype=np.int64))
    own = NET.out_links(2).start

    async def main() -> None:
        frr, other = VirtualFrr(area, 2), VirtualFrr(area, 0)
        await frr.set_costs({f"if{own}": 9})
        await asyncio.sleep(0.1)
        links = len(await other.lsdb())
        area.kill(2)
        with pytest.raises(FrrUnavailable):
            await frr.costs()
        await asyncio.sleep(DEAD_S + 1.0)
        assert len(await other.lsdb()) < links
        area.restart(2)
        await asyncio.sleep(0.5)
        assert len(await other.lsdb()) == links
        assert (await frr.costs())[f"if{own}"] == 5

    run(world, main)


def test_the_lab_runs_episodes_and_the_same_seed_is_the_same_run() -> None:
    def history(seed: int) -> tuple[list[tuple[float, str]], int]:
        with Lab(make_setting(0), seed, impairment=Impairment(loss=0.05)) as lab:
            for number in (1, 2):
                lab.submit()
                assert lab.wait(lambda number=number: len(lab.outcomes()) == number, 60.0)  # type: ignore[misc]
            assert lab.failures() == [] and lab.truth.violations == []
            assert len(lab.truth.commits) >= 1 and lab.truth.all_old_or_new()
            return [(at, repr(event)) for at, event in lab.user], lab.world.happened

    assert history(5) == history(5) != history(6)


def test_a_killed_agent_is_gone_for_all_others_and_comes_back() -> None:
    with Lab(make_setting(0), 1) as lab:
        lab.submit()
        assert lab.wait(lambda: bool(lab.outcomes()), 30.0)
        lab.kill(2)
        assert lab.protocol(2) is None
        assert lab.wait(lambda: any(type(event).__name__ == "AgentLost" for _, event in lab.user), 5.0)
        lab.boot(2)
        lab.submit()
        assert lab.wait(lambda: len(lab.outcomes()) == 2, 30.0)
        lab.kill(COORDINATOR)
        before = len(lab.user)
        lab.world.run_for(1.0)
        assert len(lab.user) == before


def test_an_agent_comes_back_without_the_broker_and_is_known_once_that_is_there() -> None:
    with Lab(make_setting(1), 5) as lab:
        lab.submit()
        assert lab.wait(lambda: bool(lab.outcomes()), 30.0)
        lab.broker.die()
        lab.kill(2)
        lab.world.run_for(1.0)
        lab.boot(2)

        def found_its_feet() -> bool:
            agents = [lab.protocol(router) for router in range(lab.topology.num_nodes)]
            return all(agent is not None and agent.ready for agent in agents)

        assert lab.wait(found_its_feet, 1.0)
        lab.world.run_for(20.0)
        np.testing.assert_array_equal(lab.processes[2].program._watch.weights, lab.area.costs)
        lab.broker.restart()
        lab.submit()
        assert lab.wait(lambda: len(lab.outcomes()) == 2, 5.0)
        _, outcome = lab.outcomes()[-1]
        assert outcome.verdict in ("committed", "kept") and len(outcome.results) == lab.topology.num_nodes


def test_cancelled_timers_leave_the_queue_and_the_clock_alone() -> None:
    world = World(1)
    loop = make_loop(world, "p")
    fired: list[float] = []

    async def main() -> None:
        for number in range(5000):
            timer = asyncio.get_running_loop().call_later(1000.0 + number, lambda: fired.append(-1.0))
            await asyncio.sleep(0.001)
            timer.cancel()
            timer.cancel()
        asyncio.get_running_loop().call_later(1.0, lambda: fired.append(world.now))

    task = loop.start(main())
    assert world.run_until(task.done, 10.0)
    assert len(world._queue) < 250
    happened = world.happened
    assert not world.run_until(lambda: False, 10_000.0)
    assert fired == [pytest.approx(6.0)]
    assert world.happened == happened + 1
    assert world._queue == [] and world._cancelled == 0
