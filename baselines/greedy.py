"""Greedy +1: the action space of paper 003 (one weight grows by one per step) without learning.

At each step the weight of the most utilised link grows by one, and the best state of the episode counts. With a
`temperature` the link is drawn instead, with probability proportional to ``exp((u / max u) / temperature)``: the noise
keeps the walk from circling, and several episodes differ. A learned policy has to beat both at equal steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from baselines.result import Budget, Result, Trace
from routing.state import MAX_WEIGHT, RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def greedy(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    temperature: float = 0.0,
    episodes: int = 1,
    ecmp: bool = True,
) -> Result:
    """Raise the most utilised link's weight by one, again and again; return the best state, the start included.

    Parameters
    ----------
    budget : `steps` is the length T of one episode; `seconds` bounds all episodes together
    seed : of the draws, 0..2**64-1; without a temperature it does not matter
    temperature : of the draw, in units of the maximum utilization; 0 takes the most utilised link (ties: the first)
    episodes : how many times to start over; the best state of all counts

    Raises
    ------
    InputError : the traffic or the weights do not fit the topology
    ValueError : the budget has no end, a negative temperature, or several episodes that would all be the same
    """
    budget.require_end()
    if temperature < 0 or episodes < 1 or (episodes > 1 and temperature == 0):
        raise ValueError(f"{episodes} episodes at temperature {temperature}, expected a temperature above zero")
    trace = Trace()
    start = RoutingState(topology, traffic, weights, ecmp=ecmp)
    best = start.weights.copy()
    trace.record(start.mlu)
    evaluations = 1
    for episode in range(episodes):
        state = start.copy()
        draws = np.random.Generator(np.random.Philox(key=[seed, episode]))
        steps = 0
        while not trace.exhausted(budget, steps):
            link = _most_utilised(state, temperature, draws)
            if state.weights[link] == MAX_WEIGHT:
                break
            state.increment(link)
            steps += 1
            evaluations += 1
            if trace.record(state.mlu):
                best = state.weights.copy()
    return Result(trace.best, evaluations, trace.seconds, trace.entries, best)


def _most_utilised(state: RoutingState, temperature: float, draws: np.random.Generator) -> int:
    """Return the most utilised link, or draw one by its utilization."""
    utilization = state.utilization
    top = utilization.max()
    if temperature == 0.0 or top == 0.0:
        return int(utilization.argmax())
    # Gumbel-max: the noise turns the softmax draw into an argmax.
    return int((utilization / top / temperature + draws.gumbel(size=len(utilization))).argmax())
