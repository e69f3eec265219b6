"""How good is the agent on instances that training does not see: relative to greedy +1 and to the flow bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.optimum import solve
from trainer.clock import Clock
from trainer.env import greedy_plus_one
from trainer.instances import Instance
from trainer.model import Agent
from trainer.players import InThisProcess, Players, Task

TEMPERATURES = (0.6, 0.8, 1.0, 1.25, 1.6)
_SEED = 1 << 63  # of the samples: always the same, and none of the training's


class Scores(NamedTuple):
    """Best MLU of an episode (`one`) or of several (`best`), relative to greedy +1 and to the multicommodity flow."""

    one: float
    best: float
    one_to_bound: float
    best_to_bound: float


class Validation:
    """Compares the policy with greedy and with the bound; always with the same random numbers."""

    def __init__(self, instances: Sequence[Instance], players: Players | None = None) -> None:
        self.instances = list(instances)
        self._players = players or InThisProcess()
        self._greedy = np.array([greedy_plus_one(instance) for instance in self.instances])
        self._bound = np.array([solve(instance.topology, instance.traffic).bound for instance in self.instances])

    def scores(self, agent: Agent, *, copies: int, temperature: float) -> Scores:
        """Return means over the instances: within each network and profile first, so that each counts the same."""
        task = Task(self.instances, copies, _SEED, temperature=temperature, keep=False)
        mlu = np.empty((len(self.instances), copies))
        for play in self._players.play(agent, task, Clock()):
            mlu.flat[play.episodes] = play.mlu.min(axis=0)
        figures = np.stack([mlu.mean(axis=1), mlu.min(axis=1)])
        return Scores(*self._mean(figures / self._greedy), *self._mean(figures / self._bound))

    def _mean(self, figures: NDArray[np.float64]) -> list[float]:
        cells: dict[tuple[str, str], list[int]] = {}
        for i, instance in enumerate(self.instances):
            cells.setdefault((instance.topology.name, instance.profile), []).append(i)
        means: list[float] = np.mean([figures[:, cell].mean(axis=1) for cell in cells.values()], axis=0).tolist()
        return means

    def temperatures(self, agent: Agent, copies: int) -> tuple[float, float]:
        """Return the temperatures that are best here: for one episode, and for the best of `copies`."""
        tried = {x: self.scores(agent, copies=copies, temperature=x) for x in TEMPERATURES}
        return min(tried, key=lambda x: tried[x].one), min(tried, key=lambda x: tried[x].best)
