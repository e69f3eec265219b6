"""The routing of one traffic matrix under given weights: what OSPF would do, as arrays over the links."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routing import change as dynamic
from routing import ecmp as kernels
from routing import lookahead, shares, tracking
from routing.errors import InputError
from routing.heap import MAX_NODES
from routing.topology import Topology
from routing.traffic import TrafficMatrix

MIN_WEIGHT, MAX_WEIGHT = 1, 65535  # an OSPF metric is 16 bit wide; zero would make paths of no length (RFC 2328, A.4.2)

_MAX_FACTOR = 1000  # of the fastest link's weight, where no smaller one makes all weights whole
_TOTAL_BITS = 52  # all quanta together stay exact as float64, so that utilization is one correctly rounded division


def quantum_of(traffic: TrafficMatrix) -> float:
    """Return the unit of integer traffic in bit/s: the power of two of which the matrix holds just under 2**52."""
    total = math.fsum(traffic.demand.ravel())
    return 1.0 if total == 0.0 else math.ldexp(1.0, math.frexp(total)[1] - _TOTAL_BITS)


def quantise(traffic: TrafficMatrix, quantum: float) -> NDArray[np.int64]:
    """Return the demands as integer numbers of quanta, (N, N) int64 `[src, dst]`."""
    return np.rint(traffic.demand / quantum).astype(np.int64)


class RoutingState:
    """Shortest paths, equal-cost splits, loads and utilization of one traffic matrix.

    The same input gives the same bits on every machine, and any history of changes gives the bits of a full evaluation.

    Parameters
    ----------
    topology, traffic
        The network (N nodes, L links) and its demands.
    weights : (L,) integers, 1..65535
        The OSPF metrics, in link order.
    ecmp
        Split equally over all next hops; `False`: only the one with the lowest link index (FRR's ``maximum-paths 1``).
    destinations : (R,) node indices, optional
        Only traffic toward these (default: all nodes). Loads then are the shares of these destinations.

    Raises
    ------
    InputError
        If the traffic matrix or the weights do not fit the topology.
    """

    def __init__(
        self,
        topology: Topology,
        traffic: TrafficMatrix,
        weights: ArrayLike,
        *,
        ecmp: bool = True,
        destinations: NDArray[np.int32] | None = None,
    ) -> None:
        nodes = topology.num_nodes
        if nodes > MAX_NODES:
            raise InputError(f"{topology.name} has {nodes} nodes, expected at most {MAX_NODES}")
        if traffic.demand.shape != (nodes, nodes):
            raise InputError(
                f"traffic matrix is {traffic.demand.shape}, expected ({nodes}, {nodes}) for {topology.name}"
            )
        self.topology = topology
        self.traffic = traffic
        self.ecmp = ecmp
        self.quantum = quantum_of(traffic)
        rows = np.arange(nodes, dtype=np.int32) if destinations is None else np.array(destinations, dtype=np.int32)
        self.destinations: NDArray[np.int32] = rows
        self.demand: NDArray[np.int64] = np.ascontiguousarray(quantise(traffic, self.quantum).T[rows])
        self.distance: NDArray[np.int32] = np.zeros((len(rows), nodes), dtype=np.int32)
        self.flow: NDArray[np.int64] = np.zeros((len(rows), nodes), dtype=np.int64)
        self.load: NDArray[np.int64] = np.zeros(topology.num_links, dtype=np.int64)
        self._capacity: NDArray[np.float64] = topology.capacity / self.quantum
        self._scratch()
        self.weights: NDArray[np.int64] = checked_weights(topology, weights)
        self._moved: NDArray[np.int64] | None = None
        self.evaluate()

    def _scratch(self) -> None:
        """Allocate what the kernels write to while they run."""
        t = self.topology
        n = t.num_nodes
        # The kernels' signatures say writable arrays; a topology's are read-only.
        self._graph = (np.array(t.out_ptr), np.array(t.src), np.array(t.dst), np.array(t.in_ptr), np.array(t.in_links))
        self._heap = np.zeros(t.num_links + n + 1, dtype=np.int64)
        # nodes, surplus, mark: see `routing.change`
        self._node_scratch = (np.zeros((4, n), dtype=np.int32), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int8))

    def evaluate(self) -> None:
        """Compute everything from the weights, from nothing."""
        kernels.evaluate(
            *self._graph, self.weights, self.destinations, self.demand, self.distance, self.flow, self.load, self.ecmp,
            self._node_scratch[0], self._heap,
        )  # fmt: skip

    def set_weight(self, link: int, weight: int) -> None:
        """Give one link another weight (1..65535); raises `ValueError` outside of the range."""
        if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
            raise ValueError(f"weight {weight} of link {link}, expected {MIN_WEIGHT}..{MAX_WEIGHT}")
        if self._moved is None:
            dynamic.set_weight(
                *self._graph, self.weights, self.destinations, self.distance, self.flow, self.load, self.ecmp,
                *self._node_scratch, self._heap, link, weight,
            )  # fmt: skip
            return
        tracking.set_weight(
            *self._graph, self.weights, self.destinations, self.distance, self.flow, self.load, self.ecmp,
            *self._node_scratch, self._heap, link, weight, *self._undo, self._moved,
        )  # fmt: skip

    def increment(self, link: int) -> None:
        """Raise one link's weight by one: distances move by zero or one, no Dijkstra. Raises `ValueError` at 65535."""
        if self.weights[link] >= MAX_WEIGHT:
            raise ValueError(f"weight of link {link} is {MAX_WEIGHT} already")
        self.set_weight(link, int(self.weights[link]) + 1)

    def raise_weights(self, links: Sequence[int]) -> None:
        """Raise the weight of each of `links` by one, one after the other; a weight of 65535 stays."""
        for link in links:
            if self.weights[link] < MAX_WEIGHT:
                self.set_weight(link, int(self.weights[link]) + 1)

    @property
    def utilization(self) -> NDArray[np.float64]:
        """Load over capacity, (L,) float64; may exceed 1."""
        return np.divide(self.load, self._capacity, dtype=np.float64)

    @property
    def mlu(self) -> float:
        """The maximum link utilization."""
        return float(self.utilization.max())

    @property
    def load_bps(self) -> NDArray[np.float64]:
        """Loads, (L,) float64, bit/s."""
        return np.multiply(self.load, self.quantum, dtype=np.float64)

    def next_hops(self, destination: int) -> NDArray[np.bool_]:
        """Return which links forward toward a node, (L,) bool: the shortest-path DAG, without ECMP its first links."""
        t = self.topology
        (row,) = np.flatnonzero(self.destinations == destination)
        distance = self.distance[row]
        tight: NDArray[np.bool_] = self.weights + distance[t.dst] == distance[t.src]
        if not self.ecmp:
            first = np.unique(t.src[tight], return_index=True)[1]
            chosen = np.flatnonzero(tight)[first]
            tight = np.zeros_like(tight)
            tight[chosen] = True
        return tight

    def shifted_shares(self, links: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the share of its load (0..1) that each link would lose at its own router if raised by one, (n,)."""
        links = np.array(links, dtype=np.int32)
        found = np.zeros(len(links), dtype=np.float64)
        if self._moved is not None:
            tracking.shares_of(links, self._moved, self.load, found)
        else:
            shares.shifted_shares(
                *self._graph[:3], self.weights, self.distance, self.flow, self.load, self.ecmp, links, found
            )
        return found

    @property
    def moved(self) -> NDArray[np.int64]:
        """What each link would lose by one more, (L,) int64 quanta. Raises ValueError unless shares are tracked."""
        if self._moved is None:
            raise ValueError("shares are not tracked")
        return self._moved

    def track_shares(self) -> None:
        """Keep the shifted shares of all links up to date from now on, instead of computing them when asked.

        Pays where all links are asked for after every change.
        """
        if self._moved is None:
            self._moved = np.zeros(self.topology.num_links, dtype=np.int64)
            self._log()
        out_ptr, _, dst, _, _ = self._graph
        tracking.count_all(out_ptr, dst, self.weights, self.distance, self.flow, self.ecmp, self._moved)

    def _log(self) -> None:
        """Allocate what `routing.change.reroute` writes down of a row."""
        nodes = self.topology.num_nodes
        self._undo = (np.empty(nodes, np.int64), np.empty(nodes, np.int32), np.empty(nodes, np.int64))

    def lowered(self, links: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the highest lower weight at which each link's own router would route otherwise, (n,) int64.

        The weight now where there is none.
        """
        found = np.zeros(len(links), dtype=np.int64)
        out_ptr, src, dst, _, _ = self._graph
        lookahead.lowered(
            out_ptr, src, dst, self.weights, self.destinations, self.distance, self.flow, self.ecmp,
            np.array(links, dtype=np.int32), found,
        )  # fmt: skip
        return found

    def what_if(self, links: NDArray[np.int32], weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each of `links` alone would do if it had another weight, (n, 2) float64, relative to now.

        weights : (n,), 1..65535

        Column 0: the maximum link utilization; column 1: the sum over all links of utilization**8, which also tells
        states with the same maximum apart. The state is left as it is.
        """
        effects = np.ones((len(links), 2), dtype=np.float64)
        lookahead.what_if(
            *self._graph, self.weights, self.destinations, self.distance, self.flow, self.load, self.ecmp,
            *self._node_scratch, self._heap, self._capacity, np.array(links, dtype=np.int32),
            np.array(weights, dtype=np.int64), effects,
        )  # fmt: skip
        return effects

    def copy(self) -> RoutingState:
        """Return an independent state equal to this one."""
        twin = object.__new__(RoutingState)
        twin.__dict__.update(self.__dict__)
        for name in ("weights", "distance", "flow", "load"):
            setattr(twin, name, getattr(self, name).copy())
        twin._scratch()
        if self._moved is not None:
            twin._moved = self._moved.copy()
            twin._log()
        return twin


def checked_weights(topology: Topology, weights: ArrayLike) -> NDArray[np.int64]:
    """Return weights as (L,) int64, or raise `InputError` naming the first link whose weight is not 1..65535."""
    array = np.asarray(weights)
    if array.shape != (topology.num_links,):
        raise InputError(
            f"{array.shape} weights, expected ({topology.num_links},): one for each link of {topology.name}"
        )
    if not np.all(np.mod(array, 1) == 0):
        raise InputError("weights must be whole numbers")
    wrong = np.flatnonzero((array < MIN_WEIGHT) | (array > MAX_WEIGHT))
    if len(wrong):
        link = int(wrong[0])
        raise InputError(
            f"weight {array[link]} of link {topology.link_name(link)}, expected {MIN_WEIGHT}..{MAX_WEIGHT}"
        )
    return np.array(array, dtype=np.int64)


def inverse_capacity(topology: Topology) -> NDArray[np.int64]:
    """Return the default OSPF weights: proportional to 1/capacity, exactly where the ratios allow it, (L,) int64.

    FRR's auto-cost does the same with a reference bandwidth large enough to keep the ratios; here the reference is the
    least one (up to a weight of 65535 for the slowest link) that makes all weights whole; failing that, the weights are
    rounded from the largest reference that fits.
    """
    capacity = topology.capacity
    slowness = capacity.max() / capacity  # >= 1
    limit = min(int(MAX_WEIGHT / slowness.max()), _MAX_FACTOR)
    scaled = np.minimum(slowness, MAX_WEIGHT)
    for factor in range(1, limit + 1):
        scaled = slowness * factor
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * scaled):
            break
    weights: NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    return weights
