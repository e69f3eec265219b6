"""The emulated network against the model: routes, costs, counters, priority, utilization. Real kernel, real FRR."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from isolation import isolated, poll
from numpy.typing import NDArray

from agent.config import load_config
from agent.frr import FrrError, FrrRouter, FrrUnavailable
from emulation.agentconf import agent_config, on_fabric, write_config, write_shared
from emulation.doors import Entry
from emulation.fabric import AGENT_PORT, SINK_PORTS, Fabric
from emulation.flows import Stream, TrafficSender
from emulation.isolate import Isolation
from emulation.measure import LinkLoads, measure
from emulation.namespaces import inside
from emulation.processes import EmulationError
from emulation.schedule import FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED, frame_size, timetables
from routing.formats import load_topology
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform


def square() -> Topology:
    """Return a ring of four: two equal paths between opposite corners."""
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)]
    return Topology.from_links("square", ("a", "b", "c", "d"), pairs, 10e9)


def small_weights(topology: Topology, seed: int) -> NDArray[np.int64]:
    """Return weights with many ties."""
    return np.random.Generator(np.random.Philox(key=[seed, 0])).integers(1, 4, topology.num_links)


@contextmanager
def network(folder: Path, topology: Topology, weights: NDArray[np.int64], **options: Any) -> Iterator[Fabric]:
    fabric = Fabric(topology, folder, weights, **options)
    try:
        fabric.up()
        fabric.wait_routes(RoutingState(topology, uniform(topology, 0), weights, ecmp=fabric.ecmp))
        yield fabric
    finally:
        fabric.down()


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
@pytest.mark.parametrize("ecmp", [True, False])
def test_every_route_is_the_models(name: str, ecmp: bool, tmp_path: Path) -> None:
    def body(_: Isolation) -> tuple[int, int]:
        topology = load_topology(name)
        weights = small_weights(topology, 3)
        state = RoutingState(topology, uniform(topology, 0), weights, ecmp=ecmp)
        with network(tmp_path, topology, weights, ecmp=ecmp) as fabric:
            return fabric.routes_verified(state)

    nodes = load_topology(name).num_nodes
    assert isolated(body) == (nodes * (nodes - 1), nodes * (nodes - 1))


def test_routes_that_differ_are_named(tmp_path: Path) -> None:
    def body(_: Isolation) -> str:
        topology = square()
        weights = np.ones(8, dtype=np.int64)
        with network(tmp_path, topology, weights) as fabric:
            changed = weights.copy()
            changed[topology.link_index(0, 1)] = 5
            with pytest.raises(EmulationError) as raised:
                fabric.wait_routes(RoutingState(topology, uniform(topology, 0), changed), timeout_s=0.2)
            return str(raised.value)

    message = isolated(body)
    assert message.startswith("9 of 12 routes as expected after 0.2 s: ")
    assert "a to 10.255.0.2: r0-r1 instead of r0-r3" in message
    assert "a to 10.255.0.3: r0-r1+r0-r3 instead of r0-r3" in message


def test_costs_written_to_each_router_are_in_the_lsdb_and_in_the_kernels(tmp_path: Path) -> None:
    def body(_: Isolation) -> None:
        topology = load_topology("gbn")
        old, new = (small_weights(topology, seed) for seed in (1, 2))
        with network(tmp_path, topology, old) as fabric:
            asyncio.run(set_all(fabric, new))
            fabric.wait_routes(RoutingState(topology, uniform(topology, 0), new), timeout_s=10.0)
            assert fabric.routes_verified(RoutingState(topology, uniform(topology, 0), new)) == (272, 272)

    async def set_all(fabric: Fabric, weights: NDArray[np.int64]) -> None:
        topology = fabric.topology
        routers = [FrrRouter(fabric.vty(node)) for node in range(topology.num_nodes)]
        own = [range(*topology.out_links(node).indices(topology.num_links)) for node in range(topology.num_nodes)]
        costs = [{fabric.interface(link): int(weights[link]) for link in links} for links in own]
        await asyncio.gather(*(router.set_costs(c) for router, c in zip(routers, costs, strict=True)))
        assert [await router.costs() for router in routers] == costs
        ends = zip(topology.src.tolist(), topology.dst.tolist(), strict=True)
        wanted = {
            (fabric.router_id(src), fabric.router_id(dst)): int(weights[link]) for link, (src, dst) in enumerate(ends)
        }
        while await routers[-1].lsdb() != wanted:
            await asyncio.sleep(0.01)
        with pytest.raises(FrrError, match="OSPF does not run on r9-r9"):
            await routers[0].set_costs({"r9-r9": 1})
        with pytest.raises(FrrError, match="Unknown command"):
            await routers[0].run(["frobnicate"])
        for router in routers:
            await router.close()

    isolated(body)


def test_a_dead_daemon_is_reported_with_its_log(tmp_path: Path) -> None:
    def body(_: Isolation) -> str:
        topology = square()
        with network(tmp_path, topology, np.ones(8, dtype=np.int64)) as fabric:
            pid = int((fabric.sockets(2) / "ospfd.pid").read_text())
            router = FrrRouter(fabric.vty(2))

            async def ask() -> None:
                await router.costs()
                os.kill(pid, signal.SIGKILL)
                with pytest.raises(FrrUnavailable):
                    while True:
                        await router.costs()

            asyncio.run(ask())
            message = ""

            def noticed() -> bool:
                nonlocal message
                try:
                    fabric.check_alive()
                except EmulationError as error:
                    message = str(error)
                return bool(message)

            poll(noticed)
            return message

    assert isolated(body) == f"ospfd of c ended with -9; see {tmp_path}/c/ospfd.log"


def agent_socket(fabric: Fabric, link: int) -> socket.socket:
    """Return a socket as an agent's: at the sending end of `link`, bound to its device."""
    with inside(fabric.pid(int(fabric.topology.src[link]))):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, fabric.interface(link).encode())
    made.bind((fabric.address(link), AGENT_PORT))
    made.settimeout(10.0)
    return made


def round_trip(fabric: Fabric, there: socket.socket, back: socket.socket, link: int) -> float:
    """Return the seconds that a frame of 100 bytes takes over `link` and back."""
    began = time.monotonic()
    there.sendto(bytes(100), (fabric.address(int(fabric.topology.reverse[link])), AGENT_PORT))
    data, sender = back.recvfrom(2000)
    back.sendto(data, sender)
    there.recv(2000)
    return time.monotonic() - began


def test_the_kernels_count_the_agents_frames_per_link(tmp_path: Path) -> None:
    def body(isolation: Isolation) -> tuple[list[int], list[int]]:
        topology = square()
        with network(tmp_path, topology, np.ones(8, dtype=np.int64)) as fabric:
            link = topology.link_index(1, 2)
            with agent_socket(fabric, link) as there, agent_socket(fabric, int(topology.reverse[link])) as back:
                for _ in range(7):
                    round_trip(fabric, there, back, link)
                there.sendto(b"", (fabric.address(int(topology.reverse[link])), AGENT_PORT))
                back.recv(1)
                there.sendto(bytes(500), (fabric.address(int(topology.reverse[link])), AGENT_PORT + 1))
            frames, octets = fabric.agent_counters()
            return frames.tolist(), octets.tolist()

    topology = square()
    there, back = topology.link_index(1, 2), topology.link_index(2, 1)
    frames, octets = isolated(body)
    assert {link: count for link, count in enumerate(frames) if count} == {there: 8, back: 7}
    assert (octets[there], octets[back]) == (7 * 128 + 28, 7 * 128)


def send_and_measure(fabric: Fabric, demand: NDArray[np.float64], window_s: float) -> tuple[LinkLoads, TrafficSender]:
    streams = []
    for number, frames_per_second in enumerate((FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED)):
        frame = frame_size(float(fabric.rate.min()), float(demand.sum()), frames_per_second)
        random = np.random.Generator(np.random.Philox(key=[0, number]))
        streams.append(Stream(timetables(demand, frame, SINK_PORTS, random), frame))
    sender = TrafficSender(fabric.hosts.pids, fabric.plan.loopback, streams)
    sender.start()
    try:
        measure(fabric, frame, 0.3)  # until queues and address resolution have settled
        sender.use(1)
        measure(fabric, frame, 0.2)
        return measure(fabric, frame, window_s), sender
    finally:
        sender.stop()


def test_agents_frames_overtake_the_data_of_an_overloaded_link(tmp_path: Path) -> None:
    def body(isolation: Isolation) -> tuple[float, list[float], list[int]]:
        topology = square()
        with network(tmp_path, topology, np.ones(8, dtype=np.int64)) as fabric:
            link = topology.link_index(0, 1)
            demand = np.zeros((4, 4))
            demand[0, 1] = 15e6
            tables = timetables(demand, 1500, SINK_PORTS, np.random.default_rng(0))
            sender = TrafficSender(fabric.hosts.pids, fabric.plan.loopback, [Stream(tables, 1500)])
            sender.start()
            loads = measure(fabric, 1500, 2.0)
            with agent_socket(fabric, link) as there, agent_socket(fabric, int(topology.reverse[link])) as back:
                times = [round_trip(fabric, there, back, link) for _ in range(100)]
            sender.stop()
            return float(loads.utilization[link]), times, loads.dropped.tolist()

    utilization, times, dropped = isolated(body)
    assert utilization == pytest.approx(1.5, abs=0.05)  # offered: what was sent and what was dropped
    assert dropped[0] > 0
    # The data behind which a frame would have to wait is a quarter of a second.
    assert np.median(times) < 0.025


def test_utilization_is_the_models_where_nothing_overflows(tmp_path: Path) -> None:
    def body(_: Isolation) -> tuple[Any, ...]:
        topology = load_topology("gbn")
        weights = inverse_capacity(topology)
        traffic = uniform(topology, 0)
        traffic = traffic.scaled(0.9 / RoutingState(topology, traffic, weights).mlu)
        with network(tmp_path, topology, weights) as fabric:
            loads, sender = send_and_measure(fabric, traffic.demand * fabric.scale, 8.0)
            sent, refused = sender.counts().sent, sender.counts().refused
            model = RoutingState(topology, traffic, weights).utilization
            return loads.utilization, model, loads.dropped.sum(), sent, refused, fabric.delivered()

    measured, model, dropped, sent, refused, delivered = isolated(body)
    assert (dropped, refused) == (0, 0)
    assert np.abs(measured - model).max() < 0.02
    assert np.abs(measured - model).mean() < 0.005
    assert sent - delivered.sum() < 1000  # those under way when the sender was stopped
    assert np.all(np.diag(delivered) == 0) and np.all(delivered + np.eye(17) > 0)


def test_without_ecmp_one_path_takes_it_all(tmp_path: Path) -> None:
    def body(_: Isolation) -> NDArray[np.float64]:
        topology = square()
        demand = np.zeros((4, 4))
        demand[0, 2] = 4e6
        with network(tmp_path, topology, np.ones(8, dtype=np.int64), ecmp=False) as fabric:
            return send_and_measure(fabric, demand, 1.0)[0].utilization

    measured = isolated(body)
    topology = square()
    traffic = TrafficMatrix(np.where(np.arange(16).reshape(4, 4) == 2, 4e9, 0.0), "one")
    model = RoutingState(topology, traffic, np.ones(8, dtype=np.int64), ecmp=False).utilization
    np.testing.assert_allclose(measured, model, atol=0.02)


def test_agents_configuration_is_what_an_agent_reads(tmp_path: Path) -> None:
    def body(_: Isolation) -> list[str]:
        topology = Topology.from_links("t", ('Köln "1"', "b.c", "d"), [(0, 1), (1, 0), (1, 2), (2, 1)], 1e6)
        fabric = Fabric(topology, tmp_path, np.ones(4, dtype=np.int64))
        write_shared(tmp_path, topology)
        configs = [
            agent_config(on_fabric(fabric), topology, node, tmp_path, entry=Entry("unix:/b"), checkpoint="default")
            for node in range(3)
        ]
        for node, config in enumerate(configs):
            fabric.folder(node).mkdir()
            assert load_config(write_config(fabric.folder(node), config)) == config
        assert load_topology(tmp_path / "topology.graphml").digest() == topology.digest()
        return [neighbor.router for neighbor in configs[1].neighbors]

    assert isolated(body) == ['Köln "1"', "d"]
