"""Kernels: the shifted shares of all links, kept up to date while weights change. Arrays as in `routing.ecmp`.

What `routing.shares` computes per link is a sum over (row, node): an integer that depends on the node's flow, and on
which links out of it are tight and which are longer by exactly one. `moved` (L,) int64 holds these sums. After
`routing.change.change` wrote down what it changed, only nodes are counted again whose flow changed or one of whose
links came to, left or kept another slack of 0 or 1: the nodes on the rim of the region that moved, not those within.
Integers make the order immaterial: the sums equal those of a full count bit for bit.
"""

from __future__ import annotations

import numpy as np

from routing.change import SAME
from routing.distances import Int8
from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit

_MOVED, _COUNTED = 1, 2  # marks: distance changed (old one in `was`); contribution is to be counted again


@njit("void(i8, i8, i8, i8, i8, i4[::1], i4[::1], i8[::1], i4[::1], i4[::1], i1[::1], b1, i8[::1])", inline=True)
def _count_node(
    node: int,
    sign: int,
    amount: int,
    link: int,
    weight: int,
    out_ptr: Int32,
    dst: Int32,
    weights: Int64,
    distance: Int32,
    was: Int32,
    mark: Int8,
    ecmp: bool,
    moved: Int64,
) -> None:
    """Add (or take away) what one node of one row, with a flow of `amount`, contributes to `moved` of its links.

    `link` counts as of `weight`, and nodes that are marked as `_MOVED` have their distance in `was`.
    """
    if amount == 0:
        return
    at = was[node] if mark[node] & _MOVED else distance[node]
    hops = 0
    nearly = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        head = dst[out]
        length = weight if out == link else weights[out]
        slack = length + (was[head] if mark[head] & _MOVED else distance[head]) - at
        hops += slack == 0
        nearly += slack == 1
    if hops == 0 or (hops == 1 and nearly == 0):  # the destination itself; or there is no other way
        return
    rank = 0
    rank_nearly = 0
    for out in range(out_ptr[node], out_ptr[node + 1]):
        head = dst[out]
        length = weight if out == link else weights[out]
        slack = length + (was[head] if mark[head] & _MOVED else distance[head]) - at
        if slack == 1:
            rank_nearly += 1
        if slack != 0:
            continue
        if hops > 1:
            if ecmp:
                moved[out] += sign * ((amount + hops - 1 - rank) // hops)
            elif rank == 0:
                moved[out] += sign * amount
        elif ecmp:
            moved[out] += sign * (amount - (amount + nearly - rank_nearly) // (nearly + 1))
        elif rank_nearly > 0:
            moved[out] += sign * amount
        rank += 1


@njit("void(i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1], b1, i8[::1])")
def count_all(
    out_ptr: Int32, dst: Int32, weights: Int64, distance: Int32, flow: Int64, ecmp: bool, moved: Int64
) -> None:
    """Fill `moved` from nothing."""
    moved[:] = 0
    unmarked = np.zeros(distance.shape[1], np.int8)
    for row in range(distance.shape[0]):
        at = distance[row]
        for node in range(distance.shape[1]):
            _count_node(
                node, 1, flow[row, node], 0, weights[0], out_ptr, dst, weights, at, at, unmarked, ecmp, moved
            )  # fmt: skip


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1], b1, i4[:,::1], i8[::1], i1[::1], "
    "i8, i8, i8, i8[::1], i4[::1], i8[::1], i8[::1])"
)
def recount(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_links: Int32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    ecmp: bool,
    scratch: Int32,
    flow_was: Int64,
    mark: Int8,
    link: int,
    old: int,
    written: int,
    undo_at: Int64,
    undo_distance: Int32,
    undo_flow: Int64,
    moved: Int64,
) -> None:
    """Bring `moved` up to date after `link`, of weight `old` before, was changed and `written` entries written down.

    scratch : (2+, N) int32; flow_was : (N,) int64 and mark : (N,) int8, both 0 between calls
    """
    nodes = distance.shape[1]
    affected, was = scratch[0], scratch[1]
    new = weights[link]
    tail = src[link]
    by_one = new == old + 1  # then all that moves moves by one
    begin = 0
    for row in range(distance.shape[0]):
        place = row * nodes
        end = begin
        at, reach = distance[row], flow[row]
        count = 0
        while end < written and undo_at[end] < place + nodes:
            node = undo_at[end] - place
            if undo_distance[end] != at[node]:
                mark[node] |= _MOVED
                was[node] = undo_distance[end]
            if node == tail or (undo_flow[end] != SAME and undo_flow[end] != reach[node]):
                mark[node] |= _COUNTED
                flow_was[node] = 0 if undo_flow[end] == SAME else undo_flow[end] - reach[node]
                affected[count] = node
                count += 1
            end += 1
        if begin == end:
            # Distances and flows stay: only the slack of the link itself is another one.
            if min(old, new) + at[dst[link]] - at[tail] > 1:
                continue
            affected[0] = tail
            count = 1
        for i in range(begin, end):
            node = undo_at[i] - place
            if mark[node] & _MOVED == 0:
                continue
            now, before = at[node], was[node]
            for out in range(out_ptr[node], out_ptr[node + 1]):
                other = dst[out]
                if by_one and mark[other] & _MOVED:
                    continue
                away = at[other]
                away_before = was[other] if mark[other] & _MOVED else away
                if away - away_before == now - before:
                    continue
                if mark[node] & _COUNTED == 0 and weights[out] + min(away - now, away_before - before) <= 1:
                    mark[node] |= _COUNTED
                    affected[count] = node
                    count += 1
                # Every link has its reverse: the i-th link into a node comes from where the i-th out of it goes.
                if mark[other] & _COUNTED == 0 and weights[in_links[out]] + min(now - away, before - away_before) <= 1:
                    mark[other] |= _COUNTED
                    affected[count] = other
                    count += 1
        for i in range(count):
            node = affected[i]
            amount = reach[node] + flow_was[node]
            flow_was[node] = 0
            _count_node(node, -1, amount, link, old, out_ptr, dst, weights, at, was, mark, ecmp, moved)
        for i in range(begin, end):
            mark[undo_at[i] - place] = 0
        for i in range(count):
            node = affected[i]
            mark[node] = 0
            _count_node(node, 1, reach[node], link, new, out_ptr, dst, weights, at, was, mark, ecmp, moved)
        begin = end


@njit("void(i4[::1], i8[::1], i8[::1], f8[::1])")
def shares_of(links: Int32, moved: Int64, load: Int64, shares: Float64) -> None:
    """Write the shares (n,) of `links` (n,) as `routing.shares.shifted_shares` does."""
    for i in range(links.shape[0]):
        link = links[i]
        shares[i] = moved[link] / load[link] if load[link] > 0 else 0.0
