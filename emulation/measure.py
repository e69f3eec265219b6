"""Utilization per link by the kernel's counters, over a window of time.

What counts is every byte that left the interface, Ethernet headers included, be it measured traffic, OSPF or the
agents: that is what the link carried, and what its token bucket counts. OSPF's hellos are about 0.7 kbit/s per link.
Above its capacity a link was *offered* what it sent, plus what its queue dropped and what it left waiting.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulation.fabric import Fabric


@dataclass(frozen=True)
class Snapshot:
    """Counters of every link's sending end.

    Attributes
    ----------
    time : (L,) float64, monotonic seconds at which each was read
    octets : (L,) int64, bytes sent since the start
    dropped : (L,) int64, packets that the queue dropped since the start
    waiting : (L,) int64, bytes in the queue
    """

    time: NDArray[np.float64]
    octets: NDArray[np.int64]
    dropped: NDArray[np.int64]
    waiting: NDArray[np.int64]


@dataclass(frozen=True)
class LinkLoads:
    """Mean loads between two snapshots.

    Attributes
    ----------
    window_s : seconds between them
    sent : (L,) float64, bit/s that left
    offered : (L,) float64, bit/s that wanted to leave
    utilization : (L,) float64, offered load as a fraction of the rate; may exceed 1
    dropped : (L,) int64, packets
    """

    window_s: float
    sent: NDArray[np.float64]
    offered: NDArray[np.float64]
    utilization: NDArray[np.float64]
    dropped: NDArray[np.int64]


def snapshot(fabric: Fabric) -> Snapshot:
    """Read the counters of all routers; takes some milliseconds. Raises OSError if a router is gone."""
    topology = fabric.topology
    when = np.zeros(topology.num_links)
    octets, dropped, waiting = (np.zeros(topology.num_links, dtype=np.int64) for _ in range(3))
    for node, kernel in enumerate(fabric.routes.kernels):
        out = topology.out_links(node)
        when[out] = time.monotonic()
        sent = _sent_octets(Path(f"/proc/{fabric.pid(node)}/net/dev").read_text())
        queues = kernel.queues()
        for link in range(out.start, out.stop):
            octets[link] = sent[fabric.interface(link)]
            queue = queues[fabric.interface(link)]
            dropped[link], waiting[link] = queue.dropped, queue.backlog
    return Snapshot(when, octets, dropped, waiting)


def loads(before: Snapshot, after: Snapshot, rate: NDArray[np.float64], frame_bytes: int) -> LinkLoads:
    """Return the mean loads between two snapshots.

    Parameters
    ----------
    before, after : in this order
    rate : (L,) float64, bit/s
    frame_bytes : size of what was dropped: the measured traffic's frames, since the agents' and OSPF's go first
    """
    seconds = after.time - before.time
    dropped = after.dropped - before.dropped
    sent = (after.octets - before.octets) * 8 / seconds
    offered = sent + (dropped * frame_bytes + after.waiting - before.waiting) * 8 / seconds
    return LinkLoads(float(seconds.mean()), sent, offered, offered / rate, dropped)


def measure(fabric: Fabric, frame_bytes: int, window_s: float) -> LinkLoads:
    """Wait for `window_s` seconds and return the mean loads meanwhile; an event loop takes the two snapshots itself."""
    before = snapshot(fabric)
    time.sleep(window_s)
    return loads(before, snapshot(fabric), fabric.rate, frame_bytes)


def _sent_octets(text: str) -> dict[str, int]:
    """Read /proc/PID/net/dev: interface -> bytes sent. The ninth number of a line (linux/net/core/net-procfs.c)."""
    rows = (line.partition(":") for line in text.splitlines()[2:])
    return {name.strip(): int(numbers.split()[8]) for name, _, numbers in rows}
