"""Kernels: the exact change of one row's distances when one weight changes, up or down, by any amount.

If the weight grew, the *raised* nodes are those all of whose tight links are lost or lead to raised nodes (found by
counting; an increase of one, the action of paper 003, then adds one to each, and a larger one takes a Dijkstra among
them); if it fell, a Dijkstra over the nodes that come nearer. This is the method of Ramalingam and Reps, "An
incremental algorithm for a generalization of the shortest-path problem" (1996).

Arrays as in `routing.ecmp`, and the scratch of `routing.change`; but nodes and links are unsigned, since numba looks
for negative indices at every access otherwise (a fifth of the time of a change).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.ecmp import FAR, Int32, Int64
from routing.heap import NODE_BITS, NODE_MASK, pop, push
from routing.jit import njit

Int8 = NDArray[np.int8]
Uint32 = NDArray[np.uint32]

# Marks: next hops may change; distance changes (old one in `before`); waits its turn; moved, and all next hops with it
TOUCHED, MOVED, QUEUED, CARRIED = 1, 2, 4, 8


@njit("i8(u4, u4[::1], u4[::1], i8[::1], i4[::1])", inline=True)
def tight_links(node: np.uint32, out_ptr: Uint32, dst: Uint32, weights: Int64, distance: Int32) -> int:
    """Count a node's next hops in one row."""
    at = distance[node]
    count = 0
    for link in range(out_ptr[node], out_ptr[node + 1]):
        count += weights[link] + distance[dst[link]] == at
    return count


@njit(
    "i8(u4, i8, u4[::1], u4[::1], u4[::1], u4[::1], u4[::1], i8[::1], i4[::1], u4[::1], u4[::1], i4[::1], i4[::1], "
    "i1[::1], i8[::1])",
    inline=True,
)
def lengthen(
    link: np.uint32,
    weight: int,
    out_ptr: Uint32,
    src: Uint32,
    dst: Uint32,
    in_ptr: Uint32,
    in_links: Uint32,
    weights: Int64,
    distance: Int32,
    touched: Uint32,
    queue: Uint32,
    left: Int32,
    before: Int32,
    mark: Int8,
    heap: Int64,
) -> int:
    """Make the tight `link` longer in one row; `weights` holds its old weight before and its new one afterwards.

    Returns how many nodes' next hops or distances change; they are in `touched`. `left` counts the next hops that one
    keeps. By one: a node moves with all its next hops, and what is new could only be a link that was longer by one.
    """
    by_one = weight == weights[link] + 1
    tail = src[link]
    touched[0] = tail
    count = 1
    mark[tail] = TOUCHED
    left[tail] = tight_links(tail, out_ptr, dst, weights, distance) - 1
    raised = 0
    if left[tail] == 0:
        mark[tail] = TOUCHED | MOVED
        queue[0] = tail
        raised = 1
    done = 0
    while done < raised:
        node = queue[done]
        done += 1
        at = distance[node]
        carried = by_one
        # Every link has its reverse, so the i-th link out of a node and the i-th into it join the same two nodes.
        for out in range(out_ptr[node], out_ptr[node + 1]):
            tail = dst[out]
            away = distance[tail]
            if weights[in_links[out]] + at != away:
                carried &= weights[out] + away != at + 1
                continue
            if mark[tail] == 0:
                mark[tail] = TOUCHED
                left[tail] = tight_links(tail, out_ptr, dst, weights, distance)
                touched[count] = tail
                count += 1
            left[tail] -= 1
            if left[tail] == 0:
                mark[tail] = TOUCHED | MOVED
                queue[raised] = tail
                raised += 1
        if carried:
            mark[node] |= CARRIED
    weights[link] = weight
    for i in range(raised):
        node = queue[i]
        before[node] = distance[node]
        distance[node] = distance[node] + 1 if by_one else FAR
    if by_one:
        return count
    size = 0
    for i in range(raised):
        node = queue[i]
        nearest = np.int64(FAR)
        for out in range(out_ptr[node], out_ptr[node + 1]):
            if mark[dst[out]] & MOVED == 0:
                nearest = min(nearest, weights[out] + distance[dst[out]])
        if nearest < FAR:
            distance[node] = nearest
            push(heap, size, (nearest << NODE_BITS) | node)
            size += 1
    while size > 0:
        key = pop(heap, size)
        size -= 1
        node = np.uint32(key & NODE_MASK)
        at = key >> NODE_BITS
        if at != distance[node]:
            continue
        for i in range(in_ptr[node], in_ptr[node + 1]):
            tail = src[in_links[i]]
            candidate = at + weights[in_links[i]]
            if candidate < distance[tail]:  # only raised nodes can still come nearer
                distance[tail] = candidate
                push(heap, size, (candidate << NODE_BITS) | tail)
                size += 1
    return count


@njit(
    "i8(u4, i8, u4[::1], u4[::1], u4[::1], u4[::1], i8[::1], i4[::1], u4[::1], i4[::1], i1[::1], i8[::1])", inline=True
)
def shorten(
    link: np.uint32,
    weight: int,
    src: Uint32,
    dst: Uint32,
    in_ptr: Uint32,
    in_links: Uint32,
    weights: Int64,
    distance: Int32,
    touched: Uint32,
    before: Int32,
    mark: Int8,
    heap: Int64,
) -> int:
    """Make `link` so short in one row that it becomes or stays tight; arguments and result as of `lengthen`."""
    weights[link] = weight
    tail = src[link]
    touched[0] = tail
    count = 1
    mark[tail] = TOUCHED
    at = weight + distance[dst[link]]
    if at == distance[tail]:
        return count
    before[tail] = distance[tail]
    mark[tail] = TOUCHED | MOVED
    distance[tail] = at
    heap[0] = (at << NODE_BITS) | tail
    size = 1
    while size > 0:
        key = pop(heap, size)
        size -= 1
        node = np.uint32(key & NODE_MASK)
        at = key >> NODE_BITS
        if at != distance[node]:
            continue
        for i in range(in_ptr[node], in_ptr[node + 1]):
            tail = src[in_links[i]]
            candidate = at + weights[in_links[i]]
            if candidate > distance[tail]:
                continue
            if mark[tail] == 0:
                mark[tail] = TOUCHED
                touched[count] = tail
                count += 1
            if candidate < distance[tail]:
                if mark[tail] & MOVED == 0:
                    mark[tail] |= MOVED
                    before[tail] = distance[tail]
                distance[tail] = candidate
                push(heap, size, (candidate << NODE_BITS) | tail)
                size += 1
    return count
