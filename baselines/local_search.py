"""Local search over OSPF weights: a short greedy climb, then annealing on the kernels of single weight changes.

The climb adds one to the most utilised link's weight, again and again: on large networks nothing gets the worst links
emptied faster. Then a step of the annealing proposes one link's weight anew; half of the time the link is the most
utilised of a few drawn. Weights stay small (1..20): that gives many paths of equal cost, over which traffic splits.
The kernel changes the routing state for good or undoes the change, so a step costs microseconds. (B. Fortz and
M. Thorup, "Internet traffic engineering by optimizing OSPF weights", 2000, showed how far such a search gets.)

The cost is the 32-norm of the utilizations: close to their maximum, but it also feels the second and third most
utilised links, between which the maximum jumps. A proposal is accepted if the cost grows by less than a threshold drawn
anew each time, whose scale falls geometrically while the budget is used up; it starts lower where the budget gives each
link few proposals. The norm takes multiplications and square roots only, so with a budget of steps the same seed gives
the same weights on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.result import Budget, Result, Trace
from routing.change import change, undo
from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit
from routing.state import MAX_WEIGHT, RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_HOT, _COLD = 0.02, 0.001  # scale of the threshold, relative to the cost, at the start and at the end
_PATIENCE = 500  # proposals per link from which on it pays to start with _HOT; with fewer, proportionally lower
_CLIMB, _CLIMB_STEPS = 0.2, 2.75  # the climb's share of the budget at most, and its steps per link (as paper 003's T)
_TOP, _LARGE = 20, 500  # the usual largest weight; links from which on the range follows the start weights
_CANDIDATES = 8  # of which the most utilised link is proposed
_CHUNK = 64  # steps between two looks at the clock
_CHUNK_SECONDS = 2e-3


@njit("f8(i8[::1], f8[::1], f8[::1], f8[::1])", inline=True)
def _cost(load: Int64, capacity: Float64, utilization: Float64, cost: Float64) -> float:
    """Fill `utilization` (L,), put its 32-norm into `cost` (1,), and return its maximum."""
    top = 0.0
    for link in range(load.shape[0]):
        utilization[link] = load[link] / capacity[link]
        top = max(top, utilization[link])
    total = 0.0
    scale = 1.0 / top if top > 0.0 else 0.0
    for link in range(load.shape[0]):
        power = utilization[link] * scale
        for _ in range(5):
            power *= power
        total += power
    for _ in range(5):
        total = np.sqrt(total)
    cost[0] = top * total
    return top


@njit(
    "i8(i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], i8[::1], i4[::1], i4[:,::1], i8[:,::1], i8[::1], b1, "
    "i4[:,::1], i8[::1], i1[::1], i8[::1], i8[::1], i4[::1], i8[::1], f8[::1], i8[::1], f8[::1], "
    "i4[:,::1], i8[::1], f8[::1], f8, f8[::1], i8[::1])"
)
def _anneal(
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
    scratch: Int32,
    surplus: Int64,
    mark: NDArray[np.int8],
    heap: Int64,
    undo_at: Int64,
    undo_distance: Int32,
    undo_flow: Int64,
    capacity: Float64,
    kept_load: Int64,
    utilization: Float64,
    links: Int32,
    values: Int64,
    thresholds: Float64,
    scale: float,
    best: Float64,
    best_weights: Int64,
) -> int:
    """Take one step for each of `values` (S,): give one of `links` (S, candidates) that weight, or not.

    `utilization` (L+1,) is that of the links as they are and the present cost; `best` (1,) is the lowest MLU so far and
    `best_weights` (L,) its weights. Returns how many proposals changed nothing and were not evaluated.
    """
    num_links = load.shape[0]
    proposed = np.zeros(num_links + 1)
    idle = 0
    for step in range(values.shape[0]):
        link = links[step, 0]
        for i in range(1, links.shape[1]):
            if utilization[links[step, i]] > utilization[link]:
                link = links[step, i]
        old = weights[link]
        if values[step] == old:
            idle += 1
            continue
        kept_load[:] = load
        written = change(
            out_ptr, src, dst, in_ptr, in_links, weights, destinations, distance, flow, load, ecmp,
            scratch, surplus, mark, heap, link, values[step], undo_at, undo_distance, undo_flow,
        )  # fmt: skip
        mlu = _cost(load, capacity, proposed[:num_links], proposed[num_links:])
        if proposed[num_links] <= utilization[num_links] * (1.0 + scale * thresholds[step]):
            utilization[:] = proposed
            if mlu < best[0]:
                best[0] = mlu
                best_weights[:] = weights
        else:
            undo(written, undo_at, undo_distance, undo_flow, distance, flow)
            load[:] = kept_load
            weights[link] = old
    return idle


class _Search:
    """The arrays on which the kernel works, kept between chunks of steps."""

    def __init__(self, state: RoutingState, seed: int, top_weight: int) -> None:
        topology = state.topology
        nodes, places = topology.num_nodes, state.distance.size
        self.links = topology.num_links
        self.top_weight = top_weight
        self.draws = np.random.Generator(np.random.Philox(key=seed))
        capacity = topology.capacity / state.quantum
        self.utilization = np.zeros(self.links + 1)
        self.best = np.array([state.mlu])
        self.best_weights = state.weights.copy()
        self.arrays = (
            np.array(topology.out_ptr), np.array(topology.src), np.array(topology.dst),
            np.array(topology.in_ptr), np.array(topology.in_links),
            state.weights, state.destinations, state.distance, state.flow, state.load, state.ecmp,
            np.zeros((4, nodes), dtype=np.int32), np.zeros(nodes, dtype=np.int64), np.zeros(nodes, dtype=np.int8),
            np.zeros(self.links + nodes + 1, dtype=np.int64),
            np.zeros(places, dtype=np.int64), np.zeros(places, dtype=np.int32), np.zeros(places, dtype=np.int64),
            capacity, np.zeros(self.links, dtype=np.int64), self.utilization,
        )  # fmt: skip
        _cost(state.load, capacity, self.utilization[: self.links], self.utilization[self.links :])

    def take(self, steps: int, scale: float) -> int:
        """Take `steps` steps with thresholds of `scale`; return how many were evaluated."""
        links = self.draws.integers(self.links, size=(steps, _CANDIDATES), dtype=np.int32)
        coins = self.draws.random((steps, 2))
        plain = coins[:, 0] < 0.5
        links[plain] = links[plain, :1]
        values = self.draws.integers(1, self.top_weight + 1, size=steps)
        idle = _anneal(*self.arrays, links, values, 2.0 * coins[:, 1], scale, self.best, self.best_weights)
        return steps - idle


def local_search(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    top_weight: int | None = None,
    ecmp: bool = True,
) -> Result:
    """Search for weights of a small MLU by annealing, from the given ones, as long as the budget lasts.

    Parameters
    ----------
    budget : a step is one proposal; the threshold falls with the share of the budget that is used, so a short budget
        is not the beginning of a long one
    top_weight : weights are searched in 1..top_weight; start weights above a quarter of it are scaled down, so that
        there is room above (but the given weights are the result if nothing better is found). Default: 20; beyond
        500 links four times the largest start weight, if that is more: no budget redoes so many weights, so the
        start's proportions are worth more than short ranges

    Raises
    ------
    InputError : the traffic or the weights do not fit the topology
    ValueError : the budget has no end
    """
    budget.require_end()
    trace = Trace()
    state = RoutingState(topology, traffic, weights, ecmp=ecmp)
    trace.record(state.mlu)
    best = state.weights.copy()
    largest = int(state.weights.max())
    if top_weight is None:
        top_weight = _TOP if topology.num_links <= _LARGE else min(max(_TOP, 4 * largest), MAX_WEIGHT)
    room = max(top_weight // 4, 1)
    if largest > room:
        scaled = np.maximum(np.rint(state.weights * (room / largest)), 1).astype(np.int64)
        state = RoutingState(topology, traffic, scaled, ecmp=ecmp)
    if trace.record(state.mlu):
        best = state.weights.copy()
    steps, start = _climb(state, top_weight, budget, trace)
    if start is not None:
        best = start
        state = RoutingState(topology, traffic, start, ecmp=ecmp)
    search = _Search(state, seed, top_weight)
    climbed, begun = steps, trace.used(budget, steps)
    evaluations, chunk = 1 + steps, _CHUNK
    while not trace.exhausted(budget, steps):
        done = (trace.used(budget, steps) - begun) / (1.0 - begun)
        expected = (steps - climbed) / done if done > 0.0 else 0.0
        hot = min(max(_HOT * expected / (_PATIENCE * topology.num_links), _COLD), _HOT)
        if budget.steps is not None:
            chunk = min(chunk, budget.steps - steps)
        before = trace.seconds
        # In single precision: the last bits of a power differ between machines, and so would decisions.
        evaluations += search.take(chunk, float(np.float32(hot * (_COLD / hot) ** done)))
        steps += chunk
        if trace.record(float(search.best[0])):
            best = search.best_weights.copy()
        if budget.steps is None:
            # Large networks look at the clock more often; with a budget of steps the draws must not depend on it.
            chunk = int(np.clip(chunk * _CHUNK_SECONDS / max(trace.seconds - before, 1e-9), 1, _CHUNK))
    return Result(trace.best, evaluations, trace.seconds, trace.entries, best)


def _climb(state: RoutingState, top_weight: int, budget: Budget, trace: Trace) -> tuple[int, NDArray[np.int64] | None]:
    """Raise the most utilised link's weight by one, again and again; return the steps and the best weights, if new."""
    best, steps = None, 0
    while steps < _CLIMB_STEPS * state.topology.num_links and trace.used(budget, steps + 1) < _CLIMB:
        link = int(np.where(state.weights < top_weight, state.utilization, -1.0).argmax())
        if state.weights[link] >= top_weight:
            break
        state.increment(link)
        steps += 1
        if trace.record(state.mlu):
            best = state.weights.copy()
    return steps, best
