"""Kernels: the exact change of distances, flows and loads when one weight changes, up or down, by any amount.

Row by row (destination by destination); where the link was not on a shortest path and does not come onto one, nothing
happens. Elsewhere, first the distances (`routing.distances`), then the flows: nodes whose next hops change take back
all that they sent; then all nodes whose traffic changes pass it on, from far to near by the new distances. A node
whose next hops stay sends nearer nodes only the difference, so each is final when its turn comes. What reaches the
destination is always the row's whole demand.

Arrays as in `routing.ecmp`; scratch: nodes (4, N) int32 (touched, queue, left, before), surplus (N,) int64 and mark
(N,) int8, both 0 between calls. `undo_at`, `undo_distance`, `undo_flow` receive what `undo` needs (place
``row * N + node``, row by row, old distance, old flow or `SAME`); of length 0, nothing is written down.
"""

from __future__ import annotations

import numpy as np

from routing.distances import CARRIED, MOVED, QUEUED, TOUCHED, Int8, Uint32, lengthen, shorten, tight_links
from routing.ecmp import Int32, Int64
from routing.heap import NODE_BITS, NODE_MASK, pop, push
from routing.jit import njit

SAME = -1  # in `undo_flow`: the flow did not change


@njit(
    "i8(u4, u4, i8, u4[::1], u4[::1], i8[::1], i4[::1], i8[::1], i8[::1], b1, u4[::1], i8, i4[::1], i4[::1], i8[::1], "
    "i1[::1], i8[::1], i8, i8, i8[::1], i4[::1], i8[::1])",
    inline=True,
)
def reroute(
    destination: np.uint32,
    link: np.uint32,
    old_weight: int,
    out_ptr: Uint32,
    dst: Uint32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    touched: Uint32,
    count: int,
    before: Int32,
    entry: Int32,
    surplus: Int64,
    mark: Int8,
    heap: Int64,
    place: int,
    written: int,
    undo_at: Int64,
    undo_distance: Int32,
    undo_flow: Int64,
) -> int:
    """Move one row's traffic to its new next hops; `weights` and `distance` are the new ones. Returns `written`, grown.

    `surplus` is the change of a node's inflow so far; `entry` says where in the row's log a moved node stands.
    """
    logging = undo_at.shape[0] > 0
    first = written
    size = 0
    for i in range(count):
        node = touched[i]
        was = np.int64(before[node]) if mark[node] & MOVED else np.int64(distance[node])
        at = np.int64(distance[node])
        hops = 0
        other = False
        for out in range(out_ptr[node], out_ptr[node] if mark[node] & CARRIED else out_ptr[node + 1]):
            head = dst[out]
            tight = weights[out] + distance[head] == at
            length = old_weight if out == link else weights[out]
            tight_before = length + (before[head] if mark[head] & MOVED else distance[head]) == was
            hops += tight_before
            other |= tight != tight_before
        if not other:
            # A moved node that sends where it sent before: its traffic stays, unless more or less comes in.
            mark[node] &= ~TOUCHED
            if logging and mark[node] & MOVED:
                undo_at[written] = place + node
                undo_distance[written] = before[node]
                undo_flow[written] = SAME
                entry[node] = written - first
                written += 1
            continue
        amount = flow[node]
        if mark[node] & QUEUED == 0:
            mark[node] |= QUEUED
            push(heap, size, ((-at) << NODE_BITS) | node)
            size += 1
        if amount == 0:
            continue
        if not ecmp:
            hops = 1
        share = amount // hops if hops > 1 else amount
        rest = amount - share * hops
        for out in range(out_ptr[node], out_ptr[node + 1]):
            head = dst[out]
            length = old_weight if out == link else weights[out]
            if length + (before[head] if mark[head] & MOVED else distance[head]) != was:
                continue
            part = share + (rest > 0)
            rest -= 1
            load[out] -= part
            if head != destination:
                surplus[head] -= part
                if mark[head] & QUEUED == 0:
                    mark[head] |= QUEUED
                    push(heap, size, ((-np.int64(distance[head])) << NODE_BITS) | head)
                    size += 1
            hops -= 1
            if hops == 0:
                break
    while size > 0:
        node = np.uint32(pop(heap, size) & NODE_MASK)
        size -= 1
        flow_before = flow[node]
        flow_after = flow_before + surplus[node]
        surplus[node] = 0
        marked = mark[node]
        if logging and marked & MOVED and not marked & TOUCHED:
            undo_flow[first + entry[node]] = flow_before
        elif logging:
            undo_at[written] = place + node
            undo_distance[written] = before[node] if marked & MOVED else distance[node]
            undo_flow[written] = flow_before
            written += 1
        if marked & TOUCHED:
            flow_before = 0  # all of it was taken back above
        else:
            mark[node] &= ~QUEUED
        flow[node] = flow_after
        if flow_before == flow_after:
            continue
        at = np.int64(distance[node])
        hops = 1
        if ecmp:
            hops = tight_links(node, out_ptr, dst, weights, distance)
        share_before = flow_before // hops if hops > 1 else flow_before
        share_after = flow_after // hops if hops > 1 else flow_after
        rest_before = flow_before - share_before * hops
        rest_after = flow_after - share_after * hops
        for out in range(out_ptr[node], out_ptr[node + 1]):
            head = dst[out]
            if weights[out] + distance[head] != at:
                continue
            change = share_after - share_before + (rest_after > 0) - (rest_before > 0)
            rest_before -= 1
            rest_after -= 1
            load[out] += change
            if head != destination:
                surplus[head] += change
                if mark[head] & QUEUED == 0:
                    mark[head] |= QUEUED
                    push(heap, size, ((-np.int64(distance[head])) << NODE_BITS) | head)
                    size += 1
            hops -= 1
            if hops == 0:
                break
    return written


@njit(
    "i8(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[:,::1], i8[::1], i1[::1], i8[::1], i8, i8, i8[::1], i4[::1], i8[::1])"
)
def change(
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
    link: int,
    weight: int,
    undo_at: Int64,
    undo_distance: Int32,
    undo_flow: Int64,
) -> int:
    """Give `link` another weight; return how many entries of the undo arrays were written."""
    left, before = scratch[2], scratch[3]
    touched, queue = scratch[0].view(np.uint32), scratch[1].view(np.uint32)
    outs, tails, heads = out_ptr.view(np.uint32), src.view(np.uint32), dst.view(np.uint32)
    ins, into = in_ptr.view(np.uint32), in_links.view(np.uint32)
    changed = np.uint32(link)
    old = weights[link]
    tail = src[link]
    head = dst[link]
    nodes = distance.shape[1]
    written = 0
    for row in range(destinations.shape[0]):
        beyond = distance[row, head]
        at = distance[row, tail]
        if old + beyond != at and weight + beyond > at:
            continue
        if weight > old:
            weights[link] = old
            count = lengthen(
                changed, weight, outs, tails, heads, ins, into, weights, distance[row],
                touched, queue, left, before, mark, heap,
            )  # fmt: skip
        else:
            count = shorten(
                changed, weight, tails, heads, ins, into, weights, distance[row], touched, before, mark, heap
            )
        written = reroute(
            np.uint32(destinations[row]), changed, old, outs, heads, weights, distance[row], flow[row], load, ecmp,
            touched, count, before, left, surplus, mark, heap, row * nodes, written, undo_at, undo_distance, undo_flow,
        )  # fmt: skip
        for i in range(count):
            mark[touched[i]] = 0
    weights[link] = weight
    return written


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[:,::1], i8[::1], i1[::1], i8[::1], i8, i8)"
)
def set_weight(
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
    link: int,
    weight: int,
) -> None:
    """Give `link` another weight for good."""
    change(
        out_ptr, src, dst, in_ptr, in_links, weights, destinations, distance, flow, load, ecmp,
        scratch, surplus, mark, heap, link, weight, heap[:0], scratch[0, :0], heap[:0],
    )  # fmt: skip


@njit("void(i8, i8[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1])")
def undo(written: int, undo_at: Int64, undo_distance: Int32, undo_flow: Int64, distance: Int32, flow: Int64) -> None:
    """Put back the distances and flows that `change` wrote down; weight and loads are the caller's."""
    for i in range(written):
        row, node = divmod(undo_at[i], distance.shape[1])
        distance[row, node] = undo_distance[i]
        if undo_flow[i] != SAME:
            flow[row, node] = undo_flow[i]
