"""How much better an action was than expected: advantages from rewards, with a critic or by comparing episodes.

| symbol | shape | meaning |
|---|---|---|
| rewards | (T, B) | reward of step t of episode b |
| values | (T+1, B) | critic's estimate, 0 after the last step |
| returns | (T, B) | discounted sum of the rewards from t on |
"""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimate, (T, B): A_t = delta_t + gamma lambda A_t+1, delta_t = r_t + gamma V_t+1 - V_t.

    Schulman et al. 2016, eq. 16. `rewards` (T, B), `values` (T+1, B).
    """
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * values[t + 1] - values[t]
        following = delta + gamma * gae_lambda * following
        advantages[t] = following
    return advantages


def discounted_returns(rewards: Tensor, gamma: float) -> Tensor:
    """Discounted sums of the rewards to come, (T, B)."""
    return gae(rewards, torch.zeros(len(rewards) + 1, rewards.shape[1], dtype=rewards.dtype), gamma, 1.0)


def group_means(returns: Tensor, group_size: int) -> Tensor:
    """Mean of the returns over each group at the same step, (T, B); neighbouring episodes form a group."""
    steps, envs = returns.shape
    means = returns.view(steps, envs // group_size, group_size).mean(dim=2, keepdim=True)
    return means.expand(-1, -1, group_size).reshape(steps, envs)


def group_baseline(returns: Tensor, mlu: Tensor, group_size: int) -> Tensor:
    """Group mean plus a linear regression on the state, (T, B), for `returns` (T, B) of episodes with MLUs (T+1, B).

    Who has already found a good state has less to gain. At every step the deviation from the group's mean return is
    regressed on the deviations of log(best MLU so far) and log(MLU), over all episodes of the block. Nothing in it
    depends on the action.
    """
    log_mlu = mlu[:-1].log()
    state = torch.stack([log_mlu.cummin(dim=0).values, log_mlu], dim=2)  # (T, B, 2)
    state = state - torch.stack([group_means(column, group_size) for column in state.unbind(dim=2)], dim=2)
    means = group_means(returns, group_size)
    ridge = 1e-6 * torch.eye(2, dtype=state.dtype)
    slope = torch.linalg.solve(state.mT @ state + ridge, state.mT @ (returns - means)[:, :, None])  # (T, 2, 1)
    fitted: Tensor = (state @ slope)[:, :, 0]
    return means + fitted


def normalise_steps(advantages: Tensor, floor: float) -> Tensor:
    """Divide by the standard deviation over all episodes at the same step, at least `floor` of the largest, (T, B).

    The first steps of an episode halve the MLU and the last ones gain a few per mille; with one scale for all, what
    decides in the end would hardly be learned.
    """
    scale = advantages.std(dim=1, keepdim=True)
    return advantages / scale.clamp(min=floor * float(scale.max()) + 1e-8)
