"""Kernels: shortest paths toward each destination, equal-cost splits and loads.

A demand is an integer number of quanta. Where a node has `n` next hops toward a destination, each gets `flow // n`
quanta and the first `flow % n` of them (in link order) one more, so that flows are integers, sums do not depend on
their order, and a state reached by any history of changes equals a full evaluation bit for bit.

Everything is kept per destination (a row): `distance[r, v]` is the distance from node `v` to the row's destination,
`flow[r, v]` the traffic toward it that leaves or crosses `v`. A link u->v is *tight* in a row when ``distance[u] ==
weight + distance[v]``; the tight links are the row's shortest-path DAG. The link flows are not stored: they follow
from `flow`.

Arrays (N nodes, L links, R rows): out_ptr (N+1,), src, dst (L,), in_ptr (N+1,), in_links (L,) int32; weights (L,)
int64; destinations (R,) int32; demand, flow (R, N) int64 quanta; distance (R, N) int32; load (L,) int64 quanta.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.heap import NODE_BITS, NODE_MASK, pop, push
from routing.jit import njit

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

FAR = np.int32(2**31 - 1)


@njit("i8(i4, i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[::1], i8[::1])")
def _distances(
    destination: int,
    src: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    distance: Int32,
    order: Int32,
    heap: Int64,
) -> int:
    """Fill one row of distances (Dijkstra on reversed links) and `order`, nodes from near to far; return how many."""
    distance[:] = FAR
    distance[destination] = 0
    heap[0] = destination
    size = 1
    settled = 0
    while size > 0:
        key = pop(heap, size)
        size -= 1
        node = key & NODE_MASK
        at = key >> NODE_BITS
        if at != distance[node]:
            continue
        order[settled] = node
        settled += 1
        for i in range(in_ptr[node], in_ptr[node + 1]):
            link = in_links[i]
            tail = src[link]
            candidate = at + weights[link]
            if candidate < distance[tail]:
                distance[tail] = candidate
                push(heap, size, (candidate << NODE_BITS) | tail)
                size += 1
    return settled


@njit("void(i8, i4[::1], i4[::1], i8[::1], i4[::1], i8[::1], i8[::1], b1)", inline=True)
def _split(
    node: int,
    out_ptr: Int32,
    dst: Int32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
) -> None:
    """Split a node's traffic over its next hops: add it to the loads and to the next hops' flows."""
    amount = flow[node]
    if amount == 0:
        return
    at = distance[node]
    hops = 1
    if ecmp:
        hops = 0
        for link in range(out_ptr[node], out_ptr[node + 1]):
            if weights[link] + distance[dst[link]] == at:
                hops += 1
    share = amount // hops
    rest = amount - share * hops
    for link in range(out_ptr[node], out_ptr[node + 1]):
        if weights[link] + distance[dst[link]] == at:
            part = share
            if rest > 0:
                part += 1
                rest -= 1
            load[link] += part
            flow[dst[link]] += part
            hops -= 1
            if hops == 0:
                return


@njit(
    "void(i4, i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i8[::1], i4[::1], i8[::1], i8[::1], b1, "
    "i4[::1], i8[::1])"
)
def _evaluate_row(
    destination: int,
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    demand: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    order: Int32,
    heap: Int64,
) -> None:
    """Compute one row from nothing and add its traffic to `load`."""
    settled = _distances(destination, src, in_ptr, in_links, weights, distance, order, heap)
    flow[:] = demand
    for position in range(settled - 1, 0, -1):  # order[0] is the destination
        _split(order[position], out_ptr, dst, weights, distance, flow, load, ecmp)


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i8[:,::1], i4[:,::1], i8[:,::1], i8[::1], "
    "b1, i4[::1], i8[::1])"
)
def evaluate(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    destinations: Int32,
    demand: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    order: Int32,
    heap: Int64,
) -> None:
    """Compute distances, flows and loads from nothing."""
    load[:] = 0
    for row in range(destinations.shape[0]):
        _evaluate_row(
            destinations[row], out_ptr, src, dst, in_ptr, in_links, weights,
            demand[row], distance[row], flow[row], load, ecmp, order, heap,
        )  # fmt: skip
