"""Shortest available path: the quick heuristic of paper 002. No weights, no splitting.

P. Almasan et al., "Towards real-time routing optimization with deep reinforcement learning" (HPSR 2021), V-B: start
with an empty network and go through the demands, each allocated "on the shortest path that has more available
capacity". As in the authors' published experiments (ENERO), the demands come by falling volume and the choice is among
the K = 5 shortest loop-free paths (hops; equally long ones by their nodes' order): the first that has room for the
demand on every link. Where none has, they draw one at random; here it is the one whose tightest link has most capacity
left. Read this way, the method saves 6 % of the MLU of OSPF on GBN with gravity matrices scaled as in the paper (which
says 6.8 %). It fills the shortest paths up to 100 %, hence is poor where OSPF's MLU is far below 1.

The other reading of that sentence, `most_room`, always takes the path with most capacity left. It is the better method:
0.60 to 0.84 of the MLU of OSPF on the uniform matrices of the reference data, where the first gives 0.70 to 0.93.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.result import Budget, Result, Trace
from routing.ecmp import Float64, Int32
from routing.errors import InputError
from routing.jit import njit
from routing.topology import Topology
from routing.traffic import TrafficMatrix

PATHS = 5
_UNREACHED = -1


@njit("i8(i8, i8, i8, b1[::1], b1[::1], i4[::1], i4[::1], i4[::1], i4[::1], i4[::1])")
def _shortest(
    start: int,
    target: int,
    length: int,
    closed: NDArray[np.bool_],
    not_next: NDArray[np.bool_],
    out_ptr: Int32,
    dst: Int32,
    hops: Int32,
    queue: Int32,
    path: Int32,
) -> int:
    """Continue `path`, whose `length` nodes end with `start`, to `target` by the fewest hops; return its new length.

    Of several the first in the order of nodes. `closed` nodes and, as the next one, `not_next` nodes are out of bounds;
    returns -1 if there is no way. hops, queue (N,) are scratch.
    """
    hops[:] = _UNREACHED
    hops[target] = 0
    queue[0] = target
    waiting = 1
    done = 0
    while done < waiting:  # every link has its reverse, so searching from the target along links is as good
        node = queue[done]
        done += 1
        for out in range(out_ptr[node], out_ptr[node + 1]):
            near = dst[out]
            if hops[near] == _UNREACHED and not closed[near] and near != start:
                hops[near] = hops[node] + 1
                queue[waiting] = near
                waiting += 1
    at = start
    while at != target:
        best = -1
        for out in range(out_ptr[at], out_ptr[at + 1]):  # links are sorted, so the first of the nearest is the lowest
            near = dst[out]
            open_to = hops[near] != _UNREACHED and not (at == start and not_next[near])
            if open_to and (best < 0 or hops[near] < hops[best]):
                best = near
        if best < 0:
            return -1
        at = best
        path[length] = at
        length += 1
    return length


@njit("b1(i4[::1], i8, i4[::1], i8)")
def _before(one: Int32, one_length: int, other: Int32, other_length: int) -> bool:
    """Return whether a path comes before another: fewer nodes, then their order."""
    if one_length != other_length:
        return one_length < other_length
    for i in range(one_length):
        if one[i] != other[i]:
            return bool(one[i] < other[i])
    return False


@njit("i8(i8, i8, i4[::1], i4[::1], i4[:,::1], i4[::1])")
def k_shortest(source: int, target: int, out_ptr: Int32, dst: Int32, paths: Int32, lengths: Int32) -> int:
    """Write the K shortest loop-free paths into `paths` (K, N), their numbers of nodes into `lengths` (K,).

    Returns how many there are, at most K. J. Yen, "Finding the K shortest loopless paths in a network", Management
    Science 17(11), 1971, with E. Lawler's remark of 1972 that a path found as a detour need not be left before
    the point where the detour began.
    """
    wanted, nodes = paths.shape
    found = np.empty((wanted * nodes + 1, nodes), dtype=np.int32)
    found_length = np.zeros(wanted * nodes + 1, dtype=np.int32)
    leaves = np.zeros(wanted * nodes + 1, dtype=np.int32)  # where a path leaves the one that it is a detour of
    closed = np.zeros(nodes, dtype=np.bool_)
    not_next = np.zeros(nodes, dtype=np.bool_)
    hops = np.empty(nodes, dtype=np.int32)
    queue = np.empty(nodes, dtype=np.int32)
    found[0, 0] = source
    found_length[0] = _shortest(source, target, 1, closed, not_next, out_ptr, dst, hops, queue, found[0])
    number = 1
    taken = 0
    while taken < wanted:
        least = -1
        for i in range(number):
            if found_length[i] > 0 and (
                least < 0 or _before(found[i], found_length[i], found[least], found_length[least])
            ):
                least = i
        if least < 0:
            break
        paths[taken] = found[least]
        lengths[taken] = found_length[least]
        found_length[least] = -1
        taken += 1
        path = paths[taken - 1]
        for turn in range(leaves[least], lengths[taken - 1] - 1):
            closed[:] = False
            not_next[:] = False
            for i in range(turn):
                closed[path[i]] = True
            for other in range(taken):  # taken paths with the same beginning must not be found again
                same = lengths[other] > turn + 1
                for i in range(turn + 1):
                    same = same and paths[other, i] == path[i]
                if same:
                    not_next[paths[other, turn + 1]] = True
            found[number, : turn + 1] = path[: turn + 1]
            length = _shortest(
                path[turn], target, turn + 1, closed, not_next, out_ptr, dst, hops, queue, found[number]
            )  # fmt: skip
            if length > 0:
                found_length[number] = length
                leaves[number] = turn
                number += 1
    return taken


@njit("void(i8, b1, i4[::1], i4[::1], f8[::1], i4[::1], i4[::1], f8[::1], f8[::1], i4[:,::1], i4[::1])")
def _allocate(
    wanted: int,
    most_room: bool,
    source: Int32,
    target: Int32,
    volume: Float64,
    out_ptr: Int32,
    dst: Int32,
    capacity: Float64,
    load: Float64,
    chosen: Int32,
    lengths: Int32,
) -> None:
    """Route the demands one after another; write each one's path into `chosen` (D, N) and `lengths` (D,)."""
    nodes = chosen.shape[1]
    paths = np.zeros((wanted, nodes), dtype=np.int32)
    nodes_on = np.zeros(wanted, dtype=np.int32)
    links = np.zeros((wanted, nodes), dtype=np.int32)
    for demand in range(source.shape[0]):
        count = k_shortest(source[demand], target[demand], out_ptr, dst, paths, nodes_on)
        best = 0
        most = -np.inf
        for candidate in range(count):
            room = np.inf
            for i in range(nodes_on[candidate] - 1):
                on = out_ptr[paths[candidate, i]]
                while dst[on] != paths[candidate, i + 1]:
                    on += 1
                links[candidate, i] = on
                room = min(room, capacity[on] - load[on])
            if room > most:
                most = room
                best = candidate
            if room >= volume[demand] and not most_room:
                best = candidate
                break
        for i in range(nodes_on[best] - 1):
            load[links[best, i]] += volume[demand]
        chosen[demand] = paths[best]
        lengths[demand] = nodes_on[best]


def sap(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    paths: int = PATHS,
    most_room: bool = False,
) -> Result:
    """Route each demand over the first of its shortest paths that has room for it, the largest demand first.

    `weights`, `budget` and `seed` change nothing. The result's `segments` name every node between the ends of a demand.

    Parameters
    ----------
    topology, traffic : the instance
    paths : how many loop-free paths a demand may choose from, >= 1
    most_room : take the path with most capacity left, even where a shorter one has room

    Raises
    ------
    InputError : the traffic matrix does not fit the topology
    ValueError : no path to choose from
    """
    if paths < 1:
        raise ValueError(f"{paths} paths to choose from, expected at least 1")
    trace = Trace()
    if traffic.num_nodes != topology.num_nodes:
        raise InputError(f"traffic matrix of {traffic.num_nodes} nodes, {topology.name} has {topology.num_nodes}")
    source, target = (ends.astype(np.int32) for ends in np.nonzero(traffic.demand))
    volume = traffic.demand[source, target]
    order = np.argsort(-volume, kind="stable")
    source, target, volume = source[order], target[order], volume[order]
    load = np.zeros(topology.num_links)
    chosen = np.zeros((len(source), topology.num_nodes), dtype=np.int32)
    lengths = np.zeros(len(source), dtype=np.int32)
    _allocate(
        paths, most_room, source, target, volume,
        np.array(topology.out_ptr), np.array(topology.dst), np.array(topology.capacity), load, chosen, lengths,
    )  # fmt: skip
    mlu = float((load / topology.capacity).max())
    trace.record(mlu)
    return Result(
        mlu=mlu,
        evaluations=1,
        seconds=trace.seconds,
        trace=trace.entries,
        segments={
            (first, last): tuple(path[1 : length - 1])
            for first, last, path, length in zip(
                source.tolist(), target.tolist(), chosen.tolist(), lengths.tolist(), strict=True
            )
            if length > 2
        },
    )
