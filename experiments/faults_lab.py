"""A whole installation in one process: agents, coordinator, broker, OSPF area and links under one virtual clock.

The programs are the real ones, from the asyncio tasks of `agent.program` and `coordinator.mqtt` down to the protocols.
Replaced is what lies below them: sockets (`virtual_links`), the MQTT client (`virtual_broker`), ospfd's command socket
(`virtual_ospf`), clock and event loop (`virtual_time`), and chance. Everything is drawn from one seed.

A process can be killed, stopped and continued between any two of its callbacks. Who watches is `faults_truth.Truth`.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.random import Generator, Philox

from agent.broker import parse_broker
from agent.config import AgentConfig, Neighbor
from agent.control import Start, decode
from agent.program import AgentProgram, Shared
from agent.protocol import AgentProtocol
from coordinator.events import EpisodeEnded
from coordinator.mqtt import Coordinator
from coordinator.outcome import Outcome
from coordinator.protocol import CoordinatorProtocol, Request
from coordinator.request import make_request
from experiments.faults_floor import Floor, Process, Substitution, substituted
from experiments.faults_lies import Liar
from experiments.faults_truth import Truth
from experiments.virtual_broker import VirtualBroker
from experiments.virtual_links import Wires
from experiments.virtual_network import Impairment
from experiments.virtual_ospf import Area
from experiments.virtual_time import Storm, VirtualLoop, World
from policy.checkpoint import Checkpoint
from policy.mpnn import Network
from routing.initial import initial_weights
from routing.topology import Topology
from routing.traffic import TrafficMatrix

HELLO_S, DEAD_S, STALL_S = 0.09, 0.3, 2.0  # three hellos and their way
PAUSE_S = 0.2
GOOD = ("committed", "kept")  # how an episode ends well
COORDINATOR = -1  # its number among the processes
_BROKER = parse_broker("unix:/lab")


@dataclass(frozen=True)
class Setting:
    """What a lab is made of.

    Attributes
    ----------
    topology, checkpoint, network : as the agents have them
    steps, share : of every episode
    """

    topology: Topology
    checkpoint: Checkpoint
    network: Network
    steps: int = 4
    share: Any = "candidate"


class Lab:
    """The installation; use it in a `with` block.

    Parameters
    ----------
    setting, seed : what it is and what happens in it
    impairment : of all links
    plant : real components to be replaced by faulty ones (see `faults_plants`)

    Attributes
    ----------
    processes : by router, and the coordinator's under `COORDINATOR`
    user : the coordinator's events with their times; `happenings`, with how much had happened before
    largest : bytes that any program was found to remember
    liars, disks : routers whose agents lie, and how; what each agent leaves to the next one of its router
    auto : requests follow each other, `PAUSE_S` after an episode that ended well, as with ``--every``
    """

    def __init__(
        self, setting: Setting, seed: int, *, impairment: Impairment | None = None, plant: Sequence[Substitution] = ()
    ) -> None:
        self.setting = setting
        self.topology = topology = setting.topology
        self.world = World(seed)
        self.wires = Wires(self.world, topology, impairment or Impairment())
        self.area = Area(self.world, topology, initial_weights(f"random:{seed % 2**32}", topology))
        self.broker = VirtualBroker(self.world)
        self.truth = Truth(self.world, self.area, self.wires.fakes)
        self.broker.taps.append(self._overhear)
        self.processes: dict[int, Process] = {}
        self.user: list[tuple[float, object]] = []
        self._outcomes: list[tuple[float, Outcome]] = []
        self.happenings: list[tuple[int, object]] = []
        self.largest = 0
        self.liars: dict[int, Liar] = {}
        self.disks: dict[int, bytes] = {}
        self.auto = False
        self.requests = seed % 2**20 * 1000  # each lab its own matrices and draws
        self._plant = plant
        self._by_loop: dict[object, Process] = {}
        self._open = ExitStack()

    def __enter__(self) -> Lab:
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-lab-")))
        self._key_file = folder / "domain.key"
        self._key_file.touch(0o600)
        self._key_file.write_bytes(self.world.random.bytes(32))
        below = self.world, self.wires, self.area, self.broker, self.truth
        floor = Floor(*below, self._current, self.liars, self.disks)
        self._open.enter_context(substituted([*floor.substitutions(), *self._plant]))
        for router in range(self.topology.num_nodes):
            self.boot(router)
        self.boot(COORDINATOR)
        self.world.run_until(lambda: all(process.program for process in self.processes.values()), 1.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            for number in list(self.processes):
                self.kill(number)
            with suppress(Storm):
                self.world.run_for(30.0)  # cancelled programs wait for their last words to be heard
        finally:
            self._open.close()

    def _current(self) -> Process:
        return self._by_loop[asyncio.get_running_loop()]

    # ---- processes

    def boot(self, number: int) -> None:
        """Start an agent, or the coordinator."""
        loop = VirtualLoop(self.world, "coordinator" if number < 0 else self.topology.nodes[number])  # type: ignore[abstract]  # the rest is not asked for
        process = Process(number, loop)
        self.processes[number] = process
        self._by_loop[loop] = process
        process.main = loop.start(self._coordinate(process) if number < 0 else self._act(process))

    async def _act(self, process: Process) -> None:
        shared = Shared(self.topology, self.setting.checkpoint, self.setting.network)
        process.program = AgentProgram(self._config(process.number), shared)
        await process.program.run()

    async def _coordinate(self, process: Process) -> None:
        first = 1000 + int(self.world.now)
        protocol = CoordinatorProtocol(self.topology, first=first)
        chance = random.Random(int(self.world.random.integers(2**62)))
        process.program = Coordinator(protocol, _BROKER, chance=chance)
        running = asyncio.create_task(process.program.run())
        try:
            self.world.after(0.0, self.again)
            while True:
                event = await process.program.events.get()
                self.user.append((self.world.now, event))
                self.happenings.append((self.world.happened, event))
                if isinstance(event, EpisodeEnded):
                    self._outcomes.append((self.world.now, event.outcome))
                    self.truth.reported(event.outcome)
                    self.world.after(PAUSE_S if event.outcome.verdict in GOOD else 0.0, self.again)
        finally:
            running.cancel()
            await asyncio.wait([running])

    def _config(self, router: int) -> AgentConfig:
        topology = self.topology
        out = topology.out_links(router)
        neighbors = [
            Neighbor(router=topology.nodes[int(topology.dst[link])], local="-", remote="-", interface=f"if{link}")
            for link in range(out.start, out.stop)
        ]
        return AgentConfig(
            router=topology.nodes[router],
            topology=topology.name,
            broker=str(_BROKER),
            key_file=str(self._key_file),
            neighbors=neighbors,
            ospf=str(router),
            state="-",
            router_ids={name: self.area.router_id(node) for node, name in enumerate(topology.nodes)},
            hello_s=HELLO_S,
            dead_s=DEAD_S,
            stall_s=STALL_S,
        )

    def kill(self, number: int) -> None:
        """End a process as SIGKILL does: nothing leaves it any more, whatever it still does by itself."""
        process = self.processes[number]
        if process.dead:
            return
        process.dead = True
        for client in process.clients:
            client.cut_off()
        for daemon in process.daemons:
            daemon.cut = True
        if number >= 0:
            for socket in self.wires.sockets_of(number):
                socket.close()
        process.loop.resume()
        if process.main is not None:
            process.main.cancel()  # so that Python closes its coroutines in order; nobody hears of it

    def pause(self, number: int) -> None:
        """Stop a process as SIGSTOP does."""
        process = self.processes[number]
        process.loop.pause()
        for client in process.clients:
            client.stopped()

    def resume(self, number: int) -> None:
        """Continue a stopped process: it reads what has come, then its overdue timers fire."""
        process = self.processes[number]
        if not process.dead and process.loop.paused:
            process.loop.resume()

    def protocol(self, router: int) -> AgentProtocol | None:
        """Return an agent's protocol, if it lives."""
        process = self.processes[router]
        if process.dead or process.program is None:
            return None
        protocol: AgentProtocol = process.program._protocol
        return protocol

    # ---- work

    def traffic(self, number: int) -> TrafficMatrix:
        """Return the matrix of a request: a few large demands, so that what suited the last one hardly suits it."""
        nodes = self.topology.num_nodes
        random = Generator(Philox(key=[number, 0x6C6162]))
        demand = np.exp(random.normal(0.0, 2.0, (nodes, nodes))) * 1e8
        np.fill_diagonal(demand, 0.0)
        return TrafficMatrix(demand, f"request {number}")

    def request(self) -> Request:
        """Return the next request: another matrix each time."""
        self.requests += 1
        topology, setting, traffic = self.topology, self.setting, self.traffic(self.requests)
        request = make_request(
            topology,
            traffic,
            initial_weights("inverse-capacity", topology),
            checkpoint=setting.checkpoint.hash,
            steps=setting.steps,
            seed=self.requests,
            share=setting.share,
            margin_milli=0,
        )
        self.truth.requested(self.requests, traffic)
        return request

    def _overhear(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/start"):
            self.truth.started(decode(payload, Start))

    def submit(self) -> None:
        """Ask the coordinator for an episode."""
        process = self.processes[COORDINATOR]
        process.loop.run(process.program.submit, self.request())

    def again(self) -> None:
        """Submit the next request, if they follow each other and none runs or waits."""
        process = self.processes[COORDINATOR]
        if self.auto and not process.dead and process.program is not None and process.program.protocol.idle:
            process.loop.run(process.program.submit, self.request())

    def outcomes(self) -> list[tuple[float, Outcome]]:
        """Return (time, outcome) of all episodes that were reported."""
        return self._outcomes

    def forget(self) -> None:
        """Forget what is over: of very many episodes nobody could keep everything."""
        for noted in (self.user, self.happenings, self._outcomes):
            noted.clear()
        self.truth.forget()

    def wait(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until something holds."""
        return self.world.run_until(condition, limit_s)

    def failures(self) -> list[str]:
        """Return what nobody caught in processes that live, or what ended them."""
        found = []
        for process in self.processes.values():
            if process.dead:
                continue
            if process.main is not None and process.main.done():
                found.append(f"{process.loop.name} ended: {process.main.exception()!r}")
            found += [f"{process.loop.name}: {context}" for context in process.loop.failures]
        return found
