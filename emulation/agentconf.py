"""Configuration of a run's agents: the same file that an agent on a real router reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import msgspec

from agent.config import AgentConfig, Neighbor
from agent.waiting import Timing
from coordinator.keygen import write_key
from emulation.crowding import crowding
from emulation.doors import Entry
from emulation.fabric import AGENT_PORT, Fabric
from routing.formats import save_topology
from routing.topology import Topology

AGENT_FILE = "agent.toml"
_KEY_FILE = "domain.key"
TOPOLOGY_FILE = "topology.graphml"

# Three missed hellos. Where many Pythons share two cores, one may be late; then the episode is tried again.
_DEAD_S = 1.0


@dataclass(frozen=True)
class Place:
    """Where the agents of a run are.

    Attributes
    ----------
    neighbor : link -> how the link's sender reaches its receiver
    namespace : node -> a process in the router's network namespace; None: this process's own
    ospf : node -> path of ospfd's vty socket; empty: costs go to a model
    router_ids : node name -> OSPF router id; empty without OSPF
    """

    neighbor: Callable[[int], Neighbor]
    namespace: Callable[[int], int | None]
    ospf: Callable[[int], str]
    router_ids: dict[str, str]


def on_fabric(fabric: Fabric) -> Place:
    """Agents beside FRR, in the emulated routers."""
    topology = fabric.topology

    def neighbor(link: int) -> Neighbor:
        return Neighbor(
            router=topology.nodes[int(topology.dst[link])],
            interface=fabric.interface(link),
            local=fabric.address(link),
            remote=fabric.address(int(topology.reverse[link])),
        )

    ids = {name: fabric.router_id(node) for node, name in enumerate(topology.nodes)}
    return Place(neighbor, fabric.pid, lambda node: str(fabric.vty(node)), ids)


def on_loopback(topology: Topology) -> Place:
    """Agents as processes of this machine: each end of a link has an address in a /16 of 127.0.0.0/8."""
    base = int(IPv4Address("127.1.0.1")) + (os.getpid() % 250 << 16)

    def neighbor(link: int) -> Neighbor:
        return Neighbor(
            router=topology.nodes[int(topology.dst[link])],
            local=str(IPv4Address(base + link)),
            remote=str(IPv4Address(base + int(topology.reverse[link]))),
        )

    return Place(neighbor, lambda _: None, lambda _: "", {})


def agent_config(
    place: Place, topology: Topology, node: int, folder: Path, *, entry: Entry, checkpoint: str
) -> AgentConfig:
    """Return what the agent of router `node` has to know.

    Parameters
    ----------
    place : where agents are
    folder : the run folder, for which `write_shared` has been called
    entry : how it enters the broker
    checkpoint : name or file
    """
    out = topology.out_links(node)
    patience = crowding(topology.num_nodes)
    return AgentConfig(
        router=topology.nodes[node],
        topology=str(folder / TOPOLOGY_FILE),
        # An agent takes relative paths from its own folder; a name has no suffix and no folder.
        checkpoint=str(Path(checkpoint).resolve()) if Path(checkpoint).is_file() else checkpoint,
        broker=entry.broker,
        credentials=entry.credentials,
        insecure_broker=entry.insecure,
        key_file=str(folder / _KEY_FILE),
        port=AGENT_PORT,
        ospf=place.ospf(node),
        router_ids=place.router_ids,
        neighbors=[place.neighbor(link) for link in range(out.start, out.stop)],
        dead_s=_DEAD_S * patience,
        stall_s=Timing.stall_s * patience,
    )


def write_shared(folder: Path, topology: Topology) -> None:
    """Write what all agents read, the topology and a fresh domain key, into the run folder. OSError, InputError."""
    save_topology(folder / TOPOLOGY_FILE, topology)
    write_key(folder / _KEY_FILE)


def write_config(folder: Path, config: AgentConfig) -> Path:
    """Write the agent's file into its router's folder and return its path. Raises OSError."""
    path = folder / AGENT_FILE
    path.write_text(to_toml(config), encoding="utf-8")
    return path


def to_toml(config: AgentConfig) -> str:
    """Return the configuration as TOML: plain values first, then one table and the neighbours."""
    values = msgspec.to_builtins(config)
    router_ids, neighbors = values.pop("router_ids"), values.pop("neighbors")
    lines = _assignments(values)
    lines += ["", "[router_ids]", *_assignments(router_ids)]
    for neighbor in neighbors:
        lines += ["", "[[neighbors]]", *_assignments(neighbor)]
    return "\n".join(lines) + "\n"


def _assignments(values: dict[str, object]) -> list[str]:
    # A JSON string, number or boolean is a TOML one too.
    return [f"{_key(key)} = {json.dumps(value)}" for key, value in values.items()]


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key)
