"""UDP adapter: one connected socket per neighbour, and the three beats receive, let the protocol work, flush.

A socket is bound to the link's own address and device, takes datagrams of its neighbour's address only, and only such
that crossed no router: they are sent with TTL 255 and refused below it (RFC 5082), so a frame that OSPF rerouted over
other links is not accepted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import select
import socket
from collections.abc import Callable
from time import monotonic

from agent.config import Neighbor
from agent.messages import MAX_DATAGRAM
from agent.protocol import AgentProtocol
from routing.errors import InputError

logger = logging.getLogger(__name__)

_TTL = 255
_IP_MINTTL = getattr(socket, "IP_MINTTL", 21)  # linux/in.h; named in Python from 3.14 on
_IPV6_MINHOPCOUNT = 73  # linux/in6.h
_CS6 = 0xC0  # network control, RFC 4594: goes before data traffic
_PRIORITY = 6  # the same for the local queue; more would need CAP_NET_ADMIN
_BUFFER = 1 << 20
_LARGEST = MAX_DATAGRAM + 1  # one more tells that it was larger


def open_socket(neighbor: Neighbor, port: int) -> socket.socket:
    """Return the socket to one neighbour, or raise `InputError` naming it."""
    try:
        local, remote = ipaddress.ip_address(neighbor.local), ipaddress.ip_address(neighbor.remote)
    except ValueError as error:
        raise InputError(f"neighbor {neighbor.router}: {error}") from error
    family = socket.AF_INET if local.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if neighbor.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, neighbor.interface.encode() + b"\0")
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, _TTL)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CS6)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, _TTL)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CS6)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _PRIORITY)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        sock.bind((str(local), port))
        sock.connect((str(remote), port))
    except OSError as error:
        sock.close()
        where = f" on {neighbor.interface}" if neighbor.interface else ""
        raise InputError(
            f"neighbor {neighbor.router}: cannot open {local} port {port}{where}: {error.strerror}"
        ) from error
    return sock


class UdpAdapter:
    """Drives a protocol over sockets; calls `on_change` after whatever may have produced events.

    The event loop watches one descriptor, which tells that sockets have something; then each is read once. Transports
    would ask the kernel twice for each datagram, copy it once more, and cost as much as the protocol itself. (The loop
    cannot watch the sockets: libuv stops to at the first ICMP error.)
    """

    def __init__(self, protocol: AgentProtocol, on_change: Callable[[], None]) -> None:
        self._protocol = protocol
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, socket.socket] = {}
        self._readable: dict[int, tuple[socket.socket, int]] = {}  # by descriptor
        self._poll = select.epoll()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    async def open(self, neighbors: dict[int, Neighbor], port: int) -> None:
        """Open a socket to each neighbour router and begin."""
        for router, neighbor in neighbors.items():
            self._sockets[router] = sock = open_socket(neighbor, port)
            self._readable[sock.fileno()] = sock, router
            self._poll.register(sock, select.EPOLLIN)
        self._loop.add_reader(self._poll.fileno(), self._receive)
        self.flush()

    def close(self) -> None:
        """Close sockets and timer."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._poll.closed:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()
        for sock in self._sockets.values():
            sock.close()

    def flush(self) -> None:
        """Send what the protocol has to send and set its timer: call after every call of the protocol."""
        for router, data in self._protocol.datagrams_to_send():
            try:
                self._sockets[router].send(data)
            except OSError as error:  # a full buffer, or nobody there (ICMP): as good as lost on the way
                logger.debug("neighbour %d: %s", router, error)
        due = self._protocol.get_timer()
        # An early timer costs one look; re-arming at every datagram would cost more.
        if self._timer is None or due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._fire)

    def _receive(self) -> None:
        self._read(monotonic())
        self.flush()
        self._on_change()

    def _read(self, now: float) -> None:
        """Take one datagram from each socket that has some."""
        for descriptor, _ in self._poll.poll(0):
            sock, router = self._readable[descriptor]
            try:
                data = sock.recv(_LARGEST)
            except OSError as error:
                logger.debug("neighbour %d: %s", router, error)  # its agent is not there (ICMP), hellos will tell
                continue
            self._protocol.receive_datagram(data, router, now)

    def _fire(self) -> None:
        self._timer = None
        now = monotonic()
        # A process that did not run for a while wakes up to its timers first: what came meanwhile goes before them,
        # else it would take its own silence for its neighbours'.
        self._read(now)
        if self._protocol.get_timer() <= now:
            self._protocol.handle_timer(now)
        self.flush()
        self._on_change()
