"""Gymnasium's and PettingZoo's own checks, whole episodes that repeat, and the same episodes by another way."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from pettingzoo.test import parallel_api_test, parallel_seed_test

from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.mpnn import Network
from policy.preset import PRESETS
from policy.sampling import NonFiniteLogit
from routing.state import RoutingState
from trainer.env import REWARDS
from trainer.gym_env import RoutingEnv, RoutingVectorEnv
from trainer.instances import random_topology
from trainer.pettingzoo_env import LinkAgentsEnv

SMALL = random_topology(3, 6)


def test_gymnasium_accepts_the_environment(recwarn: pytest.WarningsRecorder) -> None:
    check_env(gymnasium.make("lockstep/Routing-v0", topology=SMALL, steps=7).unwrapped)
    unbounded = ("Box observation space m", "infinity")  # features such as log(U / best U) have no bound
    assert [w for w in recwarn if not any(part in str(w.message) for part in unbounded)] == []


def test_pettingzoo_accepts_the_environment() -> None:
    parallel_api_test(LinkAgentsEnv(SMALL, steps=7), num_cycles=30)
    parallel_seed_test(lambda: LinkAgentsEnv(SMALL, steps=7), num_cycles=30)


@pytest.mark.parametrize("reward", REWARDS)
def test_episode_pays_what_it_promises(reward: str) -> None:
    env = RoutingEnv("nsfnet", profile="gravity", steps=40, features="lookahead", reward=reward)
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=3)
    start, total, seen, ended = info["mlu"], 0.0, [info["mlu"]], False
    while not ended:
        action = rng.integers(observation.shape[0])
        observation, paid, ended, truncated, info = env.step(action)
        total += paid
        seen.append(info["mlu"])
        assert not truncated and info["best_mlu"] == min(seen)
    assert len(seen) == 41
    expected = {"paper": start - seen[-1], "relative": np.log(start / seen[-1]), "log": np.log(start / min(seen))}
    assert total == pytest.approx(expected[reward], rel=1e-9)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))


def _episodes(env: RoutingEnv, seed: int) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    found: list[NDArray[np.float64]] = []
    for reset_seed in (seed, None):  # the second goes on in the environment's own sequence
        found.append(env.reset(seed=reset_seed)[0])
        for _ in range(env.problem.steps):
            observation, reward, ended, _, info = env.step(rng.integers(env.problem.topology.num_links))
            found += [observation, np.array([reward, ended, info["mlu"]])]
    return found


def test_whole_episodes_repeat() -> None:
    env = RoutingEnv(SMALL, steps=20)
    first, again, other = _episodes(env, 5), _episodes(RoutingEnv(SMALL, steps=20), 5), _episodes(env, 6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[41])


def test_many_at_once_are_many_single_ones() -> None:
    ours = gymnasium.make_vec("lockstep/Routing-v0", num_envs=3, topology=SMALL, steps=6)
    assert isinstance(ours, RoutingVectorEnv) and ours.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    theirs = SyncVectorEnv([lambda: RoutingEnv(SMALL, steps=6)] * 3)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    (a, _), (b, _) = ours.reset(seed=8), theirs.reset(seed=8)
    np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(15):  # two episodes and a bit
        actions = rng.integers(0, SMALL.num_links, 3)
        got, expected = ours.step(actions), theirs.step(actions)
        for x, y in zip(got[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(got[4]["mlu"], expected[4]["mlu"])
        ends += int(got[2].all())
    assert ends == 2


def test_link_agents_with_the_networks_logits_do_what_routers_do() -> None:
    preset = PRESETS["default"]
    checkpoint = make_checkpoint(preset, random_parameters(preset, 1))
    network, env = Network(preset, checkpoint.parameters), LinkAgentsEnv("nsfnet", steps=25)
    for seed in (11, None):
        env.reset(seed=seed)
        block = env._block
        assert block is not None
        instance, links, mlus = block.instances[0], [], [block.mlu[0, 0]]
        while env.agents:
            logits = network.logits(instance.topology, env.state())
            bids = dict(zip(env.agents, logits[:, None], strict=True))
            observations, rewards, terminations, truncations, infos = env.step(bids)
            (info,) = {tuple(info.items()) for info in infos.values()}
            links.append(dict(info)["link"])
            mlus.append(dict(info)["mlu"])
            assert len(set(rewards.values())) == 1 and not any(truncations.values())
            np.testing.assert_array_equal(np.stack(list(observations.values())), env.state())
        assert all(terminations.values())
        trace = run_episode(
            instance.topology, instance.traffic, instance.start_weights, checkpoint,
            steps=25, seed=env.sample_seed, episode=env.episode,
        )  # fmt: skip
        assert links == trace.actions[:, 0].tolist()
        assert mlus == trace.mlu.tolist()


def test_agents_hear_the_links_into_their_router() -> None:
    env = LinkAgentsEnv(SMALL)
    for link, agent in enumerate(env.possible_agents):
        into = [SMALL.link_name(int(s)) for s in SMALL.incoming(int(SMALL.src[link]))]
        assert list(env.hears[agent]) == into


def test_bid_that_is_no_number_ends_the_game() -> None:
    env = LinkAgentsEnv(SMALL, steps=3)
    env.reset(seed=0)
    bids = {agent: np.zeros(1, dtype=np.float32) for agent in env.agents}
    bids[env.agents[2]] = np.array([np.nan], dtype=np.float32)
    with pytest.raises(NonFiniteLogit):
        env.step(bids)


def test_given_instance_is_played() -> None:
    env = RoutingEnv(SMALL, steps=3)
    instance = env.problem.draw(np.random.default_rng(4))
    _, info = env.reset(options={"instance": instance})
    assert info["mlu"] == RoutingState(SMALL, instance.traffic, instance.start_weights).mlu


def test_unknown_reward_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of paper, relative, log"):
        RoutingEnv(SMALL, reward="best")
