"""What is optimised, and how: a network, its traffic and an episode's settings, all checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from baselines.greedy import greedy
from baselines.result import Budget, Result
from policy.checkpoint import Checkpoint
from policy.command import check_length, checked_temperature
from policy.episode import default_steps, default_threads
from policy.schedule import MAX_STEPS
from routing.errors import InputError
from routing.formats import load_network
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform

MAX_SEED = 2**63 - 1  # `agent.control.Start`
# The noise of the draw grows with log L: at temperature 1 the draws among thousands of links are hardly the policy's.
LARGE_TEMPERATURE = 0.25
_TABLE_STEPS = {"synth500": 5250, "synth1000": 9600}  # paper 003, Table I


@dataclass(frozen=True)
class Problem:
    """A network with its traffic: its own (`own`), else uniform by the seed; `steps` is the T that is usual for it."""

    name: str
    topology: Topology
    traffic: TrafficMatrix
    own: bool
    steps: int

    @property
    def large(self) -> bool:
        """Whether it is one of the synthetic networks, which are for the central engine."""
        return self.topology.name.startswith("synth")


@dataclass(frozen=True)
class Case:
    """A problem and how an episode is played on it, the same by every engine.

    `steps` is T in increments, of which a decision takes `increments`, more in the first ones if it has an `opening`;
    `patience` is in decisions. `checkpoint` is the policy's name or file.
    """

    problem: Problem
    seed: int
    steps: int
    increments: int
    opening: int
    patience: int
    temperature: float
    threads: int
    policy: Checkpoint
    checkpoint: str

    @property
    def decisions(self) -> int:
        """How many the episode has if it does not end early."""
        return -(-self.steps // self.increments)

    def greedy(self, budget: Budget) -> Result:
        """Return what greedy reaches on the same problem."""
        topology = self.problem.topology
        return greedy(topology, self.problem.traffic, inverse_capacity(topology), budget)


def load_problem(name: str, seed: int) -> Problem:
    """Load a network; raises InputError."""
    topology, own, _ = load_network(name)
    traffic = uniform(topology, seed) if own is None else own
    return Problem(name, topology, traffic, own is not None, _TABLE_STEPS.get(topology.name, default_steps(topology)))


def settle(
    problem: Problem,
    policy: Checkpoint,
    *,
    checkpoint: str,
    alone: bool,
    seed: int,
    steps: int | None,
    increments: int,
    opening: int | None,
    patience: int | None,
    temperature: float | None,
    threads: int | None,
) -> Case:
    """Return the settings of an episode; None stands for what is usual.

    The agents of a run take opening and temperature from the checkpoint, and one link per decision after the opening.
    So does the central engine, unless it is `alone` and the network is `large`: then the opening is 1, the temperature
    `LARGE_TEMPERATURE`, and it does not end early.

    Raises
    ------
    InputError : out of range, or not what agents do
    """
    usual = (problem.steps, policy.opening, policy.temperature)
    if alone and problem.large:
        usual = (problem.steps, 1, LARGE_TEMPERATURE)
        patience = 0 if patience is None else patience
    check_length(problem.topology, steps, increments, opening)
    temperature = checked_temperature(temperature)
    if steps == 0 or threads == 0:
        raise InputError("--steps and --threads: expected at least 1")
    if patience is not None and patience > MAX_STEPS:
        raise InputError(f"--patience {patience}, expected at most {MAX_STEPS}")
    if not alone:
        asked: dict[str, tuple[float | None, float]] = {
            "--increments": (increments, 1),
            "--opening": (opening, policy.opening),
            "--temperature": (temperature, policy.temperature),
        }
        for option, (given, theirs) in asked.items():
            if given not in (None, theirs):
                raise InputError(f"{option} {given:g}, expected --engine central with it: agents take {theirs:g}")
        if seed > MAX_SEED:
            raise InputError(f"--seed {seed}, expected at most {MAX_SEED} for agents")
    steps = usual[0] if steps is None else steps
    return Case(
        problem=problem,
        seed=seed,
        steps=steps,
        increments=increments,
        opening=usual[1] if opening is None else opening,
        patience=policy.patience(-(-steps // increments)) if patience is None else patience,
        temperature=usual[2] if temperature is None else temperature,
        threads=default_threads(problem.topology) if threads is None else threads,
        policy=policy,
        checkpoint=checkpoint,
    )
