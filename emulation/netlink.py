"""Questions to the kernel over rtnetlink: routes, and the state of queues. One socket per router, no process.

The same facts come from ``ip -j route`` and ``tc -s qdisc``, at the price of a process per router and poll.
Layouts: linux/netlink.h, linux/rtnetlink.h, linux/gen_stats.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from emulation.namespaces import inside

_RTM_NEWLINK, _RTM_GETROUTE, _RTM_GETQDISC = 16, 26, 38
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x01, 0x04, 0x300, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTA_DST, _RTA_OIF, _RTA_MULTIPATH, _RTA_TABLE = 1, 4, 9, 15
_TCA_STATS2, _TCA_STATS_QUEUE = 7, 3
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1
_TC_H_ROOT = 0xFFFFFFFF

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_IFF_UP = 1
_QUEUE = struct.Struct("=BxxxiIII")  # tcmsg: family, ifindex, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: len, flags, hops, ifindex
_MAX_MESSAGE = 1 << 18


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


class DumpInterrupted(Exception):
    """The table changed while the kernel wrote it out; ask again."""


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
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
            self.interfaces: dict[int, str] = dict(socket.if_nameindex())
        self._socket.settimeout(timeout_s)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def host_routes(self) -> dict[str, frozenset[str]]:
        """Return the kernel's unicast /32 routes of the main table: address -> interfaces of all its next hops.

        Raises
        ------
        DumpInterrupted
            If routes changed meanwhile.
        """
        routes: dict[str, frozenset[str]] = {}
        for body in self._dump(_RTM_GETROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, dst_len, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
            attributes = dict(_attributes(body, _ROUTE.size))
            if _RTA_TABLE in attributes:
                (table,) = struct.unpack("=I", attributes[_RTA_TABLE])
            if (dst_len, kind, table) != (32, _RTN_UNICAST, _RT_TABLE_MAIN):
                continue
            if _RTA_OIF in attributes:
                indices = list(struct.unpack("=i", attributes[_RTA_OIF]))
            else:
                indices = list(_next_hops(attributes.get(_RTA_MULTIPATH, b"")))
            destination = socket.inet_ntoa(attributes[_RTA_DST])
            routes[destination] = frozenset(self.interfaces.get(index, f"#{index}") for index in indices)
        return routes

    def queues(self) -> dict[str, Queue]:
        """Return the state of each interface's root queue, by the interface's name."""
        found: dict[str, Queue] = {}
        for body in self._dump(_RTM_GETQDISC, _QUEUE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, index, _, parent, _ = _QUEUE.unpack_from(body)
            if parent != _TC_H_ROOT or index not in self.interfaces:
                continue
            statistics = dict(_attributes(dict(_attributes(body, _QUEUE.size)).get(_TCA_STATS2, b""), 0))
            if _TCA_STATS_QUEUE in statistics:  # gnet_stats_queue: qlen, backlog, drops, requeues, overlimits
                _, backlog, drops, _, _ = struct.unpack_from("=5I", statistics[_TCA_STATS_QUEUE])
                found[self.interfaces[index]] = Queue(drops, backlog)
        return found

    def set_down(self, interface: str) -> None:
        """Take an interface down: both its ends lose the carrier. Raises OSError if the kernel refuses."""
        index = next(index for index, name in self.interfaces.items() if name == interface)
        for _ in self._ask(_RTM_NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, _IFF_UP), _NLM_F_ACK):
            pass

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        return self._ask(kind, body, _NLM_F_DUMP)

    def _ask(self, kind: int, body: bytes, flags: int) -> Iterator[bytes]:
        """Send a request; yield the answer's messages until its end or its acknowledgement."""
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            data = self._socket.recv(_MAX_MESSAGE)
            offset = 0
            while offset < len(data):
                length, answer, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                message = data[offset + _HEADER.size : offset + length]
                offset += length + 3 & ~3
                if sequence != self._sequence:  # the rest of a dump that was given up
                    continue
                if answer == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", message)
                    if code == 0:  # an acknowledgement
                        return
                    raise OSError(-code, f"netlink: {os.strerror(-code)}")
                if flags & _NLM_F_DUMP_INTR:
                    raise DumpInterrupted
                if answer == _NLMSG_DONE:
                    return
                yield message


def _attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        yield kind & 0x3FFF, body[offset + _ATTRIBUTE.size : offset + length]
        offset += max(length, _ATTRIBUTE.size) + 3 & ~3


def _next_hops(body: bytes) -> Iterator[int]:
    offset = 0
    while offset + _NEXT_HOP.size <= len(body):
        length, _, _, index = _NEXT_HOP.unpack_from(body, offset)
        yield index
        offset += max(length, _NEXT_HOP.size) + 3 & ~3
