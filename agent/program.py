"""The agent process: protocol, sockets, MQTT and OSPF joined; by `python -m agent` or forked by the emulation."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray

from agent.config import AgentConfig, check_against, load_key
from agent.control import Cancel, Progress, Start, Status
from agent.credentials import open_door
from agent.events import CommitBegun, EpisodeEnded, NeighborSilent, NeighborUp, SetCosts, StepDone
from agent.lastcommit import LastCommit
from agent.mqtt import AgentLink
from agent.order import Order, Refused, largest_start
from agent.ospf import VERIFY_S, FrrOspf, ModelOspf, Ospf, OspfProblem
from agent.overhead import Overhead, sent_since
from agent.protocol import AgentProtocol
from agent.report import result_of
from agent.statefile import StateFile
from agent.udp import UdpAdapter
from agent.watch import CostWriter, OspfWatch
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.mpnn import Network
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.topology import Topology

logger = logging.getLogger(__name__)

OVERHEAD_FILE = "overhead.json"


@dataclass(frozen=True)
class Shared:
    """What a process may have read before it forks its agents: nothing here is changed afterwards."""

    topology: Topology
    checkpoint: Checkpoint
    network: Network


def load_shared(config: AgentConfig) -> Shared:
    """Read topology and checkpoint; raise `InputError`."""
    checkpoint = load_checkpoint(config.checkpoint)
    return Shared(
        load_topology(config.topology, config.profile), checkpoint, Network(checkpoint.preset, checkpoint.parameters)
    )


class AgentProgram:
    """One agent at work.

    Parameters
    ----------
    config : its settings, checked against the topology
    shared : topology, checkpoint, network
    folder : where `overhead.json` is written at the end, if anywhere
    """

    def __init__(self, config: AgentConfig, shared: Shared, folder: Path | None = None) -> None:
        topology = shared.topology
        self._config = config
        self._topology = topology
        self._checkpoint = shared.checkpoint
        self._folder = folder
        self._router = check_against(config, topology)
        self._ospf = self._make_ospf()
        file = StateFile(config.state) if config.state else None
        self._last = LastCommit(file, config.router, topology)
        self._protocol = AgentProtocol(
            topology=topology,
            network=shared.network,
            router=self._router,
            key=load_key(config.key_file),
            boot_nonce=os.urandom(16),
            now=monotonic(),
            timing=config.timing(),
            remembered=self._last.episode,
        )
        door = open_door(config.broker, config.credentials, insecure=config.insecure_broker)
        largest, newest = largest_start(topology), self._last.episode
        self._link = AgentLink(
            config.router, door.address, domain=config.domain, tls=door.tls, largest=largest, newest_start=newest
        )
        self._udp = UdpAdapter(self._protocol, self._act)
        self._before: dict[int, Overhead] = {}
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._costs = CostWriter(self._ospf, self._costs_set, lambda: self._protocol.awake(monotonic()))
        self._watch = OspfWatch(self._ospf, self._ospf_shows, self._lose_interface)
        self._watch_s = 0.0
        self._status: Status | None = None
        self._idle = asyncio.Event()

    def _make_ospf(self) -> Ospf:
        config, topology = self._config, self._topology
        if not config.ospf:
            return ModelOspf(initial_weights(config.initial, topology))
        interfaces = {
            topology.link_index(self._router, topology.nodes.index(neighbor.router)): neighbor.interface
            for neighbor in config.neighbors
        }
        ids = [config.router_ids[node] for node in topology.nodes]
        return FrrOspf(config.ospf, topology, interfaces, ids, max(VERIFY_S, 2 * config.dead_s))

    async def run(self) -> None:
        """Work until cancelled."""
        nodes = self._topology.nodes
        await self._udp.open(
            {nodes.index(neighbor.router): neighbor for neighbor in self._config.neighbors}, self._config.port
        )
        self._tell_status()
        logger.info("[%s] started, %d neighbours", self._config.router, len(self._config.neighbors))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._link.run(), name="mqtt")
                group.create_task(self._listen(), name="orders")
                group.create_task(self._costs.run(), name="costs")
                group.create_task(self._watch.look(), name="ospf")
                group.create_task(self._watch.measure(), name="counters")
        finally:
            self._udp.close()
            await self._ospf.close()
            self._write_overhead()

    async def _listen(self) -> None:
        """Follow the coordinator's orders."""
        async for message in self._link:
            if isinstance(message, Start):
                await self._start(message)
            elif isinstance(message, Cancel) and message.episode == self._protocol.running:
                self._protocol.abort(message.reason, monotonic())
                self._after_call()

    async def _start(self, message: Start) -> None:
        if self._protocol.running:
            self._protocol.abort(f"episode {message.episode} supersedes it", monotonic())
            self._after_call()
        while self._protocol.running:  # it sets or restores costs; a new episode begins with what is live then
            self._idle.clear()
            await self._idle.wait()
        self._before = self._protocol.overhead()
        try:
            order = Order.from_message(message, self._topology, self._checkpoint.hash)
            live = await self._ospf.live()
        except (Refused, OspfProblem) as error:
            logger.warning("[%s ep=%d] refused: %s", self._config.router, message.episode, error)
            self._protocol.refuse_episode(message.episode, str(error), monotonic())
            self._after_call()
            return
        self._last.superseded(message)
        self._watch_s = order.watch_s
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._protocol.start_episode(order, live, monotonic())
        self._after_call()

    def _costs_set(self, problem: str, changed: int) -> None:
        self._protocol.costs_set(f"{self._config.router}: {problem}" if problem else "", changed, monotonic())
        self._after_call()

    def _ospf_shows(self, weights: NDArray[np.int64] | None) -> None:
        if weights is not None:
            if (result := self._last.recall(weights)) is not None:
                self._link.publish(result)
            self._protocol.ospf_shows(weights, monotonic())
            self._after_call()
        self._tell_status()

    def _lose_interface(self, interface: str) -> None:
        for neighbor in self._config.neighbors:
            if neighbor.interface == interface:
                router = self._topology.nodes.index(neighbor.router)
                link = self._topology.link_index(self._router, router)
                self._watch.lose([link, int(self._topology.reverse[link])])
                self._tell_status()  # before the end of an episode: the next is not to begin on the old network
                self._protocol.link_lost(router, monotonic())
                self._after_call()

    def _after_call(self) -> None:
        self._udp.flush()
        self._act()

    def _act(self) -> None:
        """Act on the protocol's events."""
        name = self._config.router
        while (event := self._protocol.next_event()) is not None:
            if isinstance(event, StepDone):
                logger.info(
                    "[%s ep=%d step=%d] links %s, MLU %.6f", name, event.episode, event.step, event.links, event.mlu
                )
                if self._protocol.is_root:
                    self._link.publish(
                        Progress(episode=event.episode, step=event.step, links=list(event.links), mlu=event.mlu)
                    )
            elif isinstance(event, CommitBegun):
                self._last.begun(event)
            elif isinstance(event, SetCosts):
                self._costs.put(event)
            elif isinstance(event, EpisodeEnded):
                logger.info("[%s ep=%d] %s %s", name, event.episode, event.status, event.reason)
                self._log_usage(event.episode)
                self._costs.abandon()
                self._idle.set()
                if event.status == "committed":
                    self._watch.measure_for(self._watch_s)
                sent = sent_since(self._before, self._protocol.overhead())
                root, verified = self._protocol.is_root, bool(self._config.ospf)
                result = result_of(event, name, sent, root=root, verified=verified)
                self._last.ended(result)
                self._link.publish(result)
                self._watch.look_now()
            elif isinstance(event, NeighborSilent):
                logger.warning("[%s] %s is silent for %.1f s", name, event.router, event.for_s)
                self._tell_status()
            elif isinstance(event, NeighborUp):
                logger.info("[%s] %s answers", name, event.router)
                self._tell_status()

    def _log_usage(self, episode: int) -> None:
        before, now = self._usage, resource.getrusage(resource.RUSAGE_SELF)
        logger.info(
            "[%s ep=%d] processor %.3f s, kernel %.3f s, waits %d, preempted %d",
            self._config.router,
            episode,
            now.ru_utime - before.ru_utime,
            now.ru_stime - before.ru_stime,
            now.ru_nvcsw - before.ru_nvcsw,
            now.ru_nivcsw - before.ru_nivcsw,
        )

    def _tell_status(self) -> None:
        status = Status(
            router=self._config.router,
            online=True,
            ready=self._protocol.ready,
            waiting_for=self._protocol.silent_neighbours,
            episode=self._protocol.running,
            topology=self._topology.digest().hex(),
            checkpoint=self._checkpoint.hash,
            weights=b"" if self._watch.weights is None else self._watch.weights.astype("<u2").tobytes(),
            problem=self._watch.problem[:1000],
            carried=self._watch.carried,
            window=self._watch.window,
        )
        if status != self._status:
            self._status = status
            self._link.set_status(status)

    def _write_overhead(self) -> None:
        """Leave the totals since the start, to be compared with the kernel's counters."""
        if self._folder is not None:
            totals = sent_since({link: Overhead() for link in self._protocol.links}, self._protocol.overhead())
            (self._folder / OVERHEAD_FILE).write_bytes(msgspec.json.encode(totals))


async def _until_signalled(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run until SIGTERM, SIGINT or SIGHUP; return 0, or 128 + the signal's number unless it was SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    caught: list[int] = []

    def on_signal(number: int) -> None:
        caught.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)
    working = asyncio.create_task(work(), name="agent")
    stopping = asyncio.create_task(stop.wait(), name="signals")
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return 0
    working.cancel()
    await asyncio.wait([working])
    return 0 if caught[0] == signal.SIGTERM else 128 + caught[0]


def run_agent(config: AgentConfig, shared: Shared, folder: Path | None = None) -> int:
    """Run one agent in this process until it is told to stop; return the exit code."""

    async def work() -> None:
        await AgentProgram(config, shared, folder).run()

    return uvloop.run(_until_signalled(work))
