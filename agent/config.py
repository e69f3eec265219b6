"""What one agent has to know to start: a TOML file, or the same values from a program that starts agents.

A file for router b between a and c::

    router = "b"
    topology = "line.graphml"        # a shipped topology's name or a GraphML file
    broker = "10.0.0.9:8883"         # or unix:/path
    credentials = "credentials/b"    # folder with the certificates for the broker; none for a unix socket
    key_file = "domain.key"          # 16 to 32 bytes that all agents share, readable by the owner only
    ospf = "/run/frr/ospfd.vty"      # left out: costs go to a model instead of a router
    state = "/var/lib/lockstep"      # folder of the agent's own, in which it remembers a commit; none: nowhere

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
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from agent.broker import DOMAIN_PATTERN
from agent.waiting import Timing
from routing.errors import InputError
from routing.files import open_private, read_regular
from routing.topology import Topology

DEFAULT_PORT = 5005
MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 32  # of the domain key; BLAKE2s takes no longer one

_Name = Annotated[str, Meta(min_length=1)]
# What Linux allows as a device's name (dev_valid_name), and nothing that ospfd could take for more than one word.
_Interface = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:@-]{0,15}\Z")]
_Domain = Annotated[str, Meta(pattern=DOMAIN_PATTERN)]
_Port = Annotated[int, Meta(ge=1, le=65535)]


class Neighbor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The other end of one link; `interface` may be empty where addresses alone tell links apart (loopback)."""

    router: _Name
    local: _Name
    remote: _Name
    interface: _Interface = ""


class AgentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent's settings.

    Attributes
    ----------
    router : name of the node
    topology : name or GraphML file; `profile` picks its capacities
    checkpoint : name or safetensors file
    broker : ``unix:/path`` or ``host:port``
    domain : which routers belong together, part of the MQTT topics
    credentials : folder with the certificates for a broker over TCP, see `agent.credentials`
    insecure_broker : allow a broker over TCP without any, which lets whoever reaches it give orders
    key_file : file with the domain key
    port : UDP port of all agents
    ospf : path of ospfd's vty socket; empty: costs go to a model
    state : folder in which the agent keeps what it must not forget when it dies in a commit; empty: it forgets
    router_ids : node name -> OSPF router id; needed with `ospf`
    neighbors : one for each of the router's links
    initial : with a model, where its costs begin (see ``--initial`` of the coordinator)
    hello_s, dead_s, stall_s : see `agent.waiting.Timing`
    """

    router: _Name
    topology: _Name
    broker: _Name
    key_file: _Name
    neighbors: list[Neighbor]
    profile: str = "uniform"
    checkpoint: str = "default"
    domain: _Domain = "default"
    credentials: str = ""
    insecure_broker: bool = False
    port: _Port = DEFAULT_PORT
    ospf: str = ""
    state: str = ""
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
        config = msgspec.convert(tomllib.loads(read_regular(path).decode()), AgentConfig)
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
    for field in ("topology", "checkpoint", "key_file", "ospf", "state", "credentials"):
        value = getattr(config, field)
        if value and os.path.exists(folder / value):  # unlike Path's, False also for what no path can be
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
        with open_private(path) as file:
            key = file.read(MAX_KEY_BYTES + 1)  # not the whole of a large file named by mistake
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the domain key: {getattr(error, 'strerror', error)}", path) from error
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        size = f"more than {MAX_KEY_BYTES}" if len(key) > MAX_KEY_BYTES else len(key)
        raise InputError(f"a domain key of {size} bytes, expected {MIN_KEY_BYTES}..{MAX_KEY_BYTES}", path)
    return key
