"""The floor of the lab, on which the real programs stand: what their doors to the world are replaced by.

`substituted` puts other values under the names of modules for the time of a block. The protocols and sessions stay the
real ones; what goes through them is told to a `Truth` as well.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiomqtt

import agent.mqtt
import agent.neighbour
import agent.ospf
import agent.program
import agent.protocol
import agent.udp
import coordinator.mqtt
from agent.config import Neighbor
from agent.events import Event
from agent.messages import Frame
from agent.mqtt import AgentLink
from agent.protocol import AgentProtocol
from agent.session import Session
from experiments.faults_lies import Liar
from experiments.faults_truth import Truth
from experiments.virtual_broker import VirtualBroker, VirtualClient
from experiments.virtual_disk import VirtualFile
from experiments.virtual_links import VirtualPoll, VirtualSocket, Wires
from experiments.virtual_ospf import Area, VirtualFrr, VirtualKernel
from experiments.virtual_time import VirtualLoop, World

Substitution = tuple[object, str, object]


@contextmanager
def substituted(substitutions: Sequence[Substitution]) -> Iterator[None]:
    """Give names in modules other values, for the time of the block."""
    with ExitStack() as back:
        for owner, name, value in substitutions:
            back.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


@dataclass
class Process:
    """A program that runs, or has run.

    Attributes
    ----------
    program : an agent's program, or the coordinator; None until it has begun
    clients, daemons : its connections to broker and ospfd, the newest last
    """

    number: int
    loop: VirtualLoop
    main: asyncio.Task[Any] | None = None
    program: Any = None
    clients: list[VirtualClient] = field(default_factory=list)
    daemons: list[VirtualFrr] = field(default_factory=list)
    dead: bool = False


@dataclass(frozen=True)
class Floor:
    """Where the doors lead to.

    Attributes
    ----------
    current : returns the process whose callback runs
    liars : routers whose agents lie, and how
    disks : router -> what its agent has left
    """

    world: World
    wires: Wires
    area: Area
    broker: VirtualBroker
    truth: Truth
    current: Callable[[], Process]
    liars: dict[int, Liar]
    disks: dict[int, bytes]

    def substitutions(self) -> list[Substitution]:
        """Return what is replaced."""
        truth, liars, current = self.truth, self.liars, self.current

        class WatchedProtocol(AgentProtocol):
            """The real one; whatever is read from it is told to the truth as well."""

            def next_event(self) -> Event | None:
                event = super().next_event()
                if event is not None and not current().dead:
                    truth.told(self.router, event)
                return event

        class WatchedSession(Session):
            """The real one; the truth knows which frames no agent has sent, and a liar has its own to seal."""

            def open(self, data: bytes) -> tuple[Frame | None, bytes | None]:
                opened = super().open(data)
                truth.accepted(data)
                return opened

            def seal(self, frame: Frame) -> bytes:
                liar = liars.get(current().number) if liars else None
                return super().seal(frame if liar is None else liar.says(frame))

        chance = random.Random(int(self.world.random.integers(2**62)))
        return [
            (os, "urandom", self.world.random.bytes),
            (agent.program, "AgentProtocol", WatchedProtocol),
            (agent.program, "AgentLink", partial(AgentLink, chance=chance)),
            (agent.program, "StateFile", self._file),
            (agent.neighbour, "Session", WatchedSession),
            (agent.udp, "open_socket", self._socket),
            (agent.udp, "select", SimpleNamespace(epoll=VirtualPoll, EPOLLIN=1)),
            (agent.udp, "monotonic", lambda: self.world.now),
            (agent.program, "monotonic", lambda: self.world.now),
            (agent.mqtt, "make_client", self._client),
            (coordinator.mqtt, "make_client", self._client),
            (agent.ospf, "FrrRouter", self._daemon),
            *((module, "monotonic", lambda: self.world.now) for module in (agent.program, agent.udp)),
            (agent.ospf, "Kernel", lambda: VirtualKernel(self.area, self.current().number)),
        ]

    def _socket(self, neighbor: Neighbor, _port: int) -> VirtualSocket:
        return self.wires.socket(self.current().number, self.area.topology.nodes.index(neighbor.router))

    def _file(self, _folder: str) -> VirtualFile:
        process = self.current()
        return VirtualFile(self.disks, process.number, lambda: process.dead)

    def _client(
        self, _broker: object, identifier: str, *, will: aiomqtt.Will | None = None, **_: object
    ) -> VirtualClient:
        client = VirtualClient(self.broker, identifier, will)
        self.current().clients[:] = [client]
        return client

    def _daemon(self, vty: str, **_: object) -> VirtualFrr:
        daemon = VirtualFrr(self.area, int(vty))
        self.current().daemons.append(daemon)
        return daemon
