"""Playing episodes and putting together what the update learns from.

| symbol | shape | meaning |
|---|---|---|
| features | (T, B, L, F) | what the links saw before each step |
| actions | (T, B) | the link that each episode chose |
| logprob | (T, B) | log-probability of the chosen link when it was chosen |
| mlu | (T+1, B) | maximum link utilization, start included |
| values | (T+1, B) | critic's estimate, 0 after the last step: an episode ends after T steps by design |

An episode's noise depends on its number alone, so who plays it, and beside which others, does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from routing.topology import Topology
from trainer.acting import Policy, draw
from trainer.clock import Clock
from trainer.env import Block, VecEnv
from trainer.instances import Instance


@dataclass(frozen=True, eq=False)
class Play:
    """What one block of episodes went through, as arrays that travel between processes; shapes as above.

    episodes : (B,) int64, their numbers
    features, actions, logprob : empty (0, B, ...) where only the MLUs were wanted
    """

    episodes: NDArray[np.int64]
    mlu: NDArray[np.float64]
    features: NDArray[np.float32]
    actions: NDArray[np.int64]
    logprob: NDArray[np.float32]


@dataclass
class Trajectory:
    """What the episodes on one topology went through, for learning; shapes as above."""

    topology: Topology
    mlu: NDArray[np.float64]
    features: Tensor
    actions: Tensor
    logprob: Tensor
    values: Tensor = field(default_factory=lambda: torch.empty(0))
    advantages: Tensor = field(default_factory=lambda: torch.empty(0))
    returns: Tensor = field(default_factory=lambda: torch.empty(0))

    def to(self, device: torch.device) -> None:
        """Move what the update reads to a device."""
        for name in ("features", "actions", "logprob", "advantages", "returns"):
            setattr(self, name, getattr(self, name).to(device))


class _Record:
    """Keeps the steps of one block."""

    def __init__(self, block: Block, keep: bool) -> None:
        kept, size = block.steps if keep else 0, (block.num_envs, block.topology.num_links)
        self.block = block
        self.features = np.empty((kept, *size, block.num_features), dtype=np.float32)
        self.logits = np.empty((kept, *size), dtype=np.float32)
        self.actions = np.empty((kept, block.num_envs), dtype=np.int64)

    def play(self, temperature: float) -> Play:
        log_probs = (torch.from_numpy(self.logits) / temperature).log_softmax(dim=2)
        logprob = log_probs.gather(2, torch.from_numpy(self.actions)[:, :, None])[:, :, 0]
        block = self.block
        return Play(block.numbers, block.mlu, self.features, self.actions, logprob.numpy())


def play(
    policy: Policy, env: VecEnv, *, seed: int, temperature: float = 1.0, keep: bool = True, clock: Clock | None = None
) -> list[Play]:
    """Play all episodes to their ends, one `Play` per block; with `keep=False` only the MLUs remain.

    policy : see `trainer.acting`
    seed : of the samples, 0..2**64-1
    temperature : by which logits are divided

    Raises NonFiniteLogit if the network computed NaN or infinity.
    """
    clock = clock or Clock()
    records = [_Record(block, keep) for block in env.blocks]
    while active := [record for record in records if not record.block.done]:
        with clock.stage("features"):
            parts = [(record.block.topology, record.block.observe()) for record in active]
        with clock.stage("network"):
            found = policy(parts)
        for record, (_, features), logits in zip(active, parts, found, strict=True):
            block = record.block
            with clock.stage("sampling"):
                step = block.step_index
                actions = draw(logits, temperature, seed, block.numbers, step)
                if keep:
                    record.features[step], record.logits[step], record.actions[step] = features, logits, actions
            with clock.stage("environment"):
                block.step(actions)
    with clock.stage("sampling"):
        return [record.play(temperature) for record in records]


def trajectories(
    plays: Iterable[Play], instances: Sequence[Instance], group_size: int, first_episode: int
) -> list[Trajectory]:
    """Join plays by topology and length, episodes in ascending order: the same from one process or from many.

    instances : in whose order the episodes were numbered, `group_size` for each, from `first_episode` on
    """
    joined: dict[tuple[int, int], list[Play]] = {}
    for one in sorted(plays, key=lambda p: int(p.episodes[0])):
        instance = instances[(int(one.episodes[0]) - first_episode) // group_size]
        joined.setdefault((id(instance.topology), instance.steps), []).append(one)
    found = []
    for parts in joined.values():
        order = np.argsort(np.concatenate([p.episodes for p in parts]))
        mlu, features, actions, logprob = (
            np.concatenate([getattr(p, name) for p in parts], axis=1)[:, order]
            for name in ("mlu", "features", "actions", "logprob")
        )
        topology = instances[(int(parts[0].episodes[0]) - first_episode) // group_size].topology
        kept = (torch.from_numpy(array) for array in (features, actions, logprob))
        found.append(Trajectory(topology, mlu, *kept))
    return found
