"""Real UDP traffic of a traffic matrix, from one process that holds a socket in every router.

The packets of a whole period are laid out in memory as the kernel wants them; per tick and source one `sendmmsg` call
sends those that are due. Python's share of the work is then small enough for two cores that also carry the routers.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulation.kernelconf import ETHERNET_BYTES
from emulation.namespaces import die_with_parent, inside
from emulation.processes import EmulationError
from emulation.schedule import PERIOD_S, Timetable

_TICK_S = 0.004
_MAX_LATE_S = 0.25  # what a sender that was kept from the processor makes up for; older packets are left out
_HEADERS_BYTES = ETHERNET_BYTES + 20 + 8  # Ethernet, IPv4, UDP
_SEND_BUFFER = 4 << 20  # a saturated link's queue must not keep its router from sending on the others
_NICENESS = -10  # late packets come in bursts, which overflow queues that the model knows nothing of
_MAX_BATCH = 1024  # UIO_MAXIOV
_SO_SNDBUFFORCE = 32
_SOURCE_PORT = 9999  # always the same, so that a run's flows are hashed as those of the next

# struct mmsghdr, sockaddr_in and iovec of 64-bit Linux, all fields in the kernel's places.
_MESSAGE = np.dtype(
    {
        "names": ["name", "name_length", "vectors", "vector_count"],
        "formats": ["u8", "u4", "u8", "u8"],
        "offsets": [0, 8, 16, 24],
        "itemsize": 64,
    }
)
_ADDRESS = np.dtype([("family", "u2"), ("port", ">u2"), ("address", ">u4"), ("zero", "u8")])
_COUNTERS = struct.Struct("=qqqd")  # sent, refused, skipped packets; largest delay in seconds
_CHOICE = struct.Struct("=q")  # behind them, written by the parent: which stream


@dataclass(frozen=True)
class SenderCounts:
    """What the sender did since its start.

    Attributes
    ----------
    sent : packets given to the kernel
    refused : packets that the kernel did not take (no route, no buffer)
    skipped : packets left out because the sender was too late
    latest_s : the largest delay of a tick, seconds
    """

    sent: int
    refused: int
    skipped: int
    latest_s: float


@dataclass(frozen=True)
class Stream:
    """One way to send the traffic matrix.

    Attributes
    ----------
    tables : N timetables
    frame_bytes : size of a frame, Ethernet header included
    """

    tables: Sequence[Timetable]
    frame_bytes: int

    @property
    def rate(self) -> float:
        """Bit/s of Ethernet frames in all."""
        return sum(len(table.time) for table in self.tables) * 8 * self.frame_bytes / PERIOD_S

    def offered(self) -> NDArray[np.float64]:
        """Return what is sent per pair, (N, N) float64 in bit/s: the demands rounded to whole packets."""
        packets = np.stack([np.bincount(table.destination, minlength=len(self.tables)) for table in self.tables])
        return packets.astype(np.float64) * (8 * self.frame_bytes / PERIOD_S)


class TrafficSender:
    """The process that sends. Start it before the caller runs threads; it is forked.

    Parameters
    ----------
    pids : N process ids, one in each router's network namespace
    loopbacks : N addresses, where traffic comes from and goes to
    streams : ways to send the same traffic, between which `use` changes without a gap; the first to begin with
    """

    def __init__(self, pids: Sequence[int], loopbacks: Sequence[str], streams: Sequence[Stream]) -> None:
        self._arguments = (pids, loopbacks, streams)
        self._shared = mmap.mmap(-1, _COUNTERS.size + _CHOICE.size)
        self._pid: int | None = None

    def start(self, timeout_s: float = 10.0) -> None:
        """Fork the sender and wait until its sockets are open. Raises EmulationError if it fails."""
        if self._pid is not None:
            raise RuntimeError("the sender runs already")
        ready, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _child(self._shared, tell, *self._arguments)
        os.close(tell)
        self._pid = pid
        try:
            if not select.select([ready], [], [], timeout_s)[0] or not os.read(ready, 1):
                self.stop()
                raise EmulationError("the traffic sender did not start; its error is above")
        finally:
            os.close(ready)

    def use(self, stream: int) -> None:
        """Change to another of the streams, from the sender's next tick (4 ms) on."""
        _CHOICE.pack_into(self._shared, _COUNTERS.size, stream)

    def stop(self) -> None:
        """End the sender; nothing happens if it does not run."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)  # it has nothing to put in order
            os.waitpid(self._pid, 0)
            self._pid = None

    def check_alive(self) -> None:
        """Raise EmulationError if the sender has ended by itself."""
        if self._pid is not None and os.waitpid(self._pid, os.WNOHANG) != (0, 0):
            self._pid = None
            raise EmulationError("the traffic sender ended; its error is above")

    def counts(self) -> SenderCounts:
        """Return what was sent so far."""
        return SenderCounts(*_COUNTERS.unpack_from(self._shared))


def _child(
    shared: mmap.mmap,
    tell: int,
    pids: Sequence[int],
    loopbacks: Sequence[str],
    streams: Sequence[Stream],
) -> None:
    """Life of the forked process; never returns."""
    try:
        die_with_parent()
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.nice(_NICENESS)
        sockets = [_open_socket(pid, address) for pid, address in zip(pids, loopbacks, strict=True)]
        laid_out = [
            [
                _Source(opened.fileno(), table, loopbacks, stream.frame_bytes)
                for opened, table in zip(sockets, stream.tables, strict=True)
                if len(table.time)
            ]
            for stream in streams
        ]
        os.write(tell, b"1")
        _send_forever(laid_out, shared)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _open_socket(pid: int, address: str) -> socket.socket:
    with inside(pid):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
    opened.bind((address, _SOURCE_PORT))
    return opened


class _Source:
    """One router's packets of a period in one stream, ready for the kernel."""

    def __init__(self, descriptor: int, table: Timetable, loopbacks: Sequence[str], frame_bytes: int) -> None:
        self.descriptor = descriptor
        self.payload = ctypes.create_string_buffer(frame_bytes - _HEADERS_BYTES)
        count = len(table.time)
        numbers = np.array([int.from_bytes(socket.inet_aton(a), "big") for a in loopbacks], dtype=np.uint32)
        self.addresses = np.zeros(count, dtype=_ADDRESS)
        self.addresses["family"] = socket.AF_INET
        self.addresses["port"] = table.port
        self.addresses["address"] = numbers[table.destination]
        self.vector = np.array([ctypes.addressof(self.payload), len(self.payload)], dtype=np.uint64)
        self.messages = np.zeros(count, dtype=_MESSAGE)
        self.messages["name"] = self.addresses.ctypes.data + np.arange(count, dtype=np.uint64) * _ADDRESS.itemsize
        self.messages["name_length"] = _ADDRESS.itemsize
        self.messages["vectors"] = self.vector.ctypes.data
        self.messages["vector_count"] = 1
        self.base = self.messages.ctypes.data
        self.time: list[float] = table.time.tolist()
        self.next = 0
        self.cycle = 0

    def skip(self, cycle: int, phase: float) -> int:
        """Go to the packets due at `phase` of a period without sending; return how many were left out."""
        before = self.cycle * len(self.time) + self.next
        self.cycle, self.next = cycle, bisect_right(self.time, phase)
        return self.cycle * len(self.time) + self.next - before


def _send_forever(streams: Sequence[Sequence[_Source]], shared: mmap.mmap) -> None:
    sendmmsg = ctypes.CDLL(None).sendmmsg
    sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    sent = refused = skipped = 0
    latest = 0.0
    chosen = 0
    sources = streams[chosen]
    start = before = time.monotonic()
    while True:
        now = time.monotonic()
        late = now - before - _TICK_S
        latest = max(latest, late)
        if late > _MAX_LATE_S:
            cycle, phase = divmod(now - _MAX_LATE_S - start, PERIOD_S)
            skipped += sum(source.skip(int(cycle), phase) for source in sources)
        before = now
        position, phase = divmod(now - start, PERIOD_S)
        cycle = int(position)
        (choice,) = _CHOICE.unpack_from(shared, _COUNTERS.size)
        if choice != chosen:
            chosen = choice
            sources = streams[chosen]
            for source in sources:
                source.skip(cycle, phase)
        for source in sources:
            while True:
                whole = source.cycle < cycle
                due = len(source.time) if whole else bisect_right(source.time, phase, source.next)
                while source.next < due:
                    count = min(due - source.next, _MAX_BATCH)
                    done = sendmmsg(source.descriptor, source.base + 64 * source.next, count, socket.MSG_DONTWAIT)
                    if done < 0:  # the first of them was refused; go on behind it
                        refused += 1
                        done = 1
                    else:
                        sent += done
                    source.next += done
                if not whole:
                    break
                source.cycle += 1
                source.next = 0
        _COUNTERS.pack_into(shared, 0, sent, refused, skipped, latest)
        time.sleep(max(0.0, before + _TICK_S - time.monotonic()))
