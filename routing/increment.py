"""Kernels: the exact change of distances, flows and loads when one weight grows by one (the action of paper 003).

`increment` raises one weight by one. In a row where the link is not tight nothing happens. Where it is, distances
grow by zero or one: the *raised* nodes are those all of whose tight links are lost or lead to raised nodes (found by
counting, no Dijkstra). Flows are then moved from far to near. The order is by ``old distance + new distance``: along
every link that was tight before or is tight after the change this sum strictly falls, so each node is final when its
turn comes. The method is that of Ramalingam and Reps, "An incremental algorithm for a generalization of the
shortest-path problem" (1996), for an increase of one.

Arrays as in `routing.ecmp`; besides, per node: touched, queue, left (N,) int32, surplus (N,) int64, mark (N,) int8,
all scratch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.ecmp import Float64, Int32, Int64
from routing.heap import NODE_BITS, NODE_MASK, pop, push
from routing.jit import njit


@njit("i8(i4, i4[::1], i4[::1], i8[::1], i4[::1])", inline=True)
def _tight_links(node: int, out_ptr: Int32, dst: Int32, weights: Int64, distance: Int32) -> int:
    """Count a node's next hops in one row."""
    count = 0
    for link in range(out_ptr[node], out_ptr[node + 1]):
        if weights[link] + distance[dst[link]] == distance[node]:
            count += 1
    return count


_UNTOUCHED, _TOUCHED, _RAISED, _QUEUED = 0, 1, 2, 4  # marks of a node while one row changes


@njit("i8(i8, i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[::1], i4[::1], i4[::1], i1[::1])")
def _raise(
    link: int,
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    distance: Int32,
    touched: Int32,
    queue: Int32,
    left: Int32,
    mark: NDArray[np.int8],
) -> int:
    """Find the nodes whose next hops change in one row when the tight `link` grows by one, before anything is changed.

    Writes them into `touched`, marks them, and marks as raised those whose distance grows; returns how many were
    touched. `left` counts the next hops that a touched node keeps.
    """
    tail = src[link]
    touched[0] = tail
    count = 1
    mark[tail] = _TOUCHED
    left[tail] = _tight_links(tail, out_ptr, dst, weights, distance) - 1
    waiting = 0
    if left[tail] == 0:
        mark[tail] = _RAISED
        queue[0] = tail
        waiting = 1
    done = 0
    while done < waiting:
        node = queue[done]
        done += 1
        for i in range(in_ptr[node], in_ptr[node + 1]):
            inward = in_links[i]
            tail = src[inward]
            if weights[inward] + distance[node] != distance[tail]:
                continue
            if mark[tail] == _UNTOUCHED:
                mark[tail] = _TOUCHED
                left[tail] = _tight_links(tail, out_ptr, dst, weights, distance)
                touched[count] = tail
                count += 1
            left[tail] -= 1
            if left[tail] == 0:
                mark[tail] = _RAISED
                queue[waiting] = tail
                waiting += 1
    for i in range(waiting):
        distance[queue[i]] += 1
    return count


@njit("void(i8, i4, i4[::1], i4[::1], i8[::1], i4[::1], i8[::1], i8[::1], b1, i4[::1], i8, i8[::1], i1[::1], i8[::1])")
def _reroute(
    link: int,
    destination: int,
    out_ptr: Int32,
    dst: Int32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    touched: Int32,
    count: int,
    surplus: Int64,
    mark: NDArray[np.int8],
    heap: Int64,
) -> None:
    """Move one row's traffic from the old DAG to the new one; `weights` and `distance` are the new ones.

    `surplus` (N,) is the change of a node's inflow that its next hops have not been told yet; it is 0 before and after.
    """
    size = 0
    for i in range(count):
        node = touched[i]
        rank = 2 * np.int64(distance[node]) - (mark[node] & _RAISED) // _RAISED
        mark[node] |= _QUEUED
        push(heap, size, ((-rank) << NODE_BITS) | node)
        size += 1
    while size > 0:
        node = pop(heap, size) & NODE_MASK
        size -= 1
        mark[node] &= ~_QUEUED
        flow_before = flow[node]
        flow_after = flow_before + surplus[node]
        flow[node] = flow_after
        surplus[node] = 0
        if flow_before == 0 and flow_after == 0:
            continue
        at = np.int64(distance[node])
        at_before = at - (mark[node] & _RAISED) // _RAISED
        hops_before = 0
        hops_after = 0
        for out in range(out_ptr[node], out_ptr[node + 1]):
            head = dst[out]
            beyond = np.int64(distance[head])
            if weights[out] + beyond == at:
                hops_after += 1
            if weights[out] - (out == link) + beyond - (mark[head] & _RAISED) // _RAISED == at_before:
                hops_before += 1
        if not ecmp:
            hops_before = 1
            hops_after = 1
        share_before = flow_before // hops_before
        rest_before = flow_before - share_before * hops_before
        share_after = flow_after // hops_after
        rest_after = flow_after - share_after * hops_after
        for out in range(out_ptr[node], out_ptr[node + 1]):
            head = dst[out]
            beyond = np.int64(distance[head])
            change = np.int64(0)
            if hops_after > 0 and weights[out] + beyond == at:
                change += share_after + (rest_after > 0)
                rest_after -= 1
                hops_after -= 1
            if (
                hops_before > 0
                and weights[out] - (out == link) + beyond - (mark[head] & _RAISED) // _RAISED == at_before
            ):
                change -= share_before + (rest_before > 0)
                rest_before -= 1
                hops_before -= 1
            if change == 0:
                continue
            load[out] += change
            if head == destination:
                flow[head] += change
                continue
            surplus[head] += change
            if mark[head] & _QUEUED == 0:
                mark[head] |= _QUEUED
                rank = 2 * np.int64(distance[head]) - (mark[head] & _RAISED) // _RAISED
                push(heap, size, ((-rank) << NODE_BITS) | head)
                size += 1


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[::1], i4[::1], i4[::1], i8[::1], i1[::1], i8[::1], i8)"
)
def increment(
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
    touched: Int32,
    queue: Int32,
    left: Int32,
    surplus: Int64,
    mark: NDArray[np.int8],
    heap: Int64,
    link: int,
) -> None:
    """Raise the weight of `link` by one."""
    weight = weights[link]
    tail = src[link]
    head = dst[link]
    for row in range(destinations.shape[0]):
        if weight + distance[row, head] != distance[row, tail]:
            continue
        count = _raise(
            link, out_ptr, src, dst, in_ptr, in_links, weights, distance[row], touched, queue, left, mark
        )  # fmt: skip
        weights[link] = weight + 1
        _reroute(
            link, destinations[row], out_ptr, dst, weights, distance[row], flow[row], load, ecmp,
            touched, count, surplus, mark, heap,
        )  # fmt: skip
        weights[link] = weight
        for i in range(count):
            mark[touched[i]] = _UNTOUCHED
    weights[link] = weight + 1


@njit("void(i4[::1], i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1], i8[::1], b1, i4[::1], f8[::1])")
def shifted_shares(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    links: Int32,
    shares: Float64,
) -> None:
    """For each of `links`, the share of its load that raising it by one would move to other links of its own router.

    It looks one hop far (a router can answer it from what it knows of its own rows): a next hop beside others loses
    all its traffic; a sole next hop keeps an equal share if other links are longer by exactly one.
    """
    for i in range(links.shape[0]):
        link = links[i]
        tail = src[link]
        moved = np.int64(0)
        for row in range(distance.shape[0]):
            amount = flow[row, tail]
            at = distance[row, tail]
            if amount == 0 or weights[link] + distance[row, dst[link]] != at:
                continue
            hops = 0
            nearly = 0
            rank = 0
            rank_nearly = 0
            for out in range(out_ptr[tail], out_ptr[tail + 1]):
                slack = weights[out] + distance[row, dst[out]] - at
                if slack == 0:
                    hops += 1
                    rank += out < link
                elif slack == 1:
                    nearly += 1
                    rank_nearly += out < link
            if hops == 1:
                if ecmp:
                    moved += amount - (amount + nearly - rank_nearly) // (nearly + 1)
                elif rank_nearly > 0:
                    moved += amount
            elif ecmp:
                moved += (amount + hops - 1 - rank) // hops
            elif rank == 0:
                moved += amount
        shares[i] = moved / load[link] if load[link] > 0 else 0.0
