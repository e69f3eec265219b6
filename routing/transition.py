"""From one set of weights to another without transient loops: which changes may be made together, and in what order.

OSPF tells a change to one router after the other, so for a moment each router forwards by some of the changes that are
under way, and not all by the same. A *wave* is a set of changes, (link, weight), that are under way at once. It is
safe if no packet can loop in it, whichever of its changes each router has heard of: for every destination the graph of
all next hops that any router can have then, under any subset of the changes, is acyclic. (A router's cycle edge needs
one subset at that router only, so the condition is also necessary.)

Per destination this is tested twice. First with bounds: a distance lies between those under the least and the greatest
weights, so a link can be a next hop only if its least weight and the least distance behind it do not exceed the
greatest distance before it. If that graph has a cycle, the subsets of the changes that can matter for this destination
are tried one by one, if there are few enough.

An increment or decrement of one weight by one is always safe: distances change by at most one, so that the sum of the
old and the new distance falls along every old and every new next hop (weights are at least one; compare P. Francois,
M. Shand and O. Bonaventure, "Disruption free topology reconfiguration in OSPF networks", 2007). Hence there always is
an order. It is found greedily: each wave takes as many of the changes that are left as are safe together; if none is,
a part of one. Where that takes too long, the last wave makes all that is left at once, safe or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing.ecmp import Int32, Int64, evaluate
from routing.jit import njit
from routing.topology import Topology

__all__ = ["MAX_CHECKED", "MAX_WORK", "Wave", "find_gentle_waves", "find_waves", "is_safe"]

_MATTER = 7  # changes that may matter for a destination whose subsets are tried: 128
MAX_CHECKED = 200_000  # nodes times links above which a single check takes too long to look for an order at all
# Checks times nodes times links spent on one order: 0.1 to 0.3 s on the slowest networks that were tried. One router
# plans for all, and must not be taken for dead over it; nor would operators wait for the hundreds of waves that a
# network of fifty nodes may need.
MAX_WORK = 3_000_000

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Wave:
    """Changes to be made together: link -> weight; `weights` (L,) int64 are those of all links afterwards."""

    changes: dict[int, int]
    weights: NDArray[np.int64]


@njit("b1(i4[::1], i4[::1], b1[::1], i4[::1], i4[::1])")
def _acyclic(out_ptr: Int32, dst: Int32, used: Bool, indegree: Int32, queue: Int32) -> bool:
    """Whether the links `used` (L,) have no cycle: nodes that nothing enters are taken away until none is left."""
    nodes = len(out_ptr) - 1
    indegree[:] = 0
    for link in range(len(dst)):
        if used[link]:
            indegree[dst[link]] += 1
    size = 0
    for node in range(nodes):
        if indegree[node] == 0:
            queue[size] = node
            size += 1
    done = 0
    while done < size:
        node = queue[done]
        done += 1
        for link in range(out_ptr[node], out_ptr[node + 1]):
            if used[link]:
                indegree[dst[link]] -= 1
                if indegree[dst[link]] == 0:
                    queue[size] = dst[link]
                    size += 1
    return size == nodes


@njit("b1(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i8[::1])")
def _safe(out_ptr: Int32, src: Int32, dst: Int32, in_ptr: Int32, in_links: Int32, before: Int64, after: Int64) -> bool:
    """Kernel of `is_safe`."""
    nodes, links = len(out_ptr) - 1, len(src)
    least, greatest = np.minimum(before, after), np.maximum(before, after)
    everybody = np.arange(nodes).astype(np.int32)
    demand, flow = np.zeros((nodes, nodes), np.int64), np.zeros((nodes, nodes), np.int64)
    load, heap = np.zeros(links, np.int64), np.zeros(links + nodes + 1, np.int64)
    low, high = np.zeros((nodes, nodes), np.int32), np.zeros((nodes, nodes), np.int32)
    scratch = np.zeros((3, nodes), np.int32)
    evaluate(out_ptr, src, dst, in_ptr, in_links, least, everybody, demand, low, flow, load, True, scratch, heap)
    evaluate(out_ptr, src, dst, in_ptr, in_links, greatest, everybody, demand, high, flow, load, True, scratch, heap)
    used = np.zeros(links, np.bool_)
    matter = np.zeros(_MATTER, np.int64)
    weights = before.copy()
    row, one = np.zeros((1, nodes), np.int32), np.zeros((1, nodes), np.int64)
    for node in range(nodes):
        count = 0
        for link in range(links):
            used[link] = least[link] + low[node, dst[link]] <= high[node, src[link]]
            if used[link] and before[link] != after[link]:
                if count < _MATTER:
                    matter[count] = link
                count += 1
        if _acyclic(out_ptr, dst, used, scratch[0], scratch[1]):
            continue
        if count > _MATTER:
            return False
        used[:] = False
        for subset in range(1 << count):
            for i in range(count):
                weights[matter[i]] = after[matter[i]] if subset >> i & 1 else before[matter[i]]
            evaluate(
                out_ptr, src, dst, in_ptr, in_links, weights, everybody[node : node + 1], one, row, one, load, True,
                scratch, heap,
            )  # fmt: skip
            for link in range(links):
                used[link] |= weights[link] + row[0, dst[link]] == row[0, src[link]]
        for i in range(count):
            weights[matter[i]] = before[matter[i]]
        if not _acyclic(out_ptr, dst, used, scratch[0], scratch[1]):
            return False
    return True


def is_safe(topology: Topology, before: NDArray[np.int64], after: NDArray[np.int64]) -> bool:
    """Whether no packet can loop while all changes from `before` to `after`, (L,) int64, are under way.

    False also if there are too many changes to tell.
    """
    t = topology
    # The kernels' signatures say writable arrays; a topology's are read-only.
    out_ptr, src, dst, in_ptr, in_links = (np.array(a) for a in (t.out_ptr, t.src, t.dst, t.in_ptr, t.in_links))
    return bool(_safe(out_ptr, src, dst, in_ptr, in_links, before, after))


def find_waves(
    topology: Topology, before: NDArray[np.int64], after: NDArray[np.int64], order: NDArray[np.int64] | None = None
) -> list[Wave]:
    """Return waves that lead from `before` to `after`, (L,) int64 each; none if they are equal.

    order : (L,), links in the order in which they are tried; default: ascending
    Every router that asks gets the same answer. Networks of more than `MAX_CHECKED` nodes x links change in one wave,
    which may not be safe; nor may the last wave, if the others took `MAX_WORK`.
    """
    links = np.arange(topology.num_links) if order is None else order
    left = links[before[links] != after[links]].tolist()
    if not left:
        return []
    size = topology.num_nodes * topology.num_links
    checks = 0 if size > MAX_CHECKED or is_safe(topology, before, after) else MAX_WORK // size
    waves = []
    now = before.copy()
    while left and checks > 0:
        wave = now.copy()
        for link in left:
            wave[link] = after[link]
            if not is_safe(topology, now, wave):
                wave[link] = now[link]
        checks -= len(left)
        if np.array_equal(wave, now):
            wave, tried = _part_of_one(topology, now, after, left)
            checks -= tried
        waves.append(Wave({int(link): int(wave[link]) for link in np.flatnonzero(wave != now)}, wave))
        now = wave.copy()
        left = links[now[links] != after[links]].tolist()
    if left:
        waves.append(Wave({link: int(after[link]) for link in left}, after.copy()))
    return waves


def find_gentle_waves(
    topology: Topology,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    load: Callable[[NDArray[np.int64]], float],
) -> list[Wave]:
    """Return the waves, of several orders, whose weights in between load the network least; of equals, the fewest.

    load : weights (L,) int64 -> what should be small, say the MLU; what is no more than at both ends is all alike
    """
    ascending = np.arange(topology.num_links)
    rise = after - before
    # In an emulation all routers do this at once on few cores and must not fall silent over it: two orders only.
    orders = [ascending, np.argsort(-rise, kind="stable")]
    enough = max(load(before), load(after))
    best: list[Wave] = []
    best_rank = (np.inf, 0)
    for order in orders:
        waves = find_waves(topology, before, after, order)
        peak = max((load(wave.weights) for wave in waves), default=0.0)
        rank = (max(peak, enough), len(waves))
        if rank < best_rank:
            best, best_rank = waves, rank
        if len(waves) <= 1 or not is_safe(topology, waves[-2].weights, after):
            break  # nothing to order, or too much for another try
    return best


def _part_of_one(
    topology: Topology, now: NDArray[np.int64], after: NDArray[np.int64], left: list[int]
) -> tuple[NDArray[np.int64], int]:
    """Return the weights after the safe change of one link alone that leads farthest, in relation to its way.

    And how many checks that took.
    """

    def moved(link: int, part: int) -> NDArray[np.int64]:
        wave = now.copy()
        wave[link] += part if after[link] > now[link] else -part
        return wave

    best, best_share, tried = now, -1.0, 0
    for link in left:
        good, bad = 1, abs(int(after[link] - now[link]))  # one is always safe, the whole way is not
        while bad - good > 1:
            middle = (good + bad) // 2
            tried += 1
            good, bad = (middle, bad) if is_safe(topology, now, moved(link, middle)) else (good, middle)
        share = good / abs(int(after[link] - now[link]))
        if share > best_share:
            best, best_share = moved(link, good), share
    return best, tried
