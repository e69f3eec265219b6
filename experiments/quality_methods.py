"""The methods that are compared, by name, and the options that stand in the name.

A new method is a file with a function of the signature in `baselines.result`, and a line in `METHODS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.result import Budget, Result
from experiments.quality_instances import Instance
from policy.episode import default_steps
from routing.errors import InputError
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

SAMPLED = 0.05  # temperature of the sampled greedy: a link is drawn with probability ~ exp(20 u / max u)
# An evaluation by other arithmetic (integers here, floats in the searches over paths) may differ by this part.
_SAME = 1e-6


@dataclass(frozen=True)
class Entry:
    """A method.

    Parameters
    ----------
    function : ``module:function``, imported when it is used: some need a solver that others do not
    help : one line
    options : what may stand in its name: B episodes, T their length, s seconds, @ a checkpoint
    timed : whether ``--budget`` limits it
    bound : its MLU is a bound, not a routing that a network can be told
    stored : evaluates an answer of the data set
    """

    function: str
    help: str
    options: str = ""
    timed: bool = False
    bound: bool = False
    stored: bool = False


METHODS = {
    "given": Entry("baselines.ospf:given", "OSPF over the start weights"),
    "unit": Entry("baselines.ospf:unit", "OSPF, all weights 1"),
    "inverse_capacity": Entry("baselines.ospf:inverse_capacity", "OSPF, weights proportional to 1/capacity"),
    "greedy": Entry("baselines.greedy:greedy", "+1 on the most utilised link; with B sampled, best of B", "BT"),
    "local_search": Entry("baselines.local_search:local_search", "annealing over weights 1..20", "s", timed=True),
    "segments": Entry("baselines.segments:segments", "local search over two middlepoints", "s", timed=True),
    "defo": Entry("baselines.defo:defo", "constraint programming over two middlepoints", "s", timed=True),
    "sap": Entry("baselines.sap:sap", "shortest available path (paper 002)"),
    "annealing": Entry("baselines.annealing:annealing", "annealing over one middlepoint (paper 002)", "s", timed=True),
    "replicated": Entry("baselines.replicated:replicated", "local_search in every router", "s", timed=True),
    "policy": Entry("experiments.quality_policy:policy", "learned policy, best of B episodes", "BTs@"),
    "stored_defo": Entry("experiments.quality_instances:stored_defo", "DEFO's answers in the data set", stored=True),
    "optimum": Entry("baselines.optimum:optimum", "multicommodity flow: the bound", bound=True),
}  # fmt: skip

_OPTION = r"(?::[0-9]+(?:\.[0-9]+)?[sT]?)*"
_SPEC = re.compile(rf"(?P<name>[a-z_]+)(?P<before>{_OPTION})(?:@(?P<file>[^@]+?))?(?P<after>{_OPTION})")


@dataclass(frozen=True)
class Spec:
    """One method with its options; `label` is what the user wrote."""

    label: str
    name: str
    episodes: int | None = None
    stretch: float = 1.0
    seconds: float | None = None
    checkpoint: str | None = None

    @property
    def entry(self) -> Entry:
        """What `METHODS` says about it."""
        return METHODS[self.name]

    def run(self, instance: Instance, weights: NDArray[np.int64], seed: int, clock: type[Budget]) -> Result:
        """Solve the instance from `weights` on; `clock` makes the budget."""
        entry, options = self.entry, dict[str, Any]()
        if "B" in entry.options and (self.episodes is not None or self.seconds is not None):
            options["episodes"] = self.episodes
            if self.name == "greedy":
                options["temperature"] = SAMPLED
        if self.checkpoint is not None:
            options["checkpoint"] = self.checkpoint
        if entry.stored:
            if instance.stored is None:
                raise InputError(f"{self.label}: expected --data, the data set that has the answers")
            options["stored"] = instance.stored
        steps = max(1, round(self.stretch * default_steps(instance.topology))) if "T" in entry.options else None
        function = function_of(self)
        budget = clock(seconds=self.seconds, steps=steps)
        return function(instance.topology, instance.traffic, weights, budget, seed=seed, **options)


@dataclass(frozen=True)
class Chain:
    """Methods one after the other, each from the weights that the one before found."""

    label: str
    parts: tuple[Spec, ...]

    @property
    def bound(self) -> bool:
        """Whether the result is only a bound."""
        return self.parts[-1].entry.bound

    @property
    def checkpoints(self) -> list[str]:
        """Names and files of the policies that take part."""
        return [part.checkpoint or "default" for part in self.parts if "@" in part.entry.options]

    def run(self, instance: Instance, seed: int, clock: type[Budget] = Budget) -> Result:
        """Solve the instance and check the answer; times and evaluations are those of all parts together.

        Raises
        ------
        InputError : the method does not fit the instance, or is not installed
        RuntimeError : the result's MLU is not that of its routing
        """
        weights, seconds, evaluations = instance.weights, 0.0, 0
        trace: list[tuple[float, float]] = []
        for part in self.parts:
            result = part.run(instance, weights, seed, clock)
            trace += [(seconds + at, mlu) for at, mlu in result.trace if not trace or mlu < trace[-1][1]]
            seconds, evaluations = seconds + result.seconds, evaluations + result.evaluations
            if result.weights is not None:
                weights = result.weights
        if not self.bound:
            check(instance.topology, instance.traffic, result)
        return replace(result, seconds=seconds, evaluations=evaluations, trace=tuple(trace))


def function_of(spec: Spec) -> Callable[..., Result]:
    """Import a method; raises InputError if what it needs is not installed."""
    module, _, name = spec.entry.function.partition(":")
    try:
        function: Callable[..., Result] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise InputError(f"{spec.name} needs {error.name}, expected `scripts/setup baselines experiments`") from error
    return function


def parse_methods(text: str, budget: float) -> list[Chain]:
    """Read a list of methods, comma separated; `budget` in seconds is shared by the timed parts of a chain.

    Raises
    ------
    InputError : an unknown method, an option that it does not have, or one twice
    """
    chains = [_chain(label.strip(), budget) for label in text.split(",") if label.strip()]
    labels = [chain.label for chain in chains]
    if not chains or len(set(labels)) < len(labels):
        raise InputError(f"--methods {text!r}, expected different methods of {', '.join(METHODS)}")
    return chains


def _chain(label: str, budget: float) -> Chain:
    parts = [_spec(part) for part in label.split("+")]
    shared = [part for part in parts if part.entry.timed and part.seconds is None]
    parts = [replace(part, seconds=budget / len(shared)) if part in shared else part for part in parts]
    if any(part.entry.bound or part.name == "sap" for part in parts[:-1]):
        raise InputError(f"{label!r}: only a method that finds weights can be followed by another")
    return Chain(label, tuple(parts))


def _spec(label: str) -> Spec:
    match = _SPEC.fullmatch(label)
    if match is None or match["name"] not in METHODS:
        raise InputError(f"no method {label!r}, expected one of {', '.join(METHODS)} with its options (see --help)")
    spec = Spec(label, match["name"], checkpoint=match["file"])
    letters = ["@"] if match["file"] else []
    for option in [text for text in (match["before"] + match["after"]).split(":") if text]:
        value, letter = (float(option[:-1]), option[-1]) if option[-1] in "sT" else (float(option), "B")
        letters.append(letter)
        if value <= 0 or (letter == "B" and not value.is_integer()):
            raise InputError(f"{label!r}: {option!r}, expected a number above 0 (episodes: a whole one)")
        if letter == "B":
            spec = replace(spec, episodes=int(value))
        else:
            spec = replace(spec, seconds=value) if letter == "s" else replace(spec, stretch=value)
    for letter in letters:
        if letter not in spec.entry.options or letters.count(letter) > 1:
            meaning = {"B": "a number of episodes", "T": "a length T", "s": "seconds", "@": "a checkpoint"}[letter]
            raise InputError(
                f"{label!r}: {spec.name} takes {meaning} {'once' if letter in spec.entry.options else 'not'}"
            )
    return spec


def check(topology: Topology, traffic: TrafficMatrix, result: Result) -> None:
    """Route the answer once more, by the integer kernel alone; raise RuntimeError if its MLU is another.

    A demand with middlepoints is several demands without: to the first, from there to the second, and on.
    """
    demand = traffic.demand.copy()
    for (source, target), middle in result.segments.items():
        demand[source, target] -= traffic.demand[source, target]
        for a, b in zip((source, *middle), (*middle, target), strict=True):
            if a != b:
                demand[a, b] += traffic.demand[source, target]
    demand = np.maximum(demand, 0.0)  # rounding of what was taken away
    if result.weights is not None:
        mlu = RoutingState(topology, TrafficMatrix(demand), result.weights).mlu
    else:  # from one node to the next, over the link between them
        load = demand[topology.src, topology.dst]
        if not np.isclose(load.sum(), demand.sum()):
            raise RuntimeError("the paths use links that the network does not have")
        mlu = float((load / topology.capacity).max())
    if abs(mlu - result.mlu) > _SAME * max(mlu, result.mlu):
        raise RuntimeError(f"the method reports an MLU of {result.mlu!r}, its routing has {mlu!r}")
