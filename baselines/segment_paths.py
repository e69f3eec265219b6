"""Middlepoint routing: each demand goes from middlepoint to middlepoint, over equal-cost shortest paths in between.

The model of DEFO (R. Hartert et al., "A declarative and expressive approach to control forwarding paths in
carrier-grade networks", SIGCOMM 2015) and of paper 002: the weights of the network fix the shortest paths, and a demand
from s to t with the middlepoints m1, m2 is three flows, s to m1, m1 to m2, m2 to t (segment routing's node segments).
What a unit of traffic from a to b puts on each link depends on the weights only, so it is computed once per pair, and
an assignment of middlepoints is evaluated by adding up rows of that sparse matrix.

Shares are float64 (a half of a third of a demand is no whole number of quanta), and loads are summed in one order,
by demand, segment and link; hence the same assignment gives the same bits on every machine.

Arrays: ptr (N*N+1,) int64, link and share (E,): a unit from a to b puts ``share[e]`` on ``link[e]`` for e in
``ptr[a*N+b]:ptr[a*N+b+1]``. middle (N, N, M) int32 `[src, dst]`: the middlepoints in order, -1 for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

Middle = NDArray[np.int32]


@njit("Tuple((i8[::1], i4[::1], f8[::1]))(i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1])")
def _pair_shares(
    out_ptr: Int32, dst: Int32, weights: Int64, distance: Int32, order: Int64
) -> tuple[Int64, Int32, Float64]:
    """Send a unit between each pair; `distance` and `order` (nodes from near to far) have one row per destination."""
    nodes = distance.shape[0]
    counts = np.zeros(nodes * nodes + 1, dtype=np.int64)
    # Found destination by destination, kept source by source: a demand's paths then lie close together.
    for fill in range(2):
        if fill == 0:
            links = np.empty(0, dtype=np.int32)
            shares = np.empty(0, dtype=np.float64)
        else:
            for pair in range(nodes * nodes):
                counts[pair + 1] += counts[pair]
            links = np.empty(counts[nodes * nodes], dtype=np.int32)
            shares = np.empty(counts[nodes * nodes], dtype=np.float64)
        flow = np.zeros(nodes, dtype=np.float64)
        for target in range(nodes):
            row = distance[target]
            for start in range(nodes - 1, 0, -1):
                source = order[target, start]
                pair = source * nodes + target
                flow[source] = 1.0
                entry = counts[pair] if fill == 1 else np.int64(0)
                for position in range(start, 0, -1):
                    node = order[target, position]
                    amount = flow[node]
                    flow[node] = 0.0
                    if amount == 0.0:
                        continue
                    hops = 0
                    for out in range(out_ptr[node], out_ptr[node + 1]):
                        hops += weights[out] + row[dst[out]] == row[node]
                    for out in range(out_ptr[node], out_ptr[node + 1]):
                        if weights[out] + row[dst[out]] == row[node]:
                            if fill == 1:
                                links[entry] = out
                                shares[entry] = amount / hops
                            entry += 1
                            flow[dst[out]] += amount / hops
                flow[target] = 0.0
                if fill == 0:
                    counts[pair + 1] = entry
    return counts, links, shares


@njit("void(f8[:,::1], i4[:,:,::1], i8[::1], i4[::1], f8[::1], f8[::1])")
def _add_loads(demand: Float64, middle: Middle, ptr: Int64, link: Int32, share: Float64, load: Float64) -> None:
    """Add up the loads of all demands."""
    nodes = demand.shape[0]
    for source in range(nodes):
        for target in range(nodes):
            amount = demand[source, target]
            if amount == 0.0:
                continue
            at = np.int64(source)
            for position in range(middle.shape[2] + 1):
                beyond = np.int64(target)
                if position < middle.shape[2]:
                    if middle[source, target, position] < 0:
                        continue
                    beyond = np.int64(middle[source, target, position])
                for entry in range(ptr[at * nodes + beyond], ptr[at * nodes + beyond + 1]):
                    load[link[entry]] += amount * share[entry]
                at = beyond


@dataclass(frozen=True, eq=False)
class PairShares:
    """What a unit of traffic between each pair of nodes puts on each link: see the module's docstring."""

    topology: Topology
    weights: NDArray[np.int64]
    ptr: Int64
    link: Int32
    share: Float64

    def loads(self, demand: NDArray[np.float64], middle: Middle) -> Float64:
        """Return the links' loads, (L,) float64 in the unit of `demand` (N, N), under the middlepoints (N, N, M)."""
        load = np.zeros(self.topology.num_links, dtype=np.float64)
        _add_loads(np.array(demand), np.ascontiguousarray(middle, np.int32), self.ptr, self.link, self.share, load)
        return load

    def mlu(self, traffic: TrafficMatrix, middle: Middle) -> float:
        """Return the maximum link utilization under the middlepoints (N, N, M)."""
        return float((self.loads(traffic.demand, middle) / self.topology.capacity).max())


def pair_shares(topology: Topology, weights: ArrayLike) -> PairShares:
    """Compute the equal-cost shortest paths between all pairs under `weights`, (L,) 1..65535.

    Raises
    ------
    InputError : the weights do not fit the topology
    """
    nothing = TrafficMatrix(np.zeros((topology.num_nodes, topology.num_nodes)))
    state = RoutingState(topology, nothing, weights)
    order = np.argsort(state.distance, axis=1, kind="stable")
    arrays = _pair_shares(np.array(topology.out_ptr), np.array(topology.dst), state.weights, state.distance, order)
    return PairShares(topology, state.weights, *arrays)


def no_middlepoints(num_nodes: int, most: int = 2) -> Middle:
    """Return the assignment (N, N, most) in which every demand takes its shortest paths: plain OSPF."""
    return np.full((num_nodes, num_nodes, most), -1, dtype=np.int32)


def as_segments(middle: Middle) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return the demands that have middlepoints, as in `baselines.result.Result.segments`."""
    sources, targets = np.nonzero((middle >= 0).any(axis=2))
    return {
        (source, target): tuple(node for node in middle[source, target].tolist() if node >= 0)
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True)
    }


def as_middle(segments: Mapping[tuple[int, int], tuple[int, ...]], num_nodes: int) -> Middle:
    """Return `segments` as an array (N, N, M), M the most that a demand has (at least 1)."""
    middle = no_middlepoints(num_nodes, max(1, *map(len, segments.values())) if segments else 1)
    for (source, target), nodes in segments.items():
        middle[source, target, : len(nodes)] = nodes
    return middle
