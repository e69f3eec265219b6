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


@njit("i8(i4, i4[::1], i4[::1], i4[::1], i4[::1], b1, i4[::1], i4[::1], i4[::1], i4[::1], i8[::1])")
def _distances(
    destination: int,
    in_ptr: Int32,
    in_links: Int32,
    in_tails: Int32,
    in_weights: Int32,
    ecmp: bool,
    distance: Int32,
    order: Int32,
    hops: Int32,
    hop: Int32,
    heap: Int64,
) -> int:
    """Fill one row of distances and `order`, the nodes from near to far, by Dijkstra on the reversed links.

    On the way it counts each node's next hops in `hops` (1 without `ecmp`); `hop` is one, the first without `ecmp`.
    Returns how many nodes were reached.
    """
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
            tail = in_tails[i]
            candidate = at + in_weights[i]
            if candidate < distance[tail]:
                distance[tail] = candidate
                hops[tail] = 1
                hop[tail] = in_links[i]
                push(heap, size, (candidate << NODE_BITS) | tail)
                size += 1
            elif candidate == distance[tail]:
                if ecmp:
                    hops[tail] += 1
                else:
                    hop[tail] = min(hop[tail], in_links[i])
    return settled


@njit("void(i8, i4, i4[::1], i4[::1], i8[::1], i4[::1], i8[::1], i8[::1])", inline=True)
def _split(
    node: int, hops: int, out_ptr: Int32, dst: Int32, weights: Int64, distance: Int32, flow: Int64, load: Int64
) -> None:
    """Split a node's traffic over its next hops: add it to the loads and to the next hops' flows."""
    amount = flow[node]
    at = distance[node]
    share = amount // hops
    rest = amount - share * hops
    for link in range(out_ptr[node], out_ptr[node + 1]):
        if weights[link] + distance[dst[link]] == at:
            part = share + (rest > 0)
            rest -= 1
            load[link] += part
            flow[dst[link]] += part
            hops -= 1
            if hops == 0:
                return


@njit(
    "void(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i8[:,::1], i4[:,::1], i8[:,::1], i8[::1], "
    "b1, i4[:,::1], i8[::1])"
)
def evaluate(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    in_ptr: Int32,
    in_links: Int32,
    weights: Int64,
    destinations: Int32,
    demands: Int64,
    distances: Int32,
    flows: Int64,
    load: Int64,
    ecmp: bool,
    scratch: Int32,
    heap: Int64,
) -> None:
    """Compute distances, flows and loads from nothing; `scratch` is (3 or more, N)."""
    order, hops, hop = scratch[0], scratch[1], scratch[2]
    # Copied in the order in which Dijkstra reads them, and half as wide: fewer cache misses in each row.
    in_tails = np.empty_like(in_links)
    in_weights = np.empty_like(in_links)
    for i in range(in_links.shape[0]):
        in_tails[i] = src[in_links[i]]
        in_weights[i] = weights[in_links[i]]
    load[:] = 0
    for row in range(destinations.shape[0]):
        distance, flow = distances[row], flows[row]
        settled = _distances(
            destinations[row], in_ptr, in_links, in_tails, in_weights, ecmp, distance, order, hops, hop, heap
        )
        flow[:] = demands[row]
        for position in range(settled - 1, 0, -1):  # order[0] is the destination
            node = order[position]
            if hops[node] == 1:  # most nodes: nothing to look for, nothing to divide
                load[hop[node]] += flow[node]
                flow[dst[hop[node]]] += flow[node]
            else:
                _split(node, hops[node], out_ptr, dst, weights, distance, flow, load)
