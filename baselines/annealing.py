"""Simulated annealing over one middlepoint per demand: the near-optimal and slow rival of paper 002.

P. Almasan et al., "Towards real-time routing optimization with deep reinforcement learning" (HPSR 2021), V-B: from OSPF
routing, every step looks at a next state and takes it or stays, by a temperature; the energy is the MLU; 4 * 10**6
steps. What the text leaves open follows its successor's published experiments (ENERO): a next state gives one random
demand one random middlepoint (or none); better ones are always taken, others with probability exp(-difference /
temperature); four tries at each temperature, which falls linearly to 0. That experiment starts at a temperature of 1,
so hot that nearly all steps are lost: 2 * 10**6 steps end at 1.21 times the flow bound on the six cells of the
reference data, and at 1.02 from 0.003, the default here (a baseline should be as good as it can be had). That the
paper's annealer took half an hour was its simulator's doing: here its 4 * 10**6 steps take a second.

The temperature reaches 0 when the steps are used up, or, with a budget of seconds only, when the time is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from baselines.chance import Uint64, below, exponential, exponential_table
from baselines.result import Budget, Result, Trace
from baselines.segment_paths import Middle, PairShares, as_segments, no_middlepoints, pair_shares
from routing.ecmp import Float64, Int32, Int64
from routing.errors import InputError
from routing.jit import njit
from routing.topology import Topology
from routing.traffic import TrafficMatrix

STEPS = 4_000_000  # of the paper
TEMPERATURE = 0.003  # at the start, as a part of the MLU
_CHECK = 0.01  # seconds between two looks at the clock
_PER_TEMPERATURE = 4  # tries, as in the successor's experiments


@njit("void(i8, i8, i8, f8, i8, i8[::1], i4[::1], f8[::1], f8[::1])", inline=True)
def _put(
    source: int,
    through: int,
    target: int,
    volume: float,
    nodes: int,
    ptr: Int64,
    link: Int32,
    part: Float64,
    use: Float64,
) -> None:
    """Add `volume` (negative: take it off) to the utilizations along source, through, target; -1 is no middlepoint."""
    at = source
    if through >= 0:
        for entry in range(ptr[at * nodes + through], ptr[at * nodes + through + 1]):
            use[link[entry]] += volume * part[entry]
        at = through
    for entry in range(ptr[at * nodes + target], ptr[at * nodes + target + 1]):
        use[link[entry]] += volume * part[entry]


@njit(
    "void(i8, f8, f8, f8[::1], u8[::1], f8[::1], i8, i8[::1], i4[::1], f8[::1], i4[::1], i4[::1], f8[::1], i4[::1], "
    "i4[::1], f8[::1], f8[::1])"
)
def _anneal(
    steps: int,
    hot: float,
    cold: float,
    energies: Float64,
    chance: Uint64,
    exponentials: Float64,
    nodes: int,
    ptr: Int64,
    link: Int32,
    part: Float64,
    source: Int32,
    target: Int32,
    volume: Float64,
    through: Int32,
    best: Int32,
    use: Float64,
    saved: Float64,
) -> None:
    """Try `steps` next states while the temperature falls from `hot` to `cold`.

    energies (2,): the present MLU and the lowest. through, best (D,): present and best middlepoints. `saved` (L,) is
    scratch.
    """
    for step in range(steps):
        temperature = hot + (cold - hot) * (step // _PER_TEMPERATURE * _PER_TEMPERATURE) / steps
        demand = below(chance, source.shape[0])
        begin, end = int(source[demand]), int(target[demand])
        node = below(chance, nodes)
        if node == begin or node == end:
            node = -1
        if node == through[demand]:
            continue
        saved[:] = use
        _put(begin, int(through[demand]), end, -volume[demand], nodes, ptr, link, part, use)
        _put(begin, node, end, volume[demand], nodes, ptr, link, part, use)
        energy = 0.0
        for on in range(use.shape[0]):
            energy = max(energy, use[on])
        worse = energy - energies[0]
        if worse > 0.0 and worse >= temperature * exponential(chance, exponentials):
            use[:] = saved
            continue
        through[demand] = node
        energies[0] = energy
        if energy < energies[1]:
            energies[1] = energy
            best[:] = through


def anneal(
    shares: PairShares, traffic: TrafficMatrix, budget: Budget, trace: Trace, seed: int, temperature: float
) -> tuple[Middle, int]:
    """Anneal from no middlepoints on; return the best found, (N, N, 1), -1 for none, and the steps taken.

    `trace` tells the time that is used and takes down what is found; for the others see `annealing`.
    """
    topology = shares.topology
    nodes = topology.num_nodes
    middle = no_middlepoints(nodes, 1)
    trace.record(shares.mlu(traffic, middle))
    start = temperature * trace.best
    sources, targets = np.nonzero(traffic.demand)
    use = shares.loads(traffic.demand, middle) / topology.capacity
    energies = np.full(2, trace.best)
    through = np.full(len(sources), -1, dtype=np.int32)
    best = through.copy()
    arguments = (
        energies,
        np.array([seed], dtype=np.uint64),
        exponential_table(),
        nodes,
        shares.ptr,
        shares.link,
        shares.share / topology.capacity[shares.link],
        sources.astype(np.int32),
        targets.astype(np.int32),
        traffic.demand[sources, targets],
        through,
        best,
        use,
        np.empty_like(use),
    )
    steps = 0
    chunk = 1024
    while trace.best > 0.0 and not trace.exhausted(budget, steps):
        started = trace.seconds
        if budget.steps is not None:
            chunk = min(_PER_TEMPERATURE * 1024, budget.steps - steps)
            hot, cold = (1.0 - done / budget.steps for done in (steps, steps + chunk))
        else:
            hot = cold = max(0.0, 1.0 - started / (budget.seconds or 1.0))
        lowest = energies[1]
        _anneal(chunk, start * hot, start * cold, *arguments)
        steps += chunk
        if energies[1] < lowest:
            found = no_middlepoints(nodes, 1)
            found[sources, targets, 0] = best
            if trace.record(shares.mlu(traffic, found)):
                middle = found
        if budget.steps is None:
            chunk = max(1, min(2 * chunk, int(chunk * _CHECK / max(trace.seconds - started, 1e-6))))
    return middle, steps


def annealing(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    temperature: float = TEMPERATURE,
) -> Result:
    """Anneal the middlepoints of the demands, at most one each, over the shortest paths of `weights`.

    Parameters
    ----------
    topology, traffic, weights, seed : see `baselines.result`; the paper's weights are all 1
    budget : a step is one next state; without steps the temperature follows the clock (and without seconds, the
        paper's `STEPS` are the default)
    temperature : at the start, as a part of the MLU without middlepoints

    Raises
    ------
    InputError : traffic matrix or weights do not fit the topology
    """
    trace = Trace()
    if traffic.num_nodes != topology.num_nodes:
        raise InputError(f"traffic matrix of {traffic.num_nodes} nodes, {topology.name} has {topology.num_nodes}")
    if budget.seconds is None and budget.steps is None:
        budget = Budget(steps=STEPS)
    shares = pair_shares(topology, weights)
    middle, steps = anneal(shares, traffic, budget, trace, seed, temperature)
    return Result(
        mlu=trace.best,
        evaluations=steps,
        seconds=trace.seconds,
        trace=trace.entries,
        weights=shares.weights,
        segments=as_segments(middle),
    )
