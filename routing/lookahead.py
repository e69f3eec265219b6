"""Kernel: what another weight would do, for each of some links, without doing it.

A router asks for its own links. It has the whole state, so the answer is exact; it costs one change and its undoing for
each link.
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
    "i4[:,::1], i8[::1], i1[::1], i8[::1], f8[::1], i4[::1], i8[::1], f8[:,::1])"
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
    offered: Int64,
    out: Float64,
) -> None:
    """Write the maximum utilization and the sum of its eighth powers if one of `links` (n,) had the weight offered.

    offered : (n,), 1..65535; out : (n, 2), relative to now, all 1 without any load
    capacity : (L,) quanta
    The state changes on the way and is put back.
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
        weight = weights[link]
        if load[link] == 0 and offered[i] > weight:  # nothing runs over it, so nothing moves
            continue
        written = change(
            out_ptr, src, dst, in_ptr, in_links, weights, destinations, distance, flow, load, ecmp,
            scratch, surplus, mark, heap, link, offered[i], undo_at, undo_distance, undo_flow,
        )  # fmt: skip
        _measure(load, scale, found, 2)
        out[i, 0] = found[2] / found[0]
        out[i, 1] = found[3] / found[1]
        undo(written, undo_at, undo_distance, undo_flow, distance, flow)
        weights[link] = weight
        load[:] = load_now


@njit("void(i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], b1, i4[::1], i8[::1])")
def lowered(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    weights: Int64,
    destinations: Int32,
    distance: Int32,
    flow: Int64,
    ecmp: bool,
    links: Int32,
    out: Int64,
) -> None:
    """Write for each of `links` (n,) the highest lower weight at which its router sends some traffic otherwise, (n,).

    That is where the link comes to share, or ceases to share, what its router forwards to some destination. It looks
    one hop far and is exact there: no path from the link's head, nor from another next hop, leads back through the
    link. The weight as it is where no such weight is at least 1.
    """
    for i in range(links.shape[0]):
        link = links[i]
        tail, head, weight = src[link], dst[link], weights[link]
        least = weight  # of the lowerings; this one would leave 0
        for row in range(destinations.shape[0]):
            beyond = weight + distance[row, head] - distance[row, tail]
            if max(beyond, 1) >= least or flow[row, tail] == 0 or destinations[row] == tail:
                continue
            shared, behind = False, False  # there are other next hops; one of them comes first where only one counts
            for other in range(out_ptr[tail], out_ptr[tail + 1]):
                if other != link and weights[other] + distance[row, dst[other]] == distance[row, tail]:
                    shared = True
                    behind |= other < link
            if beyond == 0:
                least = 1 if shared and (ecmp or behind) else least
            else:
                least = min(least, beyond if ecmp or not behind else beyond + 1)
        out[i] = weight - least if least < weight else weight
