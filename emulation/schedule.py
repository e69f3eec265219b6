"""When which packet of the measured traffic leaves: a repeating timetable per source router. Pure arithmetic.

A demand of b bit/s becomes packets of one size at even distances, each pair with a phase of its own, and every packet
goes to the next of thousands of UDP ports. A port is a flow to the routers' layer-4 hash, so equal-cost paths share a
demand nearly as the fluid model says: for a split in two over n flows the standard deviation is 0.5 / sqrt(n) of the
demand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERIOD_S = 16.0  # long, so that rounding a small demand to whole packets costs at most 1/32 of a packet per second

_LARGEST_FRAME = 1500  # bytes, Ethernet header included: 12000 bits
_SMALLEST_FRAME = 300
_FRAMES_PER_WINDOW = 800  # on the slowest link in 8 s: one frame more or less is then 1/8 % of its capacity
_WINDOW_S = 8.0

# Frames in the whole network. The more, the smaller the luck of the routers' hashes: on gbn the largest error of 8 s
# was 0.024 of a link's capacity with 6,000 per second (14 % of one core), 0.008 with 16,000.
FRAMES_PER_SECOND = 6000.0
FRAMES_PER_SECOND_MEASURED = 16000.0


@dataclass(frozen=True)
class Timetable:
    """One source's packets within a period, in the order in which they leave.

    Attributes
    ----------
    time : (P,) float64, seconds from the start of the period, ascending
    destination : (P,) int32, node index
    port : (P,) int32, UDP port
    """

    time: NDArray[np.float64]
    destination: NDArray[np.int32]
    port: NDArray[np.int32]


def frame_size(slowest_rate: float, total_rate: float, frames_per_second: float = FRAMES_PER_SECOND) -> int:
    """Return the frame size in bytes, Ethernet header included.

    Small frames measure slow links finely, split more evenly over equal paths, and keep the agents waiting for less
    time; large ones spare the processor.

    Parameters
    ----------
    slowest_rate : bit/s of the slowest link
    total_rate : bit/s of all demands together
    frames_per_second : how many the processor should be asked to send
    """
    fine = slowest_rate / 8 * _WINDOW_S / _FRAMES_PER_WINDOW
    cheap = total_rate / 8 / frames_per_second
    return int(np.clip(min(fine, cheap), _SMALLEST_FRAME, _LARGEST_FRAME))


def timetables(
    demand: NDArray[np.float64], frame_bytes: int, ports: tuple[int, int], random: np.random.Generator
) -> list[Timetable]:
    """Return the timetable of each source.

    Parameters
    ----------
    demand : (N, N) float64, bit/s of Ethernet frames, ``demand[src, dst]``
    frame_bytes : size of every frame
    ports : first and last UDP port
    random : draws phases, first ports, and how a demand is rounded to whole packets
    """
    exact = demand * PERIOD_S / (8 * frame_bytes)
    tables = []
    for row in exact:
        # Rounding the running sum keeps each source's total right to one packet, whatever its number of small demands.
        counts = np.diff(np.floor(np.cumsum(row) + random.random()), prepend=0.0).astype(np.int64)
        tables.append(_timetable(counts, ports, random))
    return tables


def _timetable(counts: NDArray[np.int64], ports: tuple[int, int], random: np.random.Generator) -> Timetable:
    destination = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    number = np.arange(len(destination)) - np.repeat(np.cumsum(counts) - counts, counts)
    phase = random.random(len(counts))
    time = (number + phase[destination]) / counts[destination] * PERIOD_S
    choice = ports[1] - ports[0] + 1
    port = ports[0] + (random.integers(choice, size=len(counts))[destination] + number) % choice
    order = np.argsort(time, kind="stable")
    return Timetable(time[order], destination[order], port[order].astype(np.int32))
