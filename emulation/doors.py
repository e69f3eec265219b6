"""How the programs of a run enter its broker: our own, the user's, or the user's through a relay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.broker import parse_broker
from agent.credentials import Door, open_door
from coordinator.brokerconf import COORDINATOR, agent_name
from emulation.broker import Broker
from emulation.options import Options
from emulation.relay import Line, Relay
from routing.topology import Topology


@dataclass(frozen=True)
class Entry:
    """What one program is told of the broker, as in an agent's configuration."""

    broker: str
    credentials: str = ""
    insecure: bool = False

    def door(self) -> Door:
        """Return how to enter. Raises InputError."""
        return open_door(self.broker, self.credentials, insecure=self.insecure)


@dataclass(frozen=True)
class Doors:
    """The entries of a run's programs: one per agent, in node order, and the coordinator's."""

    agents: tuple[Entry, ...]
    coordinator: Entry


def users_doors(options: Options, topology: Topology) -> Doors | None:
    """Return how to enter the broker that the user named, each with its own credentials; None if there is none.

    Raises InputError if a door cannot be opened so.
    """
    if options.broker is None:
        return None

    def entry(name: str) -> Entry:
        own = "" if options.credentials is None else str((options.credentials / name).absolute())
        return Entry(options.broker or "", own, options.insecure_broker)

    doors = Doors(tuple(entry(agent_name(router)) for router in topology.nodes), entry(COORDINATOR))
    for one in (*doors.agents, doors.coordinator):
        one.door()
    return doors


@contextmanager
def own_doors(folder: Path, topology: Topology) -> Iterator[Doors]:
    """Start a broker of the run's own, in its folder. Raises EmulationError."""
    with Broker(folder) as broker:
        # amqtt on loopback is open to all users of this machine; where mosquitto is installed, it is not used.
        entry = Entry(str(broker.address), insecure=not broker.address.path)
        yield Doors((entry,) * topology.num_nodes, entry)


@contextmanager
def relayed(doors: Doors, network: int, log: Path) -> Iterator[Doors]:
    """Make a broker over TCP outside of the run's namespaces reachable within; others are, and stay as they are.

    `network` is a descriptor of the network namespace in which the broker is. Raises EmulationError.
    """
    if parse_broker(doors.coordinator.broker).path:
        yield doors
        return
    with tempfile.TemporaryDirectory(prefix="lockstep-") as short:  # a socket's path has at most 107 bytes
        entries = (*doors.agents, doors.coordinator)
        lines = [Line(Path(short) / f"{number}.sock", entry.door()) for number, entry in enumerate(entries)]
        with Relay(lines, network, log):
            inside = [Entry(f"unix:{line.path}") for line in lines]
            yield Doors(tuple(inside[:-1]), inside[-1])
