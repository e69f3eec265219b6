"""The learned policy under the baselines' signature: episodes of the central engine, the best of which counts."""

from __future__ import annotations

from functools import lru_cache

from numpy.typing import ArrayLike

from baselines.result import Budget, Result, Trace
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import run_episode
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


@lru_cache(maxsize=4)
def loaded(name_or_path: str) -> Checkpoint:
    """Load a checkpoint once per process; raises InputError."""
    return load_checkpoint(name_or_path)


def identity(name_or_path: str) -> str:
    """Return what a checkpoint's results depend on: its parameters' hash, and what it recommends; raises InputError."""
    one = loaded(name_or_path)
    return f"{one.hash}, temperature {one.temperature:g}, opening {one.opening}, patience T/{one.patience_parts}"


def policy(
    topology: Topology,
    traffic: TrafficMatrix,
    weights: ArrayLike,
    budget: Budget,
    *,
    seed: int = 0,
    episodes: int | None = 1,
    checkpoint: str = "default",
) -> Result:
    """Return the best state of all episodes, the start included.

    Parameters
    ----------
    budget : `steps` is the length T of one episode; `seconds` bounds all together, looked at between two episodes
    episodes : how many, each with noise of its own; None: as many as fit into `budget.seconds`
    checkpoint : name of a pretrained policy, or a file

    Raises
    ------
    InputError : no such checkpoint; the traffic or the weights do not fit the topology
    NonFiniteLogit : the network computed NaN or infinity
    ValueError : a budget without steps, or episodes without an end
    """
    if budget.steps is None or (episodes is None and budget.seconds is None):
        raise ValueError("expected a budget of steps, and of episodes or seconds")
    parameters = loaded(checkpoint)
    trace = Trace()
    start = RoutingState(topology, traffic, weights)
    best = start.weights.copy()
    trace.record(start.mlu)
    done = decisions = 0
    while (episodes is None or done < episodes) and not trace.exhausted(Budget(seconds=budget.seconds), 0):
        found = run_episode(topology, traffic, weights, parameters, steps=budget.steps, seed=seed, episode=done)
        done += 1
        decisions += len(found.actions)
        if trace.record(found.best_mlu):
            best = found.best_weights
    return Result(trace.best, 1 + decisions, trace.seconds, trace.entries, best)
