"""The algorithm against hand numbers and brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.advantages import discounted_returns, gae, group_baseline, group_means, normalise_steps
from trainer.args import PRESETS, Args
from trainer.clock import Clock
from trainer.env import rewards
from trainer.instances import InstanceSource
from trainer.learning import METRICS, clipped_loss, estimate_advantages, gradient_step, minibatches
from trainer.players import Task
from trainer.ppo import Trainer, make_agent
from trainer.rollout import trajectories


@settings(deadline=None, max_examples=50)
@given(
    steps=st.integers(1, 12),
    envs=st.integers(1, 3),
    gamma=st.floats(0, 1),
    lam=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_gae_is_the_weighted_sum_of_temporal_differences(
    steps: int, envs: int, gamma: float, lam: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    r, v = rng.normal(size=(steps, envs)), rng.normal(size=(steps + 1, envs))
    expected = np.zeros((steps, envs))
    for t in range(steps):
        for later in range(t, steps):
            delta = r[later] + gamma * v[later + 1] - v[later]
            expected[t] += (gamma * lam) ** (later - t) * delta
    got = gae(torch.from_numpy(r), torch.from_numpy(v), gamma, lam)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)


def test_gae_with_lambda_one_is_return_minus_value() -> None:
    r = torch.tensor([[1.0], [0.0], [2.0]])
    v = torch.tensor([[0.5], [0.25], [1.0], [0.0]])
    returns = discounted_returns(r, 0.5)
    assert returns.flatten().tolist() == [1.5, 1.0, 2.0]  # 1 + 0.5 * (0 + 0.5 * 2)
    assert torch.equal(gae(r, v, 0.5, 1.0), returns - v[:-1])


def test_group_means_are_over_neighbouring_episodes() -> None:
    returns = torch.tensor([[1.0, 3.0, 10.0, 20.0], [0.0, 2.0, 5.0, 5.0]])
    assert group_means(returns, 2).tolist() == [[2, 2, 15, 15], [1, 1, 5, 5]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # clipped at 1.2: no more to gain
        (0.5, 2.0, -1.0),  # a worse policy is never excused
        (0.5, -2.0, 1.6),  # clipped at 0.8
        (1.5, -2.0, 3.0),
    ],
)
def test_clipped_loss_by_hand(ratio: float, advantage: float, loss: float) -> None:
    got = clipped_loss(torch.tensor([math.log(ratio)]), torch.zeros(1), torch.tensor([advantage]), 0.2)
    assert got.item() == pytest.approx(loss, rel=1e-6)


def test_clipped_loss_has_no_gradient_beyond_the_range() -> None:
    logprob = torch.tensor([math.log(1.5), math.log(1.1)], requires_grad=True)
    clipped_loss(logprob, torch.zeros(2), torch.ones(2), 0.2).backward()
    assert logprob.grad is not None
    assert logprob.grad[0] == 0
    assert logprob.grad[1] == pytest.approx(-0.55)


def test_rewards_of_all_kinds() -> None:
    mlu = np.array([[2.0], [1.0], [4.0], [0.5]])
    np.testing.assert_allclose(rewards(mlu, "paper")[:, 0], [1.0, -3.0, 3.5])
    np.testing.assert_allclose(rewards(mlu, "relative")[:, 0], np.log(mlu[:-1, 0] / mlu[1:, 0]))
    np.testing.assert_allclose(rewards(mlu, "log")[:, 0], [math.log(2), 0, math.log(2)])
    with pytest.raises(ValueError, match="expected one of paper, relative, log"):
        rewards(mlu, "other")


def test_group_baseline_adds_what_the_state_explains() -> None:
    rng = np.random.default_rng(0)
    mlu = torch.from_numpy(np.exp(rng.normal(size=(6, 64))))
    best = mlu[:-1].cummin(dim=0).values.log()
    returns = 0.7 * best + torch.from_numpy(rng.normal(size=(5, 1)))  # nothing but the state decides
    np.testing.assert_allclose(group_baseline(returns, mlu, 8)[1:], returns[1:], atol=1e-5)
    same_start = torch.ones(2, 16, dtype=torch.float64)
    noise = torch.from_numpy(rng.normal(size=(1, 16)))
    assert torch.equal(group_baseline(noise, same_start, 8), group_means(noise, 8))


def test_normalised_steps_have_deviation_one_down_to_a_floor() -> None:
    advantages = torch.tensor([[10.0, -10.0], [0.5, -0.5], [1e-6, -1e-6]])
    scaled = normalise_steps(advantages, 0.02)
    np.testing.assert_allclose(scaled[:2].std(dim=1), 1, rtol=1e-5)
    assert scaled[2].abs().max() < 1e-4


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_whole_batches_move_to_the_device(preset: str) -> None:
    """On torch's device without data: an operation fails if one of its tensors stayed on the CPU."""
    args = replace(PRESETS[preset], generated=2, num_instances=0, sizes=(5, 6), group_size=2, update_epochs=1)
    source = InstanceSource((), None, 1, 0.1)
    here = Trainer(args, source)
    instances = source.random_networks(0, 2, args.sizes)
    task = Task(instances, args.group_size, args.seed)
    paths = trajectories(here.players.play(here.agent, task, Clock()), instances, args.group_size, 0)
    estimate_advantages(paths, here.agent, args)
    there = make_agent(args).to("meta")
    optimizer = torch.optim.Adam(there.parameters())
    for path in paths:
        path.to(there.device)
    graph = there.graphs.get([(paths[0].topology, 2)], there.device)
    assert graph.senders.is_meta and graph.receivers.is_meta and graph.first.is_meta and graph.in_degree.is_meta
    batches = list(minibatches(paths, 2, 1.0, torch.Generator().manual_seed(0)))
    assert len(batches) == 2
    for batch in batches:
        assert {x.device.type for path, steps, envs in batch for x in (path.features, steps, envs)} == {"meta"}
        metrics = gradient_step(batch, there, optimizer, args)
        assert metrics.device.type == "meta" and metrics.shape == (len(METRICS),)
    assert all(parameter.grad is not None and parameter.grad.is_meta for parameter in there.parameters())


def test_without_rounds_a_wider_network_has_as_many_parameters_at_work() -> None:
    def sizes(args: Args, parts: tuple[str, ...]) -> int:
        named = make_agent(args).actor.named_parameters()
        return sum(parameter.numel() for name, parameter in named if name.split(".")[0] in parts)

    whole = sizes(Args(), ("encode", "message", "update", "readout", "skip"))
    alone = sizes(Args(rounds=0, hidden=40), ("encode", "readout", "skip"))
    assert abs(alone / whole - 1) < 0.02
    paper = make_agent(Args(preset="paper", hidden=24)).actor.preset
    assert (paper.encode, paper.update, paper.num_features) == ((), (128, 64, 24), 2)


def test_a_critic_that_learns_beside_the_actor_changes_no_bit() -> None:
    found = []
    for threads in (1, 2):
        args = replace(
            PRESETS["paper"],
            threads=threads,
            generated=2,
            num_instances=0,
            sizes=(5, 6),
            group_size=2,
            num_minibatches=4,
        )
        trainer = Trainer(args, InstanceSource((), None, 1, 0.2))
        metrics = [trainer.iterate() for _ in range(2)][-1]
        found.append(([metrics[f"losses/{name}"] for name in METRICS], trainer.agent.state_dict()))
    (losses, alone), (losses_beside, beside) = found
    assert losses == losses_beside
    assert alone.keys() == beside.keys() and all(torch.equal(alone[name], beside[name]) for name in alone)
