"""What one agent has to know to start: a TOML file, or the same values from a program that starts agents.

A file for router b between a and c::

    router = "b"
    topology = "line.graphml"        # a shipped topology's name or a GraphML file
    broker = "10.0.0.9:1883"         # or unix:/path
    key_file = "domain.key"          # 16 to 32 bytes that all agents share, readable by the owner only
    ospf = "/run/frr/ospfd.vty"      # left out: costs go to a model instead of a router

    [router_ids]                     # OSPF router id of every node
    a = "10.255.0.1"
    b = "10.255.0.2"
    c = "10.255.0.3"

    [[neighbors]]
    router = "a"
    interface = "eth0"               # frames are taken from and sent over this device only
    local = "10.0.0.2"
    remote = "10.0.0.1"

Relative paths are relative to the file.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from agent.protocol import Timing
from routing.errors import InputError
from routing.topology import Topology

DEFAULT_PORT = 5005

_Name = Annotated[str, Meta(min_length=1)]
_Port = Annotated[int, Meta(ge=1, le=65535)]


class Neighbor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The other end of one link; `interface` may be empty where addresses alone tell links apart (loopback)."""

    router: _Name
    local: _Name
    remote: _Name
    interface: str = ""


class AgentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent's settings.

    Attributes
    ----------
    router : name of the node
    topology : name or GraphML file; `profile` picks its capacities
    checkpoint : name or safetensors file
    broker : ``unix:/path`` or ``host:port``
    domain : which routers belong together, part of the MQTT topics
    key_file : file with the domain key
    port : UDP port of all agents
    ospf : path of ospfd's vty socket; empty: costs go to a model
    router_ids : node name -> OSPF router id; needed with `ospf`
    neighbors : one for each of the router's links
    initial : with a model, where its costs begin (see ``--initial`` of the coordinator)
    hello_s, dead_s, stall_s : see `agent.protocol.Timing`
    """

    router: _Name
    topology: _Name
    broker: _Name
    key_file: _Name
    neighbors: list[Neighbor]
    profile: str = "uniform"
    checkpoint: str = "default"
    domain: str = "default"
    port: _Port = DEFAULT_PORT
    ospf: str = ""
    router_ids: dict[str, str] = {}
    initial: str = "inverse-capacity"
    hello_s: Annotated[float, Meta(gt=0)] = Timing.hello_s
    dead_s: Annotated[float, Meta(gt=0)] = Timing.dead_s
    stall_s: Annotated[float, Meta(gt=0)] = Timing.stall_s

    def timing(self) -> Timing:
        """Return the protocol's periods."""
        return Timing(hello_s=self.hello_s, dead_s=self.dead_s, stall_s=self.stall_s)


def load_config(path: Path) -> AgentConfig:
    """Read an agent's TOML file; raise `InputError` with file, line or key, and what was expected."""
    try:
        config = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), AgentConfig)
    except OSError as error:
        raise InputError(f"cannot read the agent's configuration: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise InputError("not a UTF-8 text file", path) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}", path) from error
    except msgspec.ValidationError as error:
        raise InputError(str(error), path) from error
    if not config.hello_s < config.dead_s < config.stall_s < float("inf"):
        raise InputError(
            f"hello_s {config.hello_s:g}, dead_s {config.dead_s:g}, stall_s {config.stall_s:g}: expected ascending "
            "numbers of seconds",
            path,
        )
    return _resolved(config, path.resolve().parent)


def _resolved(config: AgentConfig, folder: Path) -> AgentConfig:
    """Make paths that are files beside the configuration absolute."""
    changes = {}
    for field in ("topology", "checkpoint", "key_file", "ospf"):
        value = getattr(config, field)
        if value and (folder / value).exists():
            changes[field] = str(folder / value)
    return msgspec.structs.replace(config, **changes)


def check_against(config: AgentConfig, topology: Topology, path: Path | None = None) -> int:
    """Return the router's number; raise `InputError` if router, neighbours or ids are not the topology's."""
    if config.router not in topology.nodes:
        raise InputError(f"router {config.router!r} is not a node of {topology.name}", path)
    router = topology.nodes.index(config.router)
    expected = [topology.nodes[node] for node in topology.dst[topology.out_links(router)].tolist()]
    given = [neighbor.router for neighbor in config.neighbors]
    if sorted(given) != sorted(expected):
        raise InputError(
            f"neighbors {sorted(given)}, expected {sorted(expected)} for {config.router} in {topology.name}", path
        )
    if config.ospf:
        missing = [node for node in topology.nodes if node not in config.router_ids]
        if missing:
            raise InputError(f"router_ids lacks {', '.join(missing)}", path)
        ids = [config.router_ids[node] for node in topology.nodes]
        twice = next((one for one in ids if ids.count(one) > 1), None)
        if twice is not None:
            raise InputError(f"router_ids has {twice} twice, expected different ones", path)
        if any(not neighbor.interface for neighbor in config.neighbors):
            raise InputError("with ospf every neighbor needs its interface", path)
    return router


def load_key(path: str) -> bytes:
    """Return the domain key: 16..32 bytes, in a file that only its owner can read. Raises `InputError`."""
    try:
        mode = os.stat(path).st_mode
        key = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the domain key: {error.strerror}", path) from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(f"mode {stat.S_IMODE(mode):04o}, expected 0600: others could read the domain key", path)
    if not 16 <= len(key) <= 32:
        raise InputError(f"a domain key of {len(key)} bytes, expected 16..32", path)
    return key
