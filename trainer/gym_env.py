"""The environment for other people's learners: Gymnasium's interface, one network or many at once.

An action is a link, whose weight grows by one; an episode ends (*terminated*) after its T steps, which is part of the
problem and not a time limit: the agent sees how much of it is over. Every episode brings another traffic matrix and
other start weights, drawn from the environment's own generator.

    import gymnasium, trainer.gym_env
    env = gymnasium.make("lockstep/Routing-v0", topology="gbn", profile="gravity", reward="log")
    envs = gymnasium.make_vec("lockstep/Routing-v0", num_envs=64, topology="gbn")

| symbol | shape | meaning |
|---|---|---|
| observation | (L, F) float32 | what each link sees: a feature set of `policy.features` |
| action | 0..L-1 | the link whose weight grows |
| reward | float | see `trainer.env.rewards` |
| info | | `mlu` now and `best_mlu` of the episode so far |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from policy.episode import default_steps
from policy.features import FEATURE_SETS
from routing.formats import load_topology
from routing.topology import Topology
from trainer.env import REWARDS, Block, rewards
from trainer.instances import PROFILES, Instance, generated_matrix

_SEEDS = 1 << 31  # of generated traffic matrices

Observation = NDArray[np.float32]


class Problem:
    """What all episodes of an environment share, checked, and where they differ: drawn.

    topology : name or file as on the command line, or a Topology of L links
    profile : "uniform" or "gravity", of the traffic (and of a named network's capacities)
    steps : T, default as in the paper
    features : key of `policy.features.FEATURE_SETS`
    reward : one of `trainer.env.REWARDS`

    Raises ValueError for a reward, profile or feature set that does not exist; InputError for such a topology.
    """

    def __init__(self, topology: str | Topology, profile: str, steps: int | None, features: str, reward: str) -> None:
        for name, allowed in ((profile, PROFILES), (features, tuple(FEATURE_SETS)), (reward, REWARDS)):
            if name not in allowed:
                raise ValueError(f"{name!r}, expected one of {', '.join(allowed)}")
        self.topology = topology if isinstance(topology, Topology) else load_topology(topology, profile)
        self.profile = profile
        self.steps = default_steps(self.topology) if steps is None else steps
        self.features = features
        self.reward = reward
        if self.steps < 1:
            raise ValueError(f"{self.steps} steps, expected at least 1")

    @property
    def observation_shape(self) -> tuple[int, int]:
        """(L, F)."""
        return self.topology.num_links, len(FEATURE_SETS[self.features])

    def draw(self, rng: np.random.Generator) -> Instance:
        """Draw a traffic matrix and start weights 1..4."""
        traffic = generated_matrix(self.topology, self.profile, int(rng.integers(_SEEDS)))
        return Instance(self.topology, traffic, rng.integers(1, 5, self.topology.num_links), self.steps, self.profile)

    def start(self, instances: Sequence[Instance]) -> Block:
        """Begin an episode on each instance."""
        return Block(instances, self.features)

    def rewards(self, block: Block) -> NDArray[np.float64]:
        """Rewards of the block's last step, (B,)."""
        # The best MLU so far may be from any earlier step.
        last: NDArray[np.float64] = rewards(block.mlu[: block.step_index + 1], self.reward)[-1]
        return last


def _info(block: Block) -> dict[str, Any]:
    return {"mlu": block.mlu[block.step_index].copy(), "best_mlu": block.best_mlu}


class RoutingEnv(gymnasium.Env[Observation, np.int64]):
    """One episode at a time. Arguments as in `Problem`.

    `reset` takes ``options={"instance": Instance}`` to start from a given one, on the same topology.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, gymnasium declares it so

    def __init__(
        self,
        topology: str | Topology = "nsfnet",
        *,
        profile: str = "uniform",
        steps: int | None = None,
        features: str = "default",
        reward: str = "log",
    ) -> None:
        self.problem = Problem(topology, profile, steps, features, reward)
        self.observation_space = spaces.Box(-np.inf, np.inf, self.problem.observation_shape, np.float32)
        self.action_space = spaces.Discrete(self.problem.topology.num_links)
        self._block: Block | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; with a seed, the first of that seed's sequence."""
        super().reset(seed=seed)
        instance = (options or {}).get("instance") or self.problem.draw(self.np_random)
        self._block = self.problem.start([instance])
        return self._block.observe()[0], self._info()

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Raise one link's weight."""
        block = self._running()
        block.step(np.array([action]))
        return block.observe()[0], float(self.problem.rewards(block)[0]), block.done, False, self._info()

    def _running(self) -> Block:
        if self._block is None or self._block.done:
            raise gymnasium.error.ResetNeeded("the episode is over or not begun, expected reset() before step()")
        return self._block

    def _info(self) -> dict[str, Any]:
        assert self._block is not None
        return {name: float(values[0]) for name, values in _info(self._block).items()}


class RoutingVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """B episodes at once on one topology, in lockstep: they begin and end together. Arguments as in `Problem`.

    The step after the last one starts new episodes and ignores its actions (`AutoresetMode.NEXT_STEP`). Episode b is
    that of a `RoutingEnv` with seed + b.
    """

    def __init__(
        self,
        num_envs: int = 1,
        topology: str | Topology = "nsfnet",
        *,
        profile: str = "uniform",
        steps: int | None = None,
        features: str = "default",
        reward: str = "log",
    ) -> None:
        self.problem = Problem(topology, profile, steps, features, reward)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.num_envs = num_envs
        self.single_observation_space = spaces.Box(-np.inf, np.inf, self.problem.observation_shape, np.float32)
        self.single_action_space = spaces.Discrete(self.problem.topology.num_links)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._block: Block | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all episodes; with a seed, those of seed, seed + 1, ... or of a list of seeds."""
        if seed is not None:
            seeds = seed if isinstance(seed, list) else [seed + b for b in range(self.num_envs)]
            self._generators = [seeding.np_random(one)[0] for one in seeds]
        self._block = self.problem.start([self.problem.draw(rng) for rng in self._generators])
        return self._block.observe(), _info(self._block)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Raise one link's weight in every episode; actions (B,)."""
        block, never = self._block, np.zeros(self.num_envs, dtype=np.bool_)
        if block is None:
            raise gymnasium.error.ResetNeeded("no episode is begun, expected reset() before step()")
        if block.done:
            observations, info = self.reset()
            return observations, np.zeros(self.num_envs), never, never, info
        block.step(np.asarray(actions))
        ended = np.full(self.num_envs, block.done)
        return block.observe(), self.problem.rewards(block), ended, never, _info(block)


gymnasium.register(
    "lockstep/Routing-v0",
    entry_point="trainer.gym_env:RoutingEnv",
    vector_entry_point="trainer.gym_env:RoutingVectorEnv",
)
