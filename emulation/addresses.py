"""Who is called what in the emulated network: loopbacks, link addresses, interface and host names, all from indices."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from routing.topology import Topology

_LINKS_BASE = int(IPv4Address("10.0.0.0"))
_LOOPBACK_BASE = int(IPv4Address("10.255.0.0"))
_MAX_NODES = 0xFFFE  # what 10.255.0.0/16 holds without its first and last address
LINK_PREFIX = 30

# What Mininet's prompt takes as one word and bash shows unquoted.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class AddressPlan:
    """IPv4 addresses and names of every router and link.

    Router n has the loopback 10.255.x.y/32 (also its OSPF router id); each pair of neighbours has a /30 from 10.0.0.0
    up. The subnets are numbered in the order of (lower node, higher node): seen from any router, a neighbour with a
    higher index then has a higher address. FRR's ospfd orders equal-cost next hops by address, so that
    ``maximum-paths 1`` keeps the one with the lowest link index, which is the model's rule.

    Parameters
    ----------
    topology : at most 65534 nodes

    Attributes
    ----------
    loopback : N addresses
    address : L addresses, of the sending end of each link
    peer : L addresses, of the receiving end
    interface : L names, ``r3-r7`` at the sending end of the link from node 3 to node 7
    host : N different names, the nodes' own with unusual characters replaced
    """

    topology: Topology
    loopback: tuple[str, ...] = field(init=False)
    address: tuple[str, ...] = field(init=False)
    peer: tuple[str, ...] = field(init=False)
    interface: tuple[str, ...] = field(init=False)
    host: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Assign numbers to the pairs and spell everything out."""
        topology = self.topology
        if topology.num_nodes > _MAX_NODES:
            raise ValueError(f"{topology.num_nodes} routers, at most {_MAX_NODES} have addresses")
        ends = list(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
        pairs = {pair: number for number, pair in enumerate(pair for pair in ends if pair[0] < pair[1])}
        address = []
        for src, dst in ends:
            subnet = _LINKS_BASE + 4 * pairs[min(src, dst), max(src, dst)]
            address.append(str(IPv4Address(subnet + (1 if src < dst else 2))))
        values = {
            "loopback": tuple(str(IPv4Address(_LOOPBACK_BASE + n + 1)) for n in range(topology.num_nodes)),
            "address": tuple(address),
            "peer": tuple(address[r] for r in topology.reverse.tolist()),
            "interface": tuple(f"r{src}-r{dst}" for src, dst in ends),
            "host": _host_names(topology.nodes),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _host_names(nodes: tuple[str, ...]) -> tuple[str, ...]:
    names: list[str] = []
    taken = set(nodes)
    for index, node in enumerate(nodes):
        name = _UNSAFE.sub("_", node)
        if name != node and name in taken:
            name = f"{name}_{index}"
        taken.add(name)
        names.append(name)
    return tuple(names)
