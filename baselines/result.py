"""The one signature of all baselines: what goes in, what comes out.

Every method is a function

    method(topology, traffic, weights, budget, *, seed=0, ...options of its own) -> Result

- `topology`, `traffic` : the problem;
- `weights` : (L,) integers, 1..65535, the weights that OSPF has now; weight searches start there, segment searches
  route over them (some methods ignore them, and say so);
- `budget` : when to stop, `Budget`; methods that only evaluate one setting ignore it;
- `seed` : 0..2**64-1; with a budget of steps the same seed gives the same result on every machine.

A result is never worse than the given weights: they are the first entry of the trace wherever a method starts there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routing.topology import Topology
from routing.traffic import TrafficMatrix


@dataclass(frozen=True)
class Budget:
    """When an anytime method stops: after whichever comes first; `None` is no limit.

    Parameters
    ----------
    seconds : wall-clock time, >= 0, from the call on; a method may overrun it by one check interval (milliseconds)
    steps : decisions (each method says what a step is), >= 0
    enough : an MLU with which the search may stop, for "how long until"; it is no limit by itself

    Raises
    ------
    ValueError : a negative limit
    """

    seconds: float | None = None
    steps: int | None = None
    enough: float | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        if (self.seconds is not None and not self.seconds >= 0) or (self.steps is not None and self.steps < 0):
            raise ValueError(f"a budget of {self.seconds} s and {self.steps} steps, expected none below zero")

    @property
    def nominal_seconds(self) -> float | None:
        """The seconds as they were asked for, whatever clock they are counted by."""
        return self.seconds

    def part(self, share: float, steps: int | None) -> Budget:
        """Return a budget of a `share` of the seconds, from the same call on, and of `steps`."""
        return Budget(None if self.seconds is None else share * self.seconds, steps, self.enough)

    def require_end(self) -> None:
        """Raise ValueError if there is no limit at all."""
        if self.seconds is None and self.steps is None:
            raise ValueError("a budget without seconds or steps, expected at least one")


@dataclass(frozen=True, eq=False)
class Result:
    """What a method found.

    Parameters
    ----------
    mlu : maximum link utilization of the best solution, recomputed from nothing (for `optimum`: of the optimal flow)
    evaluations : how many solutions were looked at
    seconds : wall-clock time of the whole call
    trace : (seconds, MLU) whenever the best MLU fell, the start first; seconds since the call, MLU strictly falling
    weights : (L,) int64, the OSPF weights of the solution; None for flows that no weights give (`optimum`, paths)
    segments : for methods that choose paths, what each demand (src, dst) passes, in order, between its ends; a demand
        that is not in it has none. Between two consecutive nodes traffic takes `weights`' equal-cost shortest paths
        (or, where `weights` is None, the link from one to the next).
    bound : a proven lower bound on the MLU of any routing of this instance, if the method gives one
    binding : (n,) int32, links that are full in every optimal flow, if known (`optimum`)
    """

    mlu: float
    evaluations: int
    seconds: float
    trace: tuple[tuple[float, float], ...]
    weights: NDArray[np.int64] | None = None
    segments: Mapping[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    bound: float | None = None
    binding: NDArray[np.int32] | None = None


class Method(Protocol):
    """A baseline."""

    def __call__(
        self, topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, budget: Budget, *, seed: int = 0
    ) -> Result:
        """Look for a routing of `traffic` over `topology` with a small MLU."""


class Trace:
    """Writes down when the best MLU fell, and tells the time that a call has used."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._entries: list[tuple[float, float]] = []

    @property
    def seconds(self) -> float:
        """Wall-clock time since the call began."""
        return time.perf_counter() - self._started

    @property
    def entries(self) -> tuple[tuple[float, float], ...]:
        """(seconds, MLU) of every improvement."""
        return tuple(self._entries)

    @property
    def best(self) -> float:
        """The lowest MLU recorded."""
        return self._entries[-1][1]

    def record(self, mlu: float) -> bool:
        """Note an MLU if it is below all before; return whether it is."""
        better = not self._entries or mlu < self._entries[-1][1]
        if better:
            self._entries.append((self.seconds, mlu))
        return better

    def used(self, budget: Budget, steps: int) -> float:
        """Return the share of the budget that is used up, 0..1, of that limit that ends it first."""
        shares = [0.0]
        if budget.seconds is not None:
            shares.append(self.seconds / budget.seconds if budget.seconds > 0 else 1.0)
        if budget.steps is not None:
            shares.append(steps / budget.steps if budget.steps > 0 else 1.0)
        return min(max(shares), 1.0)

    def exhausted(self, budget: Budget, steps: int) -> bool:
        """Return whether the call has used up its time or its steps, or found what is enough."""
        return (
            (budget.seconds is not None and self.seconds >= budget.seconds)
            or (budget.steps is not None and steps >= budget.steps)
            or (budget.enough is not None and bool(self._entries) and self.best <= budget.enough)
        )
