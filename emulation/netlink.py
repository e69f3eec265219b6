"""Questions to the kernel over rtnetlink: routes, and the state of queues. One socket per router, no process.

The same facts come from ``ip -j route`` and ``tc -s qdisc``, at the price of a process per router and poll.
Layouts: linux/netlink.h, linux/rtnetlink.h, linux/gen_stats.h.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from agent.kernel import IFF_UP, LINK, NLM_F_ACK, NLM_F_DUMP, RTM_NEWLINK, RouteSocket, attributes
from emulation.namespaces import inside

_RTM_GETQDISC = 38
_TCA_STATS2, _TCA_STATS_QUEUE = 7, 3
_TC_H_ROOT = 0xFFFFFFFF

_QUEUE = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info


@dataclass(frozen=True)
class Queue:
    """A queue's counters.

    Attributes
    ----------
    dropped : packets dropped so far, modulo 2**32
    backlog : bytes that wait now
    """

    dropped: int
    backlog: int


class Netlink:
    """A route netlink socket inside the network namespace of one process.

    Parameters
    ----------
    pid : a process in the namespace; the socket stays in it even after the process ended
    timeout_s : how long to wait for the kernel's answer

    Raises
    ------
    OSError
        If the process is gone or the capability is missing.
    """

    def __init__(self, pid: int, timeout_s: float = 5.0) -> None:
        with inside(pid):
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            self.interfaces: dict[int, str] = dict(socket.if_nameindex())
        opened.settimeout(timeout_s)
        self._socket = RouteSocket(opened)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def host_routes(self) -> dict[str, frozenset[str]]:
        """Return the kernel's unicast /32 routes of the main table: address -> interfaces of all its next hops.

        Raises
        ------
        agent.kernel.DumpInterrupted
            If routes changed meanwhile.
        """
        return self._socket.host_routes(lambda index: self.interfaces.get(index, f"#{index}"))

    def queues(self) -> dict[str, Queue]:
        """Return the state of each interface's root queue, by the interface's name."""
        found: dict[str, Queue] = {}
        for body in self._socket.ask(_RTM_GETQDISC, _QUEUE.pack(socket.AF_UNSPEC, 0, 0, 0, 0), NLM_F_DUMP):
            _, index, _, parent, _ = _QUEUE.unpack_from(body)
            if parent != _TC_H_ROOT or index not in self.interfaces:
                continue
            statistics = dict(attributes(dict(attributes(body, _QUEUE.size)).get(_TCA_STATS2, b""), 0))
            if _TCA_STATS_QUEUE in statistics:  # gnet_stats_queue: qlen, backlog, drops, requeues, overlimits
                _, backlog, drops, _, _ = struct.unpack_from("=5I", statistics[_TCA_STATS_QUEUE])
                found[self.interfaces[index]] = Queue(drops, backlog)
        return found

    def set_down(self, interface: str) -> None:
        """Take an interface down: both its ends lose the carrier. Raises OSError if the kernel refuses."""
        index = next(index for index, name in self.interfaces.items() if name == interface)
        for _ in self._socket.ask(RTM_NEWLINK, LINK.pack(socket.AF_UNSPEC, 0, index, 0, IFF_UP), NLM_F_ACK):
            pass
