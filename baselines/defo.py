"""Constraint programming with large neighbourhoods over up to two middlepoints per demand, as DEFO does.

R. Hartert et al., "A declarative and expressive approach to control forwarding paths in carrier-grade networks"
(SIGCOMM 2015), and "Solving segment routing problems with hybrid constraint programming techniques" (CP 2015): demands
are routed over middlepoints, and the assignment is improved by letting go of a few demands at a time while all others
stay, and having a constraint solver place those anew (P. Shaw's large neighbourhood search, 1998). DEFO's solver is the
authors' own on OscaR; here it is OR-tools' CP-SAT. A neighbourhood is made of

- demands that cross one of the most utilised links, and some others at random;
- for each the paths it has now and without middlepoints, and the cheapest by present prices of the links, a link's
  price growing with a power of its utilization.

The solver chooses one path for each so that no link is fuller than the fullest was, and minimises the MLU and, where
that cannot fall, what is above 95 % of it; so that plateaus are crossed. The size follows what the solver manages.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ortools.sat.python import cp_model

from baselines.result import Budget, Result, Trace
from baselines.segment_paths import Middle, PairShares, as_segments, no_middlepoints, pair_shares
from routing.ecmp import Float64, Int64
from routing.errors import InputError
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_CANDIDATES = 8, 32  # paths per demand, cheapest first: a random number for each neighbourhood
_SMALLEST, _LARGEST = 4, 48  # demands let go at a time
_EFFORT = 0.05  # of CP-SAT per neighbourhood, in its deterministic time: about as many seconds
_GAP = 0.002  # of the objective: near enough to the best choice
_UNITS = 1_000_000  # utilizations are whole numbers of millionths of the MLU
_NEAR = 0.97  # demands are taken from links at least this full, relative to the fullest
_PENALISED = 0.95  # what a link carries beyond this part of the MLU counts in the second place

Path = tuple[int, int]


class _Assignment:
    """The middlepoints of all demands and the links' utilizations under them."""

    def __init__(self, shares: PairShares, traffic: TrafficMatrix) -> None:
        self.shares = shares
        self.traffic = traffic
        self.nodes = shares.topology.num_nodes
        self.sources, self.targets = np.nonzero(traffic.demand)
        self.middle: Middle = no_middlepoints(self.nodes)
        self.update()

    def update(self) -> None:
        """Compute the utilizations from the middlepoints."""
        self.use: Float64 = self.shares.loads(self.traffic.demand, self.middle) / self.shares.topology.capacity
        self.mlu = float(self.use.max())

    def path(self, demand: int) -> Path:
        """Return the middlepoints that a demand has now, -1 for none."""
        first, second = self.middle[self.sources[demand], self.targets[demand]].tolist()
        return first, second

    def usages(self, demands: NDArray[np.intp], paths: NDArray[np.int32]) -> Float64:
        """Return the utilization that each of P paths, (P, 2), of its demand, (P,), would put on each link, (P, L)."""
        shares, links = self.shares, self.shares.topology.num_links
        legs = self.legs(self.sources[demands], paths, self.targets[demands])
        begins, counts = shares.ptr[legs], shares.ptr[legs + 1] - shares.ptr[legs]
        # The entries of all segments, one after another: counted on from where each segment's begin.
        entries = np.arange(counts.sum()) + np.repeat(begins - np.append(0, np.cumsum(counts)[:-1]), counts)
        rows = np.repeat(np.tile(np.arange(len(paths)), 3), counts)
        cells = rows * links + shares.link[entries]
        share = np.bincount(cells, shares.share[entries], len(paths) * links).reshape(-1, links)
        volume = self.traffic.demand[self.sources[demands], self.targets[demands]]
        usage: Float64 = share * volume[:, None] / shares.topology.capacity
        return usage

    def legs(self, sources: NDArray[np.intp], paths: NDArray[np.int32], targets: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the segments of P paths, (3 P,): all first ones, all second, all third; as indices of pairs."""
        # Without a middlepoint the segment to it is from the source to itself, which has no links.
        first = np.where(paths[:, 0] < 0, sources, paths[:, 0])
        second = np.where(paths[:, 1] < 0, first, paths[:, 1])
        ends = np.concatenate([sources, first, second, targets]).reshape(4, -1)
        pairs: NDArray[np.intp] = ends[:-1] * self.nodes + ends[1:]
        return pairs.ravel()

    def pair_prices(self, prices: Float64) -> Float64:
        """Return what a unit of traffic costs between each pair of nodes, (N, N), if links cost `prices` (L,)."""
        sums = np.append(0.0, np.cumsum(self.shares.share * prices[self.shares.link]))
        cost: Float64 = np.diff(sums[self.shares.ptr]).reshape(self.nodes, self.nodes)
        return cost

    def crossing(self, link: int) -> NDArray[np.intp]:
        """Return the demands that cross a link."""
        on = np.zeros(self.nodes * self.nodes, dtype=bool)
        on[np.searchsorted(self.shares.ptr, np.flatnonzero(self.shares.link == link), side="right") - 1] = True
        legs = self.legs(self.sources, self.middle[self.sources, self.targets], self.targets)
        return np.flatnonzero(on[legs].reshape(3, -1).any(axis=0))


def _let_go(assignment: _Assignment, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose `size` demands: most of them from one of the fullest links, the others anywhere; large ones rather."""
    volume = assignment.traffic.demand[assignment.sources, assignment.targets]
    # Drawn without putting back, in proportion to the volume (P. Efraimidis and P. Spirakis, 2006).
    order = np.argsort(rng.exponential(size=len(volume)) / volume)
    hot = np.flatnonzero(assignment.use >= _NEAR * assignment.mlu)
    crossing = np.zeros(len(volume), dtype=bool)
    crossing[assignment.crossing(int(rng.choice(hot)))] = True
    some = order[crossing[order]][: max(1, size // 2)]
    return np.union1d(some, order[: size - len(some)])


def _candidates(assignment: _Assignment, demand: int, cost: Float64, most: int) -> list[Path]:
    """Return the path that a demand has, the one without middlepoints, and the `most` cheapest by `cost` (N, N)."""
    source, target = int(assignment.sources[demand]), int(assignment.targets[demand])
    nodes = assignment.nodes
    two = cost[source][:, None] + cost + cost[:, target][None, :]
    two[[source, target], :] = np.inf
    two[:, [source, target]] = np.inf
    np.fill_diagonal(
        two, np.diag(two) * (1 - 1e-9)
    )  # the same middlepoint twice is one: before any detour of that price
    count = min(most, two.size - 1)
    cheapest = np.argpartition(two.ravel(), count)[:count]
    paths = [assignment.path(demand), (-1, -1)]
    for index in cheapest[np.argsort(two.ravel()[cheapest], kind="stable")].tolist():
        first, second = divmod(index, nodes)
        if np.isfinite(two[first, second]):
            paths.append((first, -1 if first == second else second))
    return list(dict.fromkeys(paths))


def _place(
    assignment: _Assignment, demands: Sequence[int], choices: list[list[Path]], seconds: float, seed: int
) -> tuple[list[Path] | None, bool]:
    """Have CP-SAT choose a path for each demand; return the choice, if it found one, and whether it is the best."""
    unit = assignment.mlu / _UNITS
    paths = [(demand, path) for demand, options in zip(demands, choices, strict=True) for path in options]
    usage = assignment.usages(
        np.array([demand for demand, _ in paths]), np.array([path for _, path in paths], dtype=np.int32)
    )
    present = np.array([path == assignment.path(demand) for demand, path in paths])
    background = assignment.use - usage[present].sum(axis=0)
    load: Int64 = np.rint(usage / unit).astype(np.int64)
    fixed: Int64 = np.rint(background / unit).astype(np.int64)

    model = cp_model.CpModel()
    chosen = [model.new_bool_var("") for _ in paths]
    start = 0
    for options in choices:
        model.add_exactly_one(chosen[start : start + len(options)])
        start += len(options)
    for index in np.flatnonzero(present).tolist():
        model.add_hint(chosen[index], True)
    # The roundings of the demands on a link could add up: the present assignment must stay feasible.
    ceiling = max(_UNITS, int((fixed + load[present].sum(axis=0)).max()))
    touched = np.flatnonzero(load.any(axis=0))
    untouched = np.delete(fixed, touched)
    mlu = model.new_int_var(max(0, int(untouched.max(initial=0))), ceiling, "")
    excesses = []
    for link in touched.tolist():
        users = np.flatnonzero(load[:, link])
        total = cp_model.LinearExpr.weighted_sum([chosen[i] for i in users], load[users, link].tolist())
        model.add(total + int(fixed[link]) <= mlu)
        if fixed[link] + load[users, link].sum() > _PENALISED * _UNITS:
            excess = model.new_int_var(0, ceiling, "")
            model.add(excess >= total + int(fixed[link] - _PENALISED * _UNITS))
            excesses.append(excess)
    model.minimize((1 + len(excesses)) * mlu + cp_model.LinearExpr.sum(excesses))

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.relative_gap_limit = _GAP
    solver.parameters.max_deterministic_time = _EFFORT
    solver.parameters.max_time_in_seconds = seconds
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, False
    answer = [path for (_, path), variable in zip(paths, chosen, strict=True) if solver.boolean_value(variable)]
    return answer, status == cp_model.OPTIMAL


def defo(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
) -> Result:
    """Choose up to two middlepoints for each demand by constraint programming with large neighbourhoods.

    Parameters
    ----------
    topology, traffic, weights, seed : see `baselines.result`; the weights stay as they are
    budget : a step is one neighbourhood; the last one is cut short when the time is up

    Raises
    ------
    InputError : traffic matrix or weights do not fit the topology
    ValueError : the budget has no end
    """
    budget.require_end()
    trace = Trace()
    if traffic.num_nodes != topology.num_nodes:
        raise InputError(f"traffic matrix of {traffic.num_nodes} nodes, {topology.name} has {topology.num_nodes}")
    assignment = _Assignment(pair_shares(topology, weights), traffic)
    best = assignment.middle.copy()
    trace.record(assignment.mlu)
    size = 12
    steps = 0
    while trace.best > 0.0 and not trace.exhausted(budget, steps):
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, steps], dtype=np.uint64)))
        steps += 1
        relative = assignment.use / assignment.mlu
        for _ in range(int(rng.integers(2, 6))):  # to the 4th to 32nd power: now the fullest links only, now all
            relative = relative * relative
        cost = assignment.pair_prices((relative + 1e-3 * rng.random(len(relative))) / topology.capacity)
        demands = _let_go(assignment, min(size, len(assignment.sources)), rng).tolist()
        most = int(rng.integers(*_CANDIDATES, endpoint=True))
        choices = [_candidates(assignment, demand, cost, most) for demand in demands]
        left = 60.0 if budget.seconds is None else max(0.01, budget.seconds - trace.seconds)
        answer, proven = _place(assignment, demands, choices, left, steps)
        size = min(_LARGEST, size + 2) if proven else max(_SMALLEST, size * 3 // 4)
        if answer is None:
            continue
        for demand, path in zip(demands, answer, strict=True):
            assignment.middle[assignment.sources[demand], assignment.targets[demand]] = path
        assignment.update()
        if trace.record(assignment.mlu):
            best = assignment.middle.copy()
    return Result(
        mlu=trace.best,
        evaluations=steps,
        seconds=trace.seconds,
        trace=trace.entries,
        weights=assignment.shares.weights,
        segments=as_segments(best),
    )
