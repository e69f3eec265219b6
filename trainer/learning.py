"""The arithmetic of proximal policy optimisation: advantages, minibatches, gradient steps.

Random numbers come from a generator on the CPU whatever the device, so that all devices draw the same minibatches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from trainer.advantages import discounted_returns, gae, group_baseline, normalise_steps
from trainer.args import Args
from trainer.env import rewards
from trainer.model import Agent
from trainer.rollout import Trajectory

METRICS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clipfrac", "grad_norm")
_VALUED_AT_ONCE = 100  # states: the critic's hidden states then stay in the second-level cache


def clipped_loss(logprob: Tensor, old_logprob: Tensor, advantages: Tensor, clip_coef: float) -> Tensor:
    """PPO's objective as a loss: mean of max(-A r, -A clip(r, 1 - c, 1 + c)) with r the probability ratio."""
    ratio = (logprob - old_logprob).exp()
    return torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - clip_coef, 1 + clip_coef)).mean()


@torch.no_grad()
def estimate_values(trajectory: Trajectory, agent: Agent) -> Tensor:
    """Return the critic's values, (T+1, B), zero after the last step."""
    steps, envs = trajectory.actions.shape
    states = trajectory.features.flatten(0, 1)
    parts = (part.to(agent.device) for part in torch.split(states, _VALUED_AT_ONCE))
    values = torch.cat([agent.values(trajectory.topology, part) for part in parts])
    return torch.cat([values.cpu().view(steps, envs), torch.zeros(1, envs)])


def estimate_advantages(trajectories: Sequence[Trajectory], agent: Agent, args: Args) -> dict[str, float]:
    """Fill in values, advantages and returns; report how much of the returns' variance the baseline explains."""
    baselines, all_returns = [], []
    for trajectory in trajectories:
        reward = torch.from_numpy(rewards(trajectory.mlu, args.reward)).float()
        if args.baseline == "critic":
            trajectory.values = estimate_values(trajectory, agent)
            trajectory.advantages = gae(reward, trajectory.values, args.gamma, args.gae_lambda)
            trajectory.returns = trajectory.advantages + trajectory.values[:-1]
            baseline = trajectory.values[:-1]
        else:
            trajectory.returns = discounted_returns(reward, args.gamma)
            mlu = torch.from_numpy(trajectory.mlu)
            baseline = group_baseline(trajectory.returns.double(), mlu, args.group_size).float()
            trajectory.advantages = trajectory.returns - baseline
        baselines.append(baseline.flatten())
        all_returns.append(trajectory.returns.flatten())
    explained = 1 - (torch.cat(all_returns) - torch.cat(baselines)).var() / torch.cat(all_returns).var()
    if args.normalise == "rollout":
        everything = torch.cat([t.advantages.flatten() for t in trajectories])
        for trajectory in trajectories:
            trajectory.advantages = (trajectory.advantages - everything.mean()) / (everything.std() + 1e-8)
    else:
        for trajectory in trajectories:
            trajectory.advantages = normalise_steps(trajectory.advantages, args.normalise_floor)
    return {"losses/explained_variance": float(explained)}


Minibatch = list[tuple[Trajectory, Tensor, Tensor]]
"""A trajectory, and the steps and episodes (n,) to take from it; as many as there are topologies."""


def minibatches(
    trajectories: Sequence[Trajectory], num_minibatches: int, fraction: float, generator: torch.Generator
) -> Iterator[Minibatch]:
    """Cut a random `fraction` of all (step, episode) samples into minibatches, each with its share of every block."""
    shares = []
    for trajectory in trajectories:
        steps, envs = trajectory.actions.shape
        chosen = torch.randperm(steps * envs, generator=generator)[: int(fraction * steps * envs)]
        usable = len(chosen) // num_minibatches * num_minibatches  # equal sizes, so that graphs are built once
        shares.append(chosen[:usable].view(num_minibatches, -1).to(trajectory.actions.device))
    for i in range(num_minibatches):
        yield [
            (t, share[i] // t.actions.shape[1], share[i] % t.actions.shape[1])
            for t, share in zip(trajectories, shares, strict=True)
        ]


def _policy_backward(batch: Minibatch, agent: Agent, args: Args) -> list[Tensor]:
    """Add the actor's gradients; return its part of `METRICS`."""
    log_probs = [y.log_softmax(dim=1) for y in agent.logits([(t.topology, t.features[s, e]) for t, s, e in batch])]
    old, advantages = (torch.cat([getattr(t, name)[s, e] for t, s, e in batch]) for name in ("logprob", "advantages"))
    chosen = torch.cat(
        [lp.gather(1, t.actions[s, e][:, None])[:, 0] for lp, (t, s, e) in zip(log_probs, batch, strict=True)]
    )
    entropy = torch.cat([-(lp.exp() * lp).sum(dim=1) for lp in log_probs]).mean()
    pg_loss = clipped_loss(chosen, old, advantages, args.clip_coef)
    (pg_loss - args.ent_coef * entropy).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        log_ratio = chosen - old
        approx_kl = (log_ratio.exp() - 1 - log_ratio).mean()
        clipfrac = ((log_ratio.exp() - 1).abs() > args.clip_coef).float().mean()
    return [pg_loss.detach(), entropy.detach(), approx_kl, clipfrac]


def _value_backward(batch: Minibatch, agent: Agent, args: Args) -> Tensor:
    """Add the critic's gradients, where there is one; return its loss."""
    values = torch.cat([agent.values(t.topology, t.features[s, e]) for t, s, e in batch])
    v_loss = 0.5 * (values - torch.cat([t.returns[s, e] for t, s, e in batch])).square().mean()
    if agent.critic is not None:
        (args.vf_coef * v_loss).backward()  # type: ignore[no-untyped-call]
    return v_loss.detach()


def gradient_step(
    batch: Minibatch, agent: Agent, optimizer: torch.optim.Optimizer, args: Args, aside: Executor | None = None
) -> Tensor:
    """Take one step on the clipped objective; return `METRICS` as one tensor on the agent's device.

    aside : where the critic's gradients are computed meanwhile: it shares no parameter with the actor, so the result is
        the same bit for bit
    """
    optimizer.zero_grad()
    if aside is None:
        pg_loss, entropy, approx_kl, clipfrac = _policy_backward(batch, agent, args)
        v_loss = _value_backward(batch, agent, args)
    else:
        critic = aside.submit(_value_backward, batch, agent, args)
        pg_loss, entropy, approx_kl, clipfrac = _policy_backward(batch, agent, args)
        v_loss = critic.result()
    norm = nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
    optimizer.step()
    return torch.stack([pg_loss, v_loss, entropy, approx_kl, clipfrac, norm])


def update(
    trajectories: Sequence[Trajectory],
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    args: Args,
    generator: torch.Generator,
) -> dict[str, float]:
    """Improve the agent on what was collected; return the metrics of the last pass."""
    for trajectory in trajectories:
        trajectory.to(agent.device)
    metrics: dict[str, float] = {}
    both = agent.critic is not None and args.threads > 1
    with ThreadPoolExecutor(1) if both else nullcontext() as aside:
        for _ in range(args.update_epochs):
            batches = minibatches(trajectories, args.num_minibatches, args.sample_fraction, generator)
            steps = torch.stack([gradient_step(batch, agent, optimizer, args, aside) for batch in batches])
            # The one moment in a pass when the CPU waits for the device.
            metrics = {f"losses/{name}": x for name, x in zip(METRICS, steps.mean(dim=0).tolist(), strict=True)}
            if args.target_kl is not None and metrics["losses/approx_kl"] > args.target_kl:
                break
    return metrics
