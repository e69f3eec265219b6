"""Playing episodes: what is collected for the update, and how policies are validated.

| symbol | shape | meaning |
|---|---|---|
| logprob | (T, B) | log-probability of the chosen link when it was chosen |
| values | (T+1, B) | critic's estimate, 0 after the last step: an episode ends after T steps by design |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy.mpnn import Network
from trainer.env import Block, VecEnv, greedy_plus_one
from trainer.instances import Instance
from trainer.model import Agent

TEMPERATURES = (0.6, 0.8, 1.0, 1.25, 1.6)


@dataclass
class Trajectory:
    """What one block of episodes went through."""

    block: Block
    features: Tensor  # (T, B, L, F)
    actions: Tensor  # (T, B)
    logprob: Tensor  # (T, B)
    values: Tensor  # (T+1, B)
    advantages: Tensor = field(default_factory=lambda: torch.empty(0))
    returns: Tensor = field(default_factory=lambda: torch.empty(0))


@torch.no_grad()
def rollout(
    env: VecEnv, agent: Agent, generator: torch.Generator, *, temperature: float = 1.0, keep: bool = True
) -> list[Trajectory]:
    """Play all episodes to their ends with the network that routers run; with `keep=False` only the MLUs remain."""
    network = Network(agent.actor.preset, agent.actor.export())
    kept: dict[int, list[tuple[Tensor, ...]]] = {id(block): [] for block in env.blocks}
    while active := env.active:
        for block in active:
            x = block.observe()
            logp = torch.from_numpy(block.logits(network, x)).log_softmax(dim=1)
            # Gumbel-max: the same distribution as the deployed sampler, from the trainer's own stream.
            noise = -torch.empty_like(logp).exponential_(generator=generator).log()
            actions = (logp / temperature + noise).argmax(dim=1)
            block.step(actions.numpy())
            if keep:
                kept[id(block)].append((torch.from_numpy(x), actions, logp.gather(1, actions[:, None])[:, 0]))
    if not keep:
        return []
    trajectories = []
    for block in env.blocks:
        features, actions, logprob = (torch.stack(column) for column in zip(*kept[id(block)], strict=True))
        values = torch.stack([*(agent.values(block.topology, x) for x in features), torch.zeros(block.num_envs)])
        trajectories.append(Trajectory(block, features, actions, logprob, values))
    return trajectories


class Validation:
    """Compares the policy with greedy on instances that training does not see; always with the same random numbers."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.instances = list(instances)
        self._greedy = {id(instance): greedy_plus_one(instance) for instance in self.instances}

    def ratios(self, agent: Agent, *, copies: int, temperature: float) -> tuple[float, float]:
        """Best MLU of the policy relative to greedy's: mean over `copies` episodes, and best of them.

        Means are taken within each network and profile first, so that each counts the same.
        """
        env = VecEnv(self.instances, agent.actor.preset.features, copies)
        rollout(env, agent, torch.Generator().manual_seed(0), temperature=temperature, keep=False)
        cells: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
        for block in env.blocks:
            for instance, mlus in zip(block.instances[::copies], block.best_mlu.reshape(-1, copies), strict=True):
                cell = cells.setdefault((instance.topology.name, instance.profile), [])
                cell.append(mlus / self._greedy[id(instance)])
        one, best = zip(*((np.mean(c), np.mean(np.min(c, axis=1))) for c in cells.values()), strict=True)
        return float(np.mean(one)), float(np.mean(best))

    def temperatures(self, agent: Agent, copies: int) -> tuple[float, float]:
        """Return the temperatures that are best here: for one episode, and for the best of `copies`."""
        tried = {x: self.ratios(agent, copies=copies, temperature=x) for x in TEMPERATURES}
        return min(tried, key=lambda x: tried[x][0]), min(tried, key=lambda x: tried[x][1])
