"""Many episodes at once, on the routing kernels that the routers use.

Episodes on the same network run in lockstep as one *block* of B episodes, because they have the same number of links
and of steps; a `VecEnv` is a few blocks. An action is a link, whose weight grows by one.

| symbol | shape | meaning |
|---|---|---|
| features | (B, L, F) float32 | what the links see |
| actions | (B,) int64 | the link each episode chose |
| mlu | (T+1, B) float64 | maximum link utilization, start included |
| rewards | (T, B) float64 | see `rewards` |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baselines.greedy import greedy
from baselines.result import Budget
from policy.episode import Episode
from policy.features import FEATURE_SETS
from trainer.instances import Instance

REWARDS = ("paper", "relative", "log")


def rewards(mlu: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return the reward of every step, (T, B), from the MLUs of an episode, (T+1, B).

    `paper`: MLU_t - MLU_t+1 (paper 003, IV-C). Sums to start minus end: a detour through worse states is paid back, but
    what is kept in the end is the best state, not the last.

    `relative`: log(MLU_t / MLU_t+1), the same without the traffic's scale.

    `log`: log(best_t / best_t+1) with best the lowest MLU so far. Sums to log(start / best), the thing that is wanted;
    never negative, and independent of the traffic's scale.
    """
    if kind == "paper":
        return mlu[:-1] - mlu[1:]
    if kind == "relative":
        return np.log(mlu[:-1] / mlu[1:])
    if kind == "log":
        best = np.minimum.accumulate(mlu, axis=0)
        return np.log(best[:-1] / best[1:])
    raise ValueError(f"reward {kind!r}, expected one of {', '.join(REWARDS)}")


class Block:
    """B episodes on one topology, in lockstep.

    instances : B of them, of the same topology and length
    features : key of `policy.features.FEATURE_SETS`
    numbers : (B,) int64, the episodes' numbers, on which their noise depends (default: from 0 on)
    """

    def __init__(self, instances: Sequence[Instance], features: str, numbers: NDArray[np.int64] | None = None) -> None:
        self.topology = instances[0].topology
        self.steps = instances[0].steps
        if any(i.topology is not self.topology or i.steps != self.steps for i in instances):
            raise ValueError("episodes of a block must share their topology and length")
        self.instances = tuple(instances)
        self.numbers = np.arange(len(instances)) if numbers is None else numbers
        self.num_features = len(FEATURE_SETS[features])
        self.episodes = [Episode(i.topology, i.traffic, i.start_weights, i.steps, features) for i in instances]
        self._links = np.arange(self.topology.num_links, dtype=np.int32)
        self.mlu = np.zeros((self.steps + 1, len(instances)))
        self.mlu[0] = [episode.mlu for episode in self.episodes]
        self.step_index = 0

    @property
    def num_envs(self) -> int:
        """B."""
        return len(self.episodes)

    def observe(self) -> NDArray[np.float32]:
        """(B, L, F) float32."""
        return np.stack([episode.features(self._links) for episode in self.episodes])

    def step(self, actions: NDArray[np.int64]) -> None:
        """Raise one link's weight in every episode."""
        self.step_index += 1
        self.mlu[self.step_index] = [e.apply((a,)) for e, a in zip(self.episodes, actions.tolist(), strict=True)]

    @property
    def done(self) -> bool:
        """True after T steps."""
        return self.step_index >= self.steps

    @property
    def best_mlu(self) -> NDArray[np.float64]:
        """(B,) lowest MLU so far, start included."""
        lowest: NDArray[np.float64] = self.mlu[: self.step_index + 1].min(axis=0)
        return lowest


class VecEnv:
    """Blocks of episodes, one for each topology and length among the instances, every instance `copies` times.

    Within a block the copies of an instance are neighbours: episode ``i * copies + c`` is copy c of the block's
    instance i. The number of copy c of instance i of *all* instances is ``first_episode + i * copies + c``.
    """

    def __init__(
        self, instances: Sequence[Instance], features: str, copies: int = 1, *, first_episode: int = 0
    ) -> None:
        grouped: dict[tuple[int, int], list[int]] = {}
        for i, instance in enumerate(instances):
            grouped.setdefault((id(instance.topology), instance.steps), []).append(i)
        self.copies = copies
        self.blocks = [
            Block(
                [instances[i] for i in group for _ in range(copies)],
                features,
                first_episode + np.array([i * copies + c for i in group for c in range(copies)]),
            )
            for group in grouped.values()
        ]

    @property
    def active(self) -> list[Block]:
        """Blocks whose episodes are not over."""
        return [block for block in self.blocks if not block.done]

    @property
    def num_steps(self) -> int:
        """Environment steps of one whole pass over all blocks."""
        return sum(block.steps * block.num_envs for block in self.blocks)


def greedy_plus_one(instance: Instance) -> float:
    """Return the best MLU when the weight of the most utilised link grows by one, T times."""
    budget = Budget(steps=instance.steps)
    return greedy(instance.topology, instance.traffic, instance.start_weights, budget).mlu
