"""Kernel adapter: what the router forwards by, what its interfaces carry, and when links or routes change. rtnetlink.

The kernel tells a change when it happens, which is sooner than any daemon would be asked again. Layouts:
linux/netlink.h, linux/rtnetlink.h, linux/if_link.h.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

NLM_F_ACK, NLM_F_DUMP = 0x04, 0x300  # what a request asks for: one acknowledgement, or a whole table
RTM_NEWLINK = 16
IFF_UP = 0x1

_RTM_DELLINK, _RTM_GETROUTE = 17, 26
_NLM_F_REQUEST, _NLM_F_DUMP_INTR = 0x01, 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_GROUPS = 0x1 | 0x40  # RTMGRP_LINK, RTMGRP_IPV4_ROUTE
_RTA_DST, _RTA_OIF, _RTA_MULTIPATH, _RTA_TABLE = 1, 4, 9, 15
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1
_IFF_RUNNING = 0x40

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: len, type, flags, seq, pid
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: len, flags, hops, ifindex
_MAX_MESSAGE = 1 << 18
_COUNTERS = Path("/proc/self/net/dev")


class DumpInterrupted(Exception):
    """The table changed while the kernel wrote it out; ask again."""


class RouteSocket:
    """Questions to the kernel over an rtnetlink socket that somebody opened, in whichever namespace."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def host_routes(self, name_of: Callable[[int], str]) -> dict[str, frozenset[str]]:
        """Return the unicast /32 routes of the main table: address -> interfaces of all next hops.

        name_of : the name of an interface, by its index

        Raises
        ------
        DumpInterrupted
            If routes changed meanwhile.
        OSError
            If the kernel refuses or does not answer in time.
        """
        routes: dict[str, frozenset[str]] = {}
        for body in self.ask(_RTM_GETROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0), NLM_F_DUMP):
            _, dst_len, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
            found = dict(attributes(body, _ROUTE.size))
            if _RTA_TABLE in found:
                (table,) = struct.unpack("=I", found[_RTA_TABLE])
            if (dst_len, kind, table) != (32, _RTN_UNICAST, _RT_TABLE_MAIN):
                continue
            if _RTA_OIF in found:
                indices = list(struct.unpack("=i", found[_RTA_OIF]))
            else:
                indices = list(_next_hops(found.get(_RTA_MULTIPATH, b"")))
            destination = socket.inet_ntoa(found[_RTA_DST])
            routes[destination] = frozenset(name_of(index) for index in indices)
        return routes

    def ask(self, kind: int, body: bytes, flags: int) -> Iterator[bytes]:
        """Send a request; yield the bodies of the answer until its end or its acknowledgement. Raises as above."""
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            for answer, flagged, sequence, message in _messages(self._socket.recv(_MAX_MESSAGE)):
                if sequence != self._sequence:  # the rest of a dump that was given up
                    continue
                if answer == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", message)
                    if code == 0:  # an acknowledgement
                        return
                    raise OSError(-code, f"netlink: {os.strerror(-code)}")
                if flagged & _NLM_F_DUMP_INTR:
                    raise DumpInterrupted
                if answer == _NLMSG_DONE:
                    return
                yield message


class Kernel:
    """The kernel of this process's network namespace. Raises OSError if there is no rtnetlink."""

    def __init__(self) -> None:
        self._questions = RouteSocket(_netlink(0))
        self._asking = threading.Lock()
        self._news: socket.socket | None = None

    def close(self) -> None:
        """Close the sockets."""
        self._questions.close()
        if self._news is not None:
            asyncio.get_running_loop().remove_reader(self._news.fileno())
            self._news.close()

    def watch(self, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Call `changed` when links or routes have changed, `lost` with the name of an interface that went down."""
        news = self._news = _netlink(_GROUPS)
        news.setblocking(False)

        def read() -> None:
            try:
                data = news.recv(_MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:  # more news than the socket holds: some of it is lost
                data = b""
            for name in _lost(data):
                lost(name)
            changed()

        asyncio.get_running_loop().add_reader(news.fileno(), read)

    async def host_routes(self) -> dict[str, frozenset[str]] | None:
        """Return the unicast /32 routes of the main table: address -> interfaces of all next hops.

        None if they changed meanwhile. Raises OSError. In a thread: the kernel writes out tables under a lock of the
        whole machine, and where a hundred routers change routes at once that takes seconds.
        """

        def ask() -> dict[str, frozenset[str]] | None:
            with self._asking:  # who was cancelled may still be at it
                try:
                    return self._questions.host_routes(_name_of)
                except DumpInterrupted:
                    return None

        return await asyncio.to_thread(ask)

    def sent_octets(self) -> dict[str, int]:
        """Return the bytes that left over each interface so far; the ninth number of a line (net/core/net-procfs.c)."""
        rows = (line.partition(":") for line in _COUNTERS.read_text().splitlines()[2:])
        return {name.strip(): int(numbers.split()[8]) for name, _, numbers in rows}


def _name_of(index: int) -> str:
    # Not socket.if_nameindex: it is a dump under the same lock, during which no other thread of Python runs.
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def _netlink(groups: int) -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    found.bind((0, groups))
    found.settimeout(1.0)
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Return (type, flags, sequence, body) of each message."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += max(length, _HEADER.size) + 3 & ~3


def _lost(data: bytes) -> list[str]:
    """Return the interfaces that are down or without a carrier, by news of the kernel."""
    found = []
    for kind, _, _, body in _messages(data):
        if kind in (RTM_NEWLINK, _RTM_DELLINK):
            _, _, index, flags, _ = LINK.unpack_from(body)
            name = next((value for key, value in attributes(body, LINK.size) if key == 3), b"")  # IFLA_IFNAME
            if kind == _RTM_DELLINK or flags & (IFF_UP | _IFF_RUNNING) != IFF_UP | _IFF_RUNNING:
                found.append(name.rstrip(b"\0").decode(errors="replace") or f"#{index}")
    return found


def attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Return (type, value) of each attribute of a message from `offset` on."""
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
