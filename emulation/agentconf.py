"""Configuration of the emulated routers' agents: the same file that an agent on a real router reads."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import msgspec

from agent.config import AgentConfig, Neighbor
from emulation.fabric import Fabric
from routing.formats import save_topology

AGENT_FILE = "agent.toml"
_KEY_FILE = "domain.key"
_TOPOLOGY_FILE = "topology.graphml"
_KEY_BYTES = 32


def agent_config(fabric: Fabric, node: int, *, broker: str, checkpoint: str) -> AgentConfig:
    """Return what the agent of router `node` has to know.

    Parameters
    ----------
    fabric : its addresses, interfaces and folders; `write_shared` has been called for its run folder
    node : the router
    broker : ``unix:PATH`` or ``host:port``
    checkpoint : name or file
    """
    topology = fabric.topology
    out = topology.out_links(node)
    neighbors = [
        Neighbor(
            router=topology.nodes[int(topology.dst[link])],
            interface=fabric.interface(link),
            local=fabric.address(link),
            remote=fabric.address(int(topology.reverse[link])),
        )
        for link in range(out.start, out.stop)
    ]
    return AgentConfig(
        router=topology.nodes[node],
        topology=str(fabric.run_dir / _TOPOLOGY_FILE),
        checkpoint=checkpoint,
        broker=broker,
        key_file=str(fabric.run_dir / _KEY_FILE),
        port=fabric.agent_port,
        ospf=str(fabric.vty(node)),
        router_ids={name: fabric.router_id(index) for index, name in enumerate(topology.nodes)},
        neighbors=neighbors,
    )


def write_shared(fabric: Fabric) -> None:
    """Write what all agents read, the topology and a fresh domain key, into the run folder. Raises OSError."""
    save_topology(fabric.run_dir / _TOPOLOGY_FILE, fabric.topology)
    descriptor = os.open(fabric.run_dir / _KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))


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
