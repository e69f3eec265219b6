"""Kernel: what raising one weight would do, for each of some links, without doing it.

A router asks for its own links. It has the whole state, so the answer is exact; it costs one change and its undoing for
each link that carries traffic.
"""

from __future__ import annotations

import numpy as np

from routing.change import change, undo
from routing.distances import Int8
from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit


@njit("void(i8[::1], f8[::1], f8[::1], i8)", inline=True)
def _measure(load: Int64, scale: Float64, out: Float64, at: int) -> None:
    """Write the maximum of r = load * scale to out[at] and the sum of r**8 to out[at + 1]."""
    greatest = 0.0
    total = 0.0
    for link in range(load.shape[0]):
        r = load[link] * scale[link]
        greatest = r if r > greatest else greatest
        squared = r * r
        fourth = squared * squared
        total += fourth * fourth
    out[at] = greatest
    out[at + 1] = total


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[:,::1], i8[::1], i1[::1], i8[::1], f8[::1], i4[::1], f8[:,::1])"
)
def what_if(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    destinations: Int32,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    scratch: Int32,
    surplus: Int64,
    mark: Int8,
    heap: Int64,
    capacity: Float64,
    links: Int32,
    out: Float64,
) -> None:
    """Write the maximum utilization and the sum of its eighth powers after +1 on each of `links` (n,), relative to now.

    out : (n, 2), all 1 without any load; capacity : (L,) quanta. The state changes on the way and is put back.
    """
    utilization = load / capacity
    mlu = 0.0
    for link in range(load.shape[0]):
        mlu = utilization[link] if utilization[link] > mlu else mlu
    out[:, :] = 1.0
    if mlu == 0.0:
        return
    scale = 1.0 / (capacity * mlu)
    found = np.empty(4, np.float64)
    _measure(load, scale, found, 0)
    load_now = load.copy()
    undo_at = np.empty(distance.size, np.int64)
    undo_distance = np.empty(distance.size, np.int32)
    undo_flow = np.empty(distance.size, np.int64)
    for i in range(links.shape[0]):
        link = links[i]
        if load[link] == 0:  # nothing runs over it, so nothing moves
            continue
        written = change(
            out_ptr, src, dst, in_ptr, in_links, weights, destinations, distance, flow, load, ecmp,
            scratch, surplus, mark, heap, link, weights[link] + 1, undo_at, undo_distance, undo_flow,
        )  # fmt: skip
        _measure(load, scale, found, 2)
        out[i, 0] = found[2] / found[0]
        out[i, 1] = found[3] / found[1]
        undo(written, undo_at, undo_distance, undo_flow, distance, flow)
        weights[link] -= 1
        load[:] = load_now
