"""Kernels: the shifted shares of all links, kept up to date while weights change. Arrays as in `routing.ecmp`.

What `routing.shares` computes per link is a sum over (row, node): an integer that depends on the node's flow, and on
which links out of it are tight and which are longer by exactly one. `moved` (L,) int64 holds these sums. When a weight
changes, only nodes are counted again whose flow changed or one of whose links came to, left or kept another slack of 0
or 1: the nodes on the rim of the region that moved, not those within. It is done row by row, while the row that was
just changed is in the nearest cache. Integers make the order immaterial: the sums equal those of a full count bit for
bit.
"""

from __future__ import annotations

import numpy as np

from routing.change import SAME, reroute
from routing.distances import MOVED, Int8, Uint32, lengthen, shorten
from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit

_COUNTED = 16  # mark beside those of `routing.distances`: contribution is to be counted again


@njit("i8(i8, i8, i8, i8, i8, b1)", inline=True)
def _part(amount: int, hops: int, nearly: int, rank: int, rank_nearly: int, ecmp: bool) -> int:
    """Return what a link longer by one would lose of `amount` that leaves its node over `hops` links, itself one.

    nearly : links longer by exactly one; rank, rank_nearly : how many of either come before it
    """
    if hops > 1:
        if ecmp:
            return (amount + hops - 1 - rank) // hops
        return amount if rank == 0 else 0
    if ecmp:
        return amount - (amount + nearly - rank_nearly) // (nearly + 1)
    return amount if rank_nearly > 0 else 0


@njit("void(u4, i8, u4[::1], u4[::1], i8[::1], i4[::1], b1, i8[::1])", inline=True)
def _count_node(
    node: np.uint32,
    amount: int,
    out_ptr: Uint32,
    dst: Uint32,
    weights: Int64,
    distance: Int32,
    ecmp: bool,
    moved: Int64,
) -> None:
    """Add what one node of one row, with a flow of `amount`, contributes to `moved` of its links."""
    at = distance[node]
    hops = 0
    nearly = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        slack = weights[out] + distance[dst[out]] - at
        hops += slack == 0
        nearly += slack == 1
    if amount == 0 or hops == 0 or (hops == 1 and nearly == 0):  # 0: the destination itself
        return
    rank = 0
    rank_nearly = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        slack = weights[out] + distance[dst[out]] - at
        if slack == 0:
            moved[out] += _part(amount, hops, nearly, rank, rank_nearly, ecmp)
        rank += slack == 0
        rank_nearly += slack == 1


@njit("void(u4, i8, i8, u4, i8, u4[::1], u4[::1], i8[::1], i4[::1], i4[::1], i1[::1], b1, i8[::1])", inline=True)
def _recount_node(
    node: np.uint32,
    amount_was: int,
    amount: int,
    link: np.uint32,
    old: int,
    out_ptr: Uint32,
    dst: Uint32,
    weights: Int64,
    distance: Int32,
    before: Int32,
    mark: Int8,
    ecmp: bool,
    moved: Int64,
) -> None:
    """Replace what a node contributed by what it does now.

    It had a flow of `amount_was` and `link` the weight `old`; moved nodes have their old distance in `before`.
    """
    at = np.int64(distance[node])
    was = np.int64(before[node]) if mark[node] & MOVED else at
    hops = 0
    nearly = 0
    hops_was = 0
    nearly_was = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        head = dst[out]
        away = np.int64(distance[head])
        slack = weights[out] + away - at
        hops += slack == 0
        nearly += slack == 1
        slack = (old if out == link else weights[out]) + (before[head] if mark[head] & MOVED else away) - was
        hops_was += slack == 0
        nearly_was += slack == 1
    if amount == 0 or (hops == 1 and nearly == 0):
        hops = 0
    if amount_was == 0 or (hops_was == 1 and nearly_was == 0):
        hops_was = 0
    if hops == 0 and hops_was == 0:
        return
    rank = 0
    rank_nearly = 0
    rank_was = 0
    rank_nearly_was = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        head = dst[out]
        away = np.int64(distance[head])
        slack = weights[out] + away - at
        if slack == 0 and hops > 0:
            moved[out] += _part(amount, hops, nearly, rank, rank_nearly, ecmp)
        rank += slack == 0
        rank_nearly += slack == 1
        slack = (old if out == link else weights[out]) + (before[head] if mark[head] & MOVED else away) - was
        if slack == 0 and hops_was > 0:
            moved[out] -= _part(amount_was, hops_was, nearly_was, rank_was, rank_nearly_was, ecmp)
        rank_was += slack == 0
        rank_nearly_was += slack == 1


@njit("void(i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1], b1, i8[::1])")
def count_all(
    out_ptr: Int32, dst: Int32, weights: Int64, distance: Int32, flow: Int64, ecmp: bool, moved: Int64
) -> None:
    """Fill `moved` from nothing."""
    outs, heads = out_ptr.view(np.uint32), dst.view(np.uint32)
    moved[:] = 0
    for row in range(distance.shape[0]):
        for node in range(distance.shape[1]):
            _count_node(np.uint32(node), flow[row, node], outs, heads, weights, distance[row], ecmp, moved)


@njit(
    "void(i8, u4, u4, i8, b1, u4[::1], u4[::1], u4[::1], i8[::1], i4[::1], i4[::1], i8[::1], b1, i1[::1], u4[::1], "
    "i8[::1], i8[::1], i8[::1], i8[::1])",
    inline=True,
)
def _recount(
    written: int,
    tail: np.uint32,
    link: np.uint32,
    old: int,
    by_one: bool,
    out_ptr: Uint32,
    dst: Uint32,
    in_links: Uint32,
    weights: Int64,
    distance: Int32,
    before: Int32,
    flow: Int64,
    ecmp: bool,
    mark: Int8,
    affected: Uint32,
    flow_was: Int64,
    undo_at: Int64,
    undo_flow: Int64,
    moved: Int64,
) -> None:
    """Count again what one row contributes, after `reroute` wrote `written` entries down for it alone."""
    affected[0] = tail
    mark[tail] |= _COUNTED
    count = 1
    for entry in range(written):
        node = np.uint32(undo_at[entry])
        was = undo_flow[entry]
        if was != SAME and was != flow[node]:
            flow_was[node] = was - flow[node]
            if mark[node] & _COUNTED == 0:
                mark[node] |= _COUNTED
                affected[count] = node
                count += 1
    for entry in range(written):
        node = np.uint32(undo_at[entry])
        if mark[node] & MOVED == 0:
            continue
        at, was = np.int64(distance[node]), np.int64(before[node])
        for out in range(out_ptr[node], out_ptr[node + 1]):
            other = dst[out]
            around = mark[other]
            if by_one and around & MOVED:
                continue  # both by one
            away = np.int64(distance[other])
            away_was = np.int64(before[other]) if around & MOVED else away
            if away - away_was == at - was:
                continue
            if mark[node] & _COUNTED == 0 and weights[out] + min(away - at, away_was - was) <= 1:
                mark[node] |= _COUNTED
                affected[count] = node
                count += 1
            # Every link has its reverse: the i-th link into a node comes from where the i-th out of it goes.
            if around & _COUNTED == 0 and weights[in_links[out]] + min(at - away, was - away_was) <= 1:
                mark[other] |= _COUNTED
                affected[count] = other
                count += 1
    for i in range(count):
        node = affected[i]
        _recount_node(
            node, flow[node] + flow_was[node], flow[node], link, old, out_ptr, dst, weights, distance, before, mark,
            ecmp, moved,
        )  # fmt: skip
    for i in range(count):
        node = affected[i]
        flow_was[node] = 0
        mark[node] = 0


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[:,::1], i8[::1], i1[::1], i8[::1], i8, i8, i8[::1], i4[::1], i8[::1], i8[::1])"
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
    undo_at: Int64,
    undo_distance: Int32,
    undo_flow: Int64,
    moved: Int64,
) -> None:
    """Give `link` another weight as `routing.change.set_weight` does, and bring `moved` up to date.

    undo_at, undo_distance, undo_flow : (N,), what `reroute` writes down of one row
    """
    left, before = scratch[2], scratch[3]
    touched, queue = scratch[0].view(np.uint32), scratch[1].view(np.uint32)
    outs, tails, heads = out_ptr.view(np.uint32), src.view(np.uint32), dst.view(np.uint32)
    ins, into = in_ptr.view(np.uint32), in_links.view(np.uint32)
    changed = np.uint32(link)
    old = weights[link]
    tail, head = tails[link], heads[link]
    by_one = weight == old + 1  # then all that moves moves by one
    for row in range(destinations.shape[0]):
        beyond = distance[row, head]
        at = distance[row, tail]
        if min(old, weight) + beyond - at > 1:
            continue
        if old + beyond != at and weight + beyond > at:
            # Distances and flows stay: only the slack of the link itself is another one.
            weights[link] = weight
            _recount_node(
                tail, flow[row, tail], flow[row, tail], changed, old, outs, heads, weights, distance[row], before,
                mark, ecmp, moved,
            )  # fmt: skip
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
            touched, count, before, left, surplus, mark, heap, 0, 0, undo_at, undo_distance, undo_flow,
        )  # fmt: skip
        _recount(
            written, tail, changed, old, by_one, outs, heads, into, weights, distance[row], before, flow[row], ecmp,
            mark, queue, surplus, undo_at, undo_flow, moved,
        )  # fmt: skip
        for i in range(count):
            mark[touched[i]] = 0
    weights[link] = weight


@njit("void(i4[::1], i8[::1], i8[::1], f8[::1])")
def shares_of(links: Int32, moved: Int64, load: Int64, shares: Float64) -> None:
    """Write the shares (n,) of `links` (n,) as `routing.shares.shifted_shares` does."""
    for i in range(links.shape[0]):
        link = links[i]
        shares[i] = moved[link] / load[link] if load[link] > 0 else 0.0
