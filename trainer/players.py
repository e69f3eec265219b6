"""Who plays the episodes: this process, or several; `trainer.cluster` asks many machines.

Whoever plays, the result is the same bit for bit: the routers' kernels do not depend on batches, and the noise of an
episode follows from its number. Only `InThisProcess` may compute the logits in torch batches.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from policy.mpnn import Network, Preset
from trainer.acting import exact_logits, torch_logits
from trainer.clock import Clock
from trainer.env import VecEnv
from trainer.instances import Instance
from trainer.model import Agent
from trainer.rollout import Play, play

_PARTS_PER_WORKER = 2  # so that a worker that was given short episodes gets more of them


@dataclass(frozen=True, eq=False)
class Task:
    """Episodes to be played: every instance `copies` times, numbered from `first_episode` on.

    seed : of the samples; temperature : of the sampling
    keep : whether the steps are wanted, for learning, or only the MLUs
    """

    instances: Sequence[Instance]
    copies: int
    seed: int
    first_episode: int = 0
    temperature: float = 1.0
    keep: bool = True

    def split(self, parts: int) -> list[Task]:
        """Cut into at most `parts` tasks of neighbouring instances."""
        bounds = np.linspace(0, len(self.instances), min(parts, len(self.instances)) + 1).astype(int).tolist()
        return [
            Task(
                self.instances[low:high], self.copies, self.seed, self.first_episode + low * self.copies,
                self.temperature, self.keep,
            )
            for low, high in pairwise(bounds)
        ]  # fmt: skip

    def environment(self, features: str) -> VecEnv:
        """Return the episodes at their start."""
        return VecEnv(self.instances, features, self.copies, first_episode=self.first_episode)


class Players(Protocol):
    """Plays tasks with an agent's current parameters; the clock is told where the time went, summed over workers."""

    def play(self, agent: Agent, task: Task, clock: Clock) -> list[Play]:
        """Play all episodes to their ends."""

    def close(self) -> None:
        """Let go of processes and connections."""


class InThisProcess:
    """Plays here; `batched`: logits in torch batches on the agent's device, else by the routers' kernels."""

    def __init__(self, batched: bool = False) -> None:
        self._batched = batched

    def play(self, agent: Agent, task: Task, clock: Clock) -> list[Play]:
        """Play all episodes to their ends."""
        actor = agent.actor
        policy = torch_logits(agent) if self._batched else exact_logits(Network(actor.preset, actor.export()))
        env = task.environment(actor.preset.features)
        return play(policy, env, seed=task.seed, temperature=task.temperature, keep=task.keep, clock=clock)

    def close(self) -> None:
        """Nothing to let go of."""


def play_part(
    preset: Preset, parameters: dict[str, NDArray[np.float32]], task: Task
) -> tuple[list[Play], dict[str, float]]:
    """Play a task in another process; return its plays and where the time went."""
    torch.set_num_threads(1)
    clock = Clock()
    policy, env = exact_logits(Network(preset, parameters)), task.environment(preset.features)
    plays = play(policy, env, seed=task.seed, temperature=task.temperature, keep=task.keep, clock=clock)
    return plays, clock.seconds


def collect(parts: Iterable[tuple[list[Play], dict[str, float]]], clock: Clock) -> list[Play]:
    """Put the results of `play_part` together."""
    plays = []
    for found, seconds in parts:
        plays += found
        clock.add(seconds)
    return plays


class InProcesses:
    """Plays in `workers` processes of this machine."""

    def __init__(self, workers: int) -> None:
        # Forking after torch has started its threads may deadlock.
        self._pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        self._parts = workers * _PARTS_PER_WORKER

    def play(self, agent: Agent, task: Task, clock: Clock) -> list[Play]:
        """Play all episodes to their ends."""
        actor, tasks = agent.actor, task.split(self._parts)
        parameters = actor.export()
        found = [self._pool.submit(play_part, actor.preset, parameters, part) for part in tasks]
        return collect((future.result() for future in found), clock)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)
