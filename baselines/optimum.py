"""The bound that no routing can pass: the multicommodity-flow linear program, with a certificate that anyone can check.

If every demand may be split over all paths in any proportion, the least MLU is a linear program. Traffic toward the
same destination d can share one flow f[d, l] >= 0 (bit/s on link l), which makes N*L variables out of N*N*L:

    minimise theta
    flow out of v - flow into v = demand[v, d]     for each destination d and node v other than d
    sum over d of f[d, l] <= theta * capacity[l]   for each link l

The prices of the last rows are lengths y[l] >= 0 with sum(y * capacity) = 1, and for *any* such lengths

    theta >= sum over s, t of demand[s, t] * dist_y(s, t)

because traffic from s to t covers at least the distance, and link l is charged y[l] for at most theta * capacity[l].
So the lengths are a certificate: N shortest-path trees prove the bound, whatever became of the solver's rounding. A
link with a price is full in every optimal flow; without more capacity there, no routing does better.

(F. Shahrokhi and D. Matula, "The maximum concurrent flow problem", Journal of the ACM 37(2), 1990.)
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.result import Budget, Result, Trace
from routing.ecmp import Float64
from routing.errors import InputError
from routing.topology import Topology
from routing.traffic import TrafficMatrix

# Flows are balanced to this part of the largest demand at every node (HiGHS asks 1e-7 of each row).
_BALANCE = 1e-6
# Sums of up to 10^6 products, each rounded by 2**-53: the certificate may be off by that much, so it gives it away.
_ROUNDING = 1e-12
# Prices below this part of what a link would cost if all cost the same are the solver's noise.
_NO_PRICE = 1e-7


@dataclass(frozen=True, eq=False)
class Flow:
    """An optimal splittable routing and the proof that there is no better.

    Parameters
    ----------
    mlu : the maximum link utilization of `flow`
    bound : what `lengths` prove: no routing has a smaller MLU
    flow : (N, L) float64, bit/s toward each destination on each link
    lengths : (L,) float64, >= 0, 1/(bit/s): the prices of the links, sum(lengths * capacity) = 1
    binding : (n,) int32, the links with a price: full in every optimal flow
    iterations : of the simplex method, or of the interior point method
    """

    mlu: float
    bound: float
    flow: Float64
    lengths: Float64
    binding: NDArray[np.int32]
    iterations: int


def distances(topology: Topology, lengths: ArrayLike) -> Float64:
    """Return the shortest distances between all pairs, (N, N) float64 `[src, dst]`, under lengths (L,) >= 0."""
    length = np.asarray(lengths, dtype=np.float64)
    nodes = topology.num_nodes
    distance = np.full((nodes, nodes), np.inf)
    np.fill_diagonal(distance, 0.0)
    while True:  # Bellman and Ford: at most N rounds, in practice the hops of the longest shortest path
        through = length[:, None] + distance[topology.dst]
        # Links are sorted by source and every node has one, so a node's links are one segment.
        nearer = np.minimum(distance, np.minimum.reduceat(through, topology.out_ptr[:-1], axis=0))
        if np.array_equal(nearer, distance):
            return distance
        distance = nearer


def certified_bound(topology: Topology, traffic: TrafficMatrix, lengths: ArrayLike) -> float:
    """Return the MLU that link lengths, (L,) >= 0 and not all 0, prove to be out of reach for every routing."""
    length = np.asarray(lengths, dtype=np.float64)
    if length.shape != (topology.num_links,) or not (np.isfinite(length).all() and (length >= 0).all()):
        raise ValueError(f"expected {topology.num_links} finite lengths, none below zero")
    needed = float((traffic.demand * distances(topology, length)).sum())
    return needed / float((length * topology.capacity).sum()) * (1.0 - _ROUNDING)


def solve(topology: Topology, traffic: TrafficMatrix, *, solver: str = "simplex") -> Flow:
    """Solve the linear program.

    Parameters
    ----------
    topology, traffic : the instance
    solver : "simplex" (dual; the fastest up to 125 nodes) or "ipm" (interior point with crossover)

    Raises
    ------
    InputError : the traffic matrix does not fit the topology
    RuntimeError : HiGHS found no optimum
    """
    if traffic.num_nodes != topology.num_nodes:
        raise InputError(f"traffic matrix of {traffic.num_nodes} nodes, {topology.name} has {topology.num_nodes}")
    links = topology.num_links
    destinations = np.flatnonzero(traffic.demand.any(axis=0))
    if len(destinations) == 0:
        even = 1.0 / (links * topology.capacity)
        return Flow(0.0, 0.0, np.zeros((topology.num_nodes, links)), even, np.zeros(0, np.int32), 0)
    highs = highspy.Highs()
    highs.silent()
    highs.setOptionValue("solver", solver)
    highs.setOptionValue("threads", 1)
    highs.passModel(_program(topology, traffic, destinations))
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS on {topology.name}: {highs.modelStatusToString(highs.getModelStatus())}")
    solution = highs.getSolution()
    unit = float(traffic.demand.max())
    flow = np.zeros((topology.num_nodes, links))
    flow[destinations] = np.maximum(np.asarray(solution.col_value)[:-1].reshape(-1, links), 0.0) * unit
    _check_balance(topology, traffic, flow)
    # A row's price is how much theta grows with its right-hand side: not positive for "at most" rows.
    prices = np.maximum(-np.asarray(solution.row_dual)[-links:], 0.0) / topology.capacity
    lengths = prices / float((prices * topology.capacity).sum())
    info = highs.getInfo()
    return Flow(
        mlu=float((flow.sum(axis=0) / topology.capacity).max()),
        bound=certified_bound(topology, traffic, lengths),
        flow=flow,
        lengths=lengths,
        binding=np.flatnonzero(lengths * topology.capacity * links > _NO_PRICE).astype(np.int32),
        iterations=max(int(info.simplex_iteration_count), int(info.ipm_iteration_count)),
    )


def _program(topology: Topology, traffic: TrafficMatrix, destinations: NDArray[np.intp]) -> highspy.HighsLp:
    """Write the linear program down by columns; flows are in units of the largest demand.

    Columns: f[r, l] for the r-th of R destinations, then theta. Rows: node v of destination r (N each), then one row
    per link: flow / capacity - theta <= 0.
    """
    nodes, links, commodities = topology.num_nodes, topology.num_links, len(destinations)
    demand = traffic.demand / traffic.demand.max()
    capacity = topology.capacity / traffic.demand.max()
    first = np.arange(commodities)[:, None] * nodes
    shape = (commodities, links)
    link_row = np.arange(links) + commodities * nodes
    rows = np.stack([first + topology.src, first + topology.dst, np.broadcast_to(link_row, shape)], axis=2)
    entries = np.stack([np.ones(shape), -np.ones(shape), np.broadcast_to(1.0 / capacity, shape)], axis=2)

    lower = np.full(commodities * nodes + links, -np.inf)
    upper = np.zeros(commodities * nodes + links)
    balance = demand[:, destinations].T.copy()
    lower[: commodities * nodes] = balance.ravel()
    # What arrives at the destination follows from the other rows.
    balance[np.arange(commodities), destinations] = np.inf
    upper[: commodities * nodes] = balance.ravel()
    lower[np.arange(commodities) * nodes + destinations] = -np.inf
    most = np.full(shape, np.inf)
    most[topology.src[None, :] == destinations[:, None]] = 0.0  # nothing leaves its destination

    program = highspy.HighsLp()
    program.num_col_ = commodities * links + 1
    program.num_row_ = commodities * nodes + links
    program.col_cost_ = np.append(np.zeros(commodities * links), 1.0)
    program.col_lower_ = np.zeros(commodities * links + 1)
    program.col_upper_ = np.append(most.ravel(), np.inf)
    program.row_lower_ = lower
    program.row_upper_ = upper
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.append(np.arange(commodities * links + 1) * 3, rows.size + links).astype(np.int32)
    program.a_matrix_.index_ = np.append(rows.ravel(), link_row).astype(np.int32)
    program.a_matrix_.value_ = np.append(entries.ravel(), -np.ones(links))
    return program


def _check_balance(topology: Topology, traffic: TrafficMatrix, flow: Float64) -> None:
    """Raise RuntimeError if traffic appears or disappears anywhere but at its ends."""
    nodes = topology.num_nodes
    surplus = np.zeros((nodes, nodes))
    np.add.at(surplus.T, topology.src, flow.T)
    np.subtract.at(surplus.T, topology.dst, flow.T)
    wrong = np.abs(surplus - traffic.demand.T)
    np.fill_diagonal(wrong, 0.0)
    if wrong.max() > _BALANCE * traffic.demand.max():
        raise RuntimeError(f"HiGHS on {topology.name}: a flow is {wrong.max():g} bit/s out of balance")


def optimum(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    solver: str = "simplex",
) -> Result:
    """Return the optimal splittable flow's MLU, the bound that its prices prove, and the links that bind.

    `weights`, `budget` and `seed` change nothing: there is one optimum, and half a linear program bounds nothing.
    """
    trace = Trace()
    flow = solve(topology, traffic, solver=solver)
    trace.record(flow.mlu)
    return Result(
        mlu=flow.mlu,
        evaluations=flow.iterations,
        seconds=trace.seconds,
        trace=trace.entries,
        bound=flow.bound,
        binding=flow.binding,
    )
