"""Configuration of FRR's zebra and ospfd (8.4), as text. Nothing here touches a file or a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OspfTimers:
    """Seconds (RFC 2328, C.3).

    Attributes
    ----------
    hello_s : how often a router says hello
    dead_s : after how much silence its neighbour is dead
    retransmit_s : after how long an unanswered packet is sent again; with the usual 5 s one packet that a busy
        machine loses would hold up a whole bring-up or commit
    """

    hello_s: int = 1
    dead_s: int = 4
    retransmit_s: int = 1


def zebra_conf(hostname: str) -> str:
    """Return the configuration of zebra for one router.

    Kernel next-hop objects stay off: with them zebra 8.4 keeps one next hop of two for ever after a link flap. The
    queue to the thread that installs routes is as long as may be: with the usual 200 and a hundred destinations it
    fills up, and zebra then asks every millisecond, without a pause, whether there is room. Many zebras that do so take
    the processors from the threads that they wait for.
    """
    return f"hostname {_word(hostname)}\nno zebra nexthop kernel enable\nzebra dplane limit 10000\n"


def ospfd_conf(
    hostname: str,
    router_id: str,
    costs: Mapping[str, int],
    *,
    ecmp: bool = True,
    timers: OspfTimers | None = None,
) -> str:
    """Return the configuration of ospfd for one router whose links are all point-to-point in area 0.

    Parameters
    ----------
    hostname : for the prompt and the log
    router_id : dotted quad
    costs : interface name -> OSPF cost, 1..65535
    ecmp : False: one next hop per route (``maximum-paths 1``)
    timers : hello, dead and retransmit interval

    Notes
    -----
    A router re-issues its LSA at most every 5 s and accepts a neighbour's at most every 1 s (RFC 2328 B,
    MinLSInterval and MinLSArrival): two costs changed at one router would reach the network seconds apart. Both
    timers are therefore 0 here. SPF runs at once and backs off to 500 ms.
    """
    clock = timers or OspfTimers()
    lines = [f"hostname {_word(hostname)}"]
    for interface, cost in costs.items():
        if not 1 <= cost <= 65535:
            raise ValueError(f"cost {cost} of {interface}, expected 1..65535")
        lines += [
            f"interface {interface}",
            " ip ospf area 0",
            " ip ospf network point-to-point",
            f" ip ospf cost {cost}",
            f" ip ospf hello-interval {clock.hello_s}",
            f" ip ospf dead-interval {clock.dead_s}",
            f" ip ospf retransmit-interval {clock.retransmit_s}",
        ]
    lines += [
        "interface lo",
        " ip ospf area 0",
        " ip ospf passive",
        "router ospf",
        f" ospf router-id {router_id}",
        " timers throttle spf 0 50 500",
        " timers throttle lsa all 0",
        " timers lsa min-arrival 0",
        f" maximum-paths {16 if ecmp else 1}",
    ]
    return "\n".join(lines) + "\n"


def _word(name: str) -> str:
    """FRR's hostname is one printable ASCII word of at most 63 characters that starts with a letter (RFC 1123)."""
    word = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in name)
    return (word if word[:1].isalpha() else "r" + word)[:63].rstrip("-")
