"""What a router's network namespace is told, as text for ``ip -batch``, ``tc -batch``, ``nft -f`` and as sysctls.

Priority. The kernels we run on may lack the schedulers one would think of first (prio, fq, netem); what every kernel
has is pfifo_fast. As the child of a token bucket it serves its band 0 first, and band 0 is where ``skb->priority`` 7
goes. nft gives that priority to OSPF's packets and to the agents' frames as they leave the router that made them.
Forwarded traffic passes no nft rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulation.addresses import LINK_PREFIX

# Long enough for what a sender makes up for after it was kept from the processor; agents and OSPF do not wait in it.
_QUEUE_S = 0.25
_QUEUE_FRAME_BYTES = 600
_MIN_QUEUE_PACKETS = 50

ETHERNET_BYTES = 14  # the header that the kernel's byte counters and token buckets include; a veth has no preamble
_MTU = 1500
_BURST_S = 0.01


@dataclass(frozen=True)
class Port:
    """The sending end of a link.

    Attributes
    ----------
    link : index of the link
    interface : its name
    address : IPv4 address of this end
    rate : bit/s of Ethernet frames
    """

    link: int
    interface: str
    address: str
    rate: float

    @property
    def queue_packets(self) -> int:
        """How many packets may wait, in each of the priorities."""
        return max(_MIN_QUEUE_PACKETS, round(self.rate * _QUEUE_S / (8 * _QUEUE_FRAME_BYTES)))


def sysctls(hash_seed: int) -> dict[str, str]:
    """Return path below /proc/sys -> value.

    All namespaces share one seed of the multipath hash otherwise, and routers in a row then split the same way.
    """
    return {
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/default/rp_filter": "0",
        "net/ipv4/conf/all/accept_redirects": "0",
        "net/ipv4/conf/all/send_redirects": "0",
        "net/ipv4/conf/default/send_redirects": "0",
        "net/ipv4/fib_multipath_hash_policy": "1",
        "net/ipv4/fib_multipath_hash_seed": str(hash_seed),
        # Neighbour discovery would add frames of its own to the counters.
        "net/ipv6/conf/all/disable_ipv6": "1",
        "net/ipv6/conf/default/disable_ipv6": "1",
    }


def veth_batch(pairs: Sequence[tuple[str, int, str, int]]) -> str:
    """Return the ``ip`` batch that makes the links, each given as (interface, pid, other interface, its pid)."""
    return "".join(f"link add name {a} netns {pa} type veth peer name {b} netns {pb}\n" for a, pa, b, pb in pairs)


def ip_batch(loopback: str, ports: Sequence[Port]) -> str:
    """Return the ``ip`` batch of one router: addresses, queue lengths, everything up."""
    lines = ["link set lo up", f"addr add {loopback}/32 dev lo"]
    for port in ports:
        lines.append(f"addr add {port.address}/{LINK_PREFIX} dev {port.interface}")
        lines.append(f"link set dev {port.interface} txqueuelen {port.queue_packets} up")
    return "\n".join(lines) + "\n"


def tc_batch(ports: Sequence[Port]) -> str:
    """Return the ``tc`` batch of one router: a token bucket per interface and two priorities below it.

    The bucket holds 10 ms of its rate, at least two frames: 0.1 % of an 8 s measurement at most.
    """
    lines = []
    for port in ports:
        frame = _MTU + ETHERNET_BYTES
        burst = max(2 * frame, round(port.rate / 8 * _BURST_S))
        bucket = f"rate {round(port.rate)}bit burst {burst} limit {port.queue_packets * frame}"
        lines.append(f"qdisc add dev {port.interface} root handle 1: tbf {bucket}")
        lines.append(f"qdisc add dev {port.interface} parent 1:1 handle 10: pfifo_fast")
    return "\n".join(lines) + "\n"


def nft_rules(ports: Sequence[Port], agent_port: int, sink_ports: tuple[int, int]) -> str:
    """Return the ``nft`` rules of one router.

    Parameters
    ----------
    ports : the router's interfaces
    agent_port : UDP port of the agents: counted per interface (counter ``link_<index>``) and sent first
    sink_ports : first and last UDP port of measured traffic: counted per source (set ``delivered``) and dropped
    """
    counters = "\n".join(f"  counter link_{port.link} {{ }}" for port in ports)
    counting = "\n".join(f'    oifname "{port.interface}" counter name link_{port.link} return' for port in ports)
    return f"""table inet lockstep {{
{counters}
  set delivered {{ type ipv4_addr; size 65535; flags dynamic; counter; }}
  chain agents {{
{counting}
  }}
  chain output {{
    type filter hook output priority 0; policy accept;
    ip protocol ospf meta priority set 0:7
    udp dport {agent_port} meta priority set 0:7 jump agents
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    udp dport {sink_ports[0]}-{sink_ports[1]} update @delivered {{ ip saddr }} drop
  }}
}}
"""


def named_counters(listing: Mapping[str, object]) -> dict[int, tuple[int, int]]:
    """Read ``nft -j list counters``: link -> (frames, bytes of IP packets). Raises ValueError on another layout."""
    found: dict[int, tuple[int, int]] = {}
    items = listing.get("nftables")
    if not isinstance(items, list):
        raise ValueError("nft -j: expected a list 'nftables'")
    for item in items:
        counter = item.get("counter")
        if counter is not None and counter["name"].startswith("link_"):
            found[int(counter["name"][5:])] = (int(counter["packets"]), int(counter["bytes"]))
    return found


def delivered_packets(listing: Mapping[str, object]) -> dict[str, int]:
    """Read ``nft -j list set ... delivered``: source address -> packets. Raises ValueError on another layout."""
    items = listing.get("nftables")
    if not isinstance(items, list):
        raise ValueError("nft -j: expected a list 'nftables'")
    elements = [element["elem"] for item in items for element in item.get("set", {}).get("elem", [])]
    return {element["val"]: int(element["counter"]["packets"]) for element in elements}
