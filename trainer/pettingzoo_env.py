"""The environment as a game of many agents: PettingZoo's parallel interface, one agent for each link.

An agent's action is its *bid*, a logit; the routers' own sampler (`policy.sampling`) draws one link from all bids, and
its weight grows by one. All agents get the same reward. An agent that decides as a router does sees its own row of
features and hears the agents of `hears`; with the network's logits as bids, the episode is bit for bit that of
`policy.episode.run_episode` for `sample_seed` and `episode`.

    from trainer.pettingzoo_env import LinkAgentsEnv
    env = LinkAgentsEnv("gbn", profile="gravity")

| symbol | shape | meaning |
|---|---|---|
| observation | (F,) float32 | what the link sees: a feature set of `policy.features` |
| action | (1,) float32 | bid: the link is drawn with probability proportional to exp(bid) |
| state | (L, F) float32 | the observations of all agents |
| info | | the `link` that was drawn, `mlu` now and `best_mlu` of the episode so far |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from policy.mpnn import adjacency
from routing.topology import Topology
from trainer.acting import draw
from trainer.env import Block
from trainer.gym_env import Problem

Observation = NDArray[np.float32]


class LinkAgentsEnv(ParallelEnv[str, Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """One network, an agent for each of its links. Arguments as in `trainer.gym_env.Problem`.

    sample_seed : of the joint draws, drawn at every `reset` with a seed
    episode : number of the episode, from 0 on since then
    hears : agent -> the agents whose messages reach it in one round, in link order
    """

    metadata: dict[str, Any] = {"name": "lockstep_links_v0", "render_modes": []}  # noqa: RUF012, declared so there

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
        links = self.problem.topology
        self.possible_agents = [links.link_name(link) for link in range(links.num_links)]
        self.agents: list[str] = []
        shape = self.problem.observation_shape
        self.observation_spaces = {a: spaces.Box(-np.inf, np.inf, shape[1:], np.float32) for a in self.possible_agents}
        self.action_spaces = {a: spaces.Box(-np.inf, np.inf, (1,), np.float32) for a in self.possible_agents}
        self.state_space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        senders, _, first = adjacency(links)
        self.hears = {
            agent: tuple(self.possible_agents[s] for s in senders[first[link] : first[link + 1]])
            for link, agent in enumerate(self.possible_agents)
        }
        self._block: Block | None = None
        self._seeded(None)

    def _seeded(self, seed: int | None) -> None:
        self._rng, _ = seeding.np_random(seed)
        self.sample_seed = int(self._rng.integers(1 << 63))
        self.episode = -1

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """(F,) float32."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """(1,) float32."""
        return self.action_spaces[agent]

    def state(self) -> Observation:
        """Return what all agents see, (L, F)."""
        everything: Observation = self._running().observe()[0]
        return everything

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, Any]]:
        """Start an episode; with a seed, the first of that seed's sequence.

        options : ``{"instance": Instance}`` starts from a given one, on the same topology
        """
        if seed is not None:
            self._seeded(seed)
        self.episode += 1
        instance = (options or {}).get("instance") or self.problem.draw(self._rng)
        self._block = self.problem.start([instance])
        self.agents = list(self.possible_agents)
        return self._observations(self._block), self._infos(self._block, None)

    def step(
        self, actions: dict[str, NDArray[np.float32]]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Draw a link from the bids of all agents and raise its weight.

        Raises NonFiniteLogit for a bid that is NaN or infinite, KeyError where one is missing.
        """
        block, agents = self._running(), self.possible_agents
        bids = np.array([[actions[agent].item() for agent in agents]], dtype=np.float32)
        (link,) = draw(bids, 1.0, self.sample_seed, np.array([self.episode]), block.step_index).tolist()
        block.step(np.array([link]))
        reward = float(self.problem.rewards(block)[0])
        if block.done:
            self.agents = []
        return (
            self._observations(block),
            dict.fromkeys(agents, reward),
            dict.fromkeys(agents, block.done),
            dict.fromkeys(agents, False),
            self._infos(block, link),
        )

    def _running(self) -> Block:
        if self._block is None:
            raise RuntimeError("no episode is begun, expected reset() first")
        return self._block

    def _observations(self, block: Block) -> dict[str, Observation]:
        return dict(zip(self.possible_agents, block.observe()[0], strict=True))

    def _infos(self, block: Block, link: int | None) -> dict[str, Any]:
        known = {"link": link, "mlu": float(block.mlu[block.step_index, 0]), "best_mlu": float(block.best_mlu[0])}
        return {agent: dict(known) for agent in self.possible_agents}
