"""Frames of a link that come late, in another order, twice or not at all: the kernel here has no netem.

A packet socket at the receiving end sees every frame before nftables' ingress hook does, which drops those that are to
be impaired. A process of ours sends copies of them out of the sending end when their time has come. The copies are told
from the originals by an Ethernet source address of their own, and change nothing above it: device, TTL and addresses
are what the receiver expects.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from pathlib import Path

from numpy.random import Generator, Philox

from emulation.namespaces import inside
from emulation.processes import EmulationError, run_in_each
from emulation.spawn import Spawner

_OURS = bytes.fromhex("02006c6f636b")  # locally administered (IEEE 802c, 4.3)
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800  # only sockets for all protocols come before ingress
_ETHERNET, _UDP = 14, 17
_TABLE = "impaired"


@dataclass(frozen=True)
class Impairment:
    """What happens to each frame, independently.

    Attributes
    ----------
    delay_s, jitter_s : it comes so much later, and up to so much more, drawn uniformly: frames overtake each other
    loss, duplication : probabilities that it does not come, and that it comes twice
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


@dataclass(frozen=True)
class End:
    """One end of a link: a process in the router's network namespace, and the interface."""

    pid: int
    interface: str


class ImpairedLink:
    """UDP frames to one port are impaired in both directions of a link, from `start` to `stop`.

    Parameters
    ----------
    ends : both ends of the link
    port : destination
    impairment, seed : what happens to the frames
    log : where the process' trouble goes
    """

    def __init__(self, ends: tuple[End, End], port: int, impairment: Impairment, seed: int, log: Path) -> None:
        self._ends = ends
        self._port = port
        self._work = partial(_carry, ends, port, impairment, seed)
        self._log = log
        self._spawner = Spawner()

    def start(self) -> None:
        """Impair from now on. Raises EmulationError, OSError."""
        self._spawner.fork("impairment", None, self._work, self._log)
        for end in self._ends:
            hook = f'type filter hook ingress device "{end.interface}" priority 0;'
            rule = f"ether saddr != {_OURS.hex(':')} udp dport {self._port} drop"
            table = f"table netdev {_TABLE} {{\n chain in {{\n {hook}\n {rule}\n }}\n}}\n"
            run_in_each([(end.pid, ["nft", "-f", "-"], table)])

    def stop(self) -> None:
        """Let frames pass again; those under way are lost. Raises EmulationError, also if the process had failed."""
        failed = self._spawner.poll()
        for end in self._ends:
            run_in_each([(end.pid, ["nft", "delete", "table", "netdev", _TABLE], "")])
        self._spawner.end()
        if failed:
            raise EmulationError(f"the impairment of a link ended by itself; see {self._log}")


def _open(end: End) -> socket.socket:
    with inside(end.pid):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        opened.bind((end.interface, _ETH_P_ALL))
    return opened


def _carry(ends: Sequence[End], port: int, impairment: Impairment, seed: int) -> int:
    """Take frames at one end, send what becomes of them out of the other, until the process is killed."""
    random = Generator(Philox(key=[seed, 0x696D70]))
    near, far = (_open(end) for end in ends)
    other = {near: far, far: near}
    due: list[tuple[float, int, socket.socket, bytes]] = []
    number = 0
    while True:
        timeout = max(0.0, due[0][0] - time.monotonic()) if due else None
        for receiver in select.select([near, far], [], [], timeout)[0]:
            frame, address = receiver.recvfrom(65535)
            if address[2] == socket.PACKET_OUTGOING or frame[6:12] == _OURS or not is_for(frame, port):
                continue
            copies = 0 if random.random() < impairment.loss else 1 + (random.random() < impairment.duplication)
            for _ in range(copies):
                number += 1
                at = time.monotonic() + impairment.delay_s + impairment.jitter_s * random.random()
                heappush(due, (at, number, other[receiver], marked(frame)))
        while due and due[0][0] <= time.monotonic():
            _, _, sender, frame = heappop(due)
            sender.send(frame)


def is_for(frame: bytes, port: int) -> bool:
    """Whether an Ethernet frame is an IPv4 UDP packet (RFC 791, RFC 768) to a port."""
    if len(frame) < _ETHERNET + 28 or struct.unpack_from("!H", frame, 12)[0] != _ETH_P_IP:
        return False
    header = 4 * (frame[_ETHERNET] & 0x0F)  # what it says, which may be longer than the frame
    destination = frame[_ETHERNET + header + 2 : _ETHERNET + header + 4]
    return frame[_ETHERNET + 9] == _UDP and destination == struct.pack("!H", port)


def marked(frame: bytes) -> bytes:
    """Return a copy that is ours. Between veths nobody has computed its UDP checksum, so it goes without one."""
    checksum = _ETHERNET + 4 * (frame[_ETHERNET] & 0x0F) + 6
    return frame[:6] + _OURS + frame[12:checksum] + b"\0\0" + frame[checksum + 2 :]
