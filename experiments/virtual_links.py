"""Links between virtual processes: sockets that lose, repeat, reorder, damage and delay datagrams, or are cut.

The receiver's buffer is bounded, as a socket's is: what comes to a stopped process beyond that is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from experiments.virtual_network import Impairment
from experiments.virtual_time import World
from routing.topology import Topology

BUFFER_BYTES = 1 << 20  # what `agent.udp` asks of the kernel


class VirtualSocket:
    """The end of a link that router `local` has toward router `remote`, as far as `agent.udp` uses a socket."""

    def __init__(self, wires: Wires, local: int, remote: int) -> None:
        self.closed = False
        self.told: Callable[[], None] | None = None  # that there is something to read
        self._wires = wires
        self._ends = local, remote
        self._buffer: deque[bytes] = deque()
        self._buffered = 0

    def send(self, data: bytes) -> int:
        """Send a datagram to the other end."""
        if not self.closed:
            self._wires.transmit(*self._ends, bytes(data))
        return len(data)

    def recv(self, _size: int) -> bytes:
        """Return the oldest datagram; raises BlockingIOError if there is none."""
        if not self._buffer:
            raise BlockingIOError
        data = self._buffer.popleft()
        self._buffered -= len(data)
        return data

    def fileno(self) -> int:
        """Return a number that no other socket has."""
        return id(self)

    def close(self) -> None:
        """Send and take nothing more."""
        self.closed = True
        self._buffer.clear()

    @property
    def readable(self) -> bool:
        """Whether there is something to read."""
        return bool(self._buffer)

    def arrive(self, data: bytes) -> None:
        """Take a datagram from the link."""
        if self.closed:
            return
        if self._buffered + len(data) <= BUFFER_BYTES:
            self._buffer.append(data)
            self._buffered += len(data)
        if self.told is not None:
            self.told()


class VirtualPoll:
    """The sockets of a process, watched together; stands where `select.epoll` does in `agent.udp`."""

    def __init__(self) -> None:
        self.closed = False
        self.on_readable: Callable[[], None] | None = None
        self._sockets: dict[int, VirtualSocket] = {}

    def register(self, socket: VirtualSocket, _events: int) -> None:
        """Watch a socket."""
        self._sockets[socket.fileno()] = socket
        socket.told = self.tell

    def fileno(self) -> VirtualPoll:
        """Return itself: the virtual loop needs no number to know it."""
        return self

    def poll(self, _timeout: float) -> list[tuple[int, int]]:
        """Return (descriptor, event) of the sockets that have something."""
        return [(number, 1) for number, socket in self._sockets.items() if socket.readable]

    def close(self) -> None:
        """Watch no more."""
        self.closed = True

    def tell(self) -> None:
        """Let the process read, if there is something and it watches."""
        if self.on_readable is not None and not self.closed and self.poll(0):
            self.on_readable()


class Wires:
    """All links.

    Attributes
    ----------
    impairment : what happens to datagrams everywhere
    cut : links (sender, receiver) over which nothing comes
    sent : datagrams so far
    taps : told (sender, receiver, datagram) of everything sent; return what is sent instead, None for nothing
    fakes : datagrams that no agent has sent: damaged or forged ones
    """

    def __init__(self, world: World, topology: Topology, impairment: Impairment) -> None:
        self.impairment = impairment
        self.cut: set[tuple[int, int]] = set()
        self.sent = 0
        self.taps: list[Callable[[int, int, bytes], bytes | None]] = []
        self.fakes: set[bytes] = set()
        self._world = world
        self._topology = topology
        self._sockets: dict[tuple[int, int], VirtualSocket] = {}

    def socket(self, local: int, remote: int) -> VirtualSocket:
        """Open the end of a link, in place of what was open there."""
        old = self._sockets.get((local, remote))
        if old is not None:
            old.close()
        self._sockets[local, remote] = VirtualSocket(self, local, remote)
        return self._sockets[local, remote]

    def sockets_of(self, router: int) -> list[VirtualSocket]:
        """Return a router's ends of links."""
        return [socket for (local, _), socket in self._sockets.items() if local == router]

    def transmit(self, sender: int, receiver: int, data: bytes) -> None:
        """Send a datagram over a link."""
        self.sent += 1
        how, random = self.impairment, self._world.random
        for tap in self.taps:
            changed = tap(sender, receiver, data)
            if changed is None:
                return
            data = changed
        if (sender, receiver) in self.cut or random.random() < how.loss:
            return
        for _ in range(2 if random.random() < how.duplication else 1):
            late = int(random.integers(1, how.reorder_depth + 1)) if random.random() < how.reordering else 0
            arriving = self._damaged(data) if random.random() < how.corruption else data
            self.deliver(sender, receiver, arriving, how.delay_s * (1 + late))

    def deliver(self, sender: int, receiver: int, data: bytes, delay_s: float) -> None:
        """Let a datagram arrive over the link from `sender` after a while."""

        def arrive() -> None:
            socket = self._sockets.get((receiver, sender))
            if socket is not None and (sender, receiver) not in self.cut:
                socket.arrive(data)

        self._world.after(delay_s, arrive)

    def forge(self, sender: int, receiver: int, data: bytes) -> None:
        """Let a datagram arrive that no agent has sent."""
        self.fakes.add(data)
        self.deliver(sender, receiver, data, self.impairment.delay_s)

    def _damaged(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[int(self._world.random.integers(len(damaged)))] ^= int(self._world.random.integers(1, 256))
        self.fakes.add(bytes(damaged))
        return bytes(damaged)
