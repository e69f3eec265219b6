"""Proximal policy optimisation over whole networks: `python -m trainer.ppo --help`.

One iteration, as in the paper (003, IV-C) and in CleanRL's words:

1. `rollout`: `num_envs` episodes of T steps with the current policy. All links of a network form *one* categorical
   distribution; its logits come from the links' readouts (Algorithm 1), so this is single-agent PPO with a policy that
   many agents evaluate together.
2. `estimate_advantages`: `gae` with a critic; or `group_means` without one: what an episode gained beyond the mean of
   the episodes that started from the same instance, at the same step.
3. `update`: a few passes of minibatch gradient steps on the clipped objective.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policy.checkpoint import load_checkpoint, save_checkpoint
from policy.mpnn import PRESETS
from routing.errors import InputError
from trainer.advantages import discounted_returns, gae, group_baseline, normalise_steps
from trainer.args import Args, parse
from trainer.env import VecEnv, rewards
from trainer.instances import InstanceSource
from trainer.logs import RunLog
from trainer.model import Actor, Agent, Critic, initialise
from trainer.rollout import Trajectory, Validation, rollout


def clipped_loss(logprob: Tensor, old_logprob: Tensor, advantages: Tensor, clip_coef: float) -> Tensor:
    """PPO's objective as a loss: mean of max(-A r, -A clip(r, 1 - c, 1 + c)) with r the probability ratio."""
    ratio = (logprob - old_logprob).exp()
    return torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - clip_coef, 1 + clip_coef)).mean()


def estimate_advantages(trajectories: Sequence[Trajectory], args: Args) -> dict[str, float]:
    """Fill in advantages and returns; report how much of the returns' variance the baseline explains."""
    baselines, all_returns = [], []
    for trajectory in trajectories:
        reward = torch.from_numpy(rewards(trajectory.block.mlu, args.reward)).float()
        if args.baseline == "critic":
            trajectory.advantages = gae(reward, trajectory.values, args.gamma, args.gae_lambda)
            trajectory.returns = trajectory.advantages + trajectory.values[:-1]
            baseline = trajectory.values[:-1]
        else:
            trajectory.returns = discounted_returns(reward, args.gamma)
            mlu = torch.from_numpy(trajectory.block.mlu)
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


def minibatches(
    trajectories: Sequence[Trajectory], num_minibatches: int, fraction: float, generator: torch.Generator
) -> Iterator[list[tuple[Trajectory, Tensor, Tensor]]]:
    """Cut a random `fraction` of all (step, episode) samples into minibatches, each with its share of every block."""
    shares = []
    for trajectory in trajectories:
        steps, envs = trajectory.actions.shape
        chosen = torch.randperm(steps * envs, generator=generator)[: int(fraction * steps * envs)]
        usable = len(chosen) // num_minibatches * num_minibatches  # equal sizes, so that graphs are built once
        shares.append(chosen[:usable].view(num_minibatches, -1))
    for i in range(num_minibatches):
        yield [
            (t, share[i] // t.actions.shape[1], share[i] % t.actions.shape[1])
            for t, share in zip(trajectories, shares, strict=True)
        ]


def update(
    trajectories: Sequence[Trajectory],
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    args: Args,
    generator: torch.Generator,
) -> dict[str, float]:
    """Improve the agent on what was collected; return the metrics of the last pass."""
    metrics: dict[str, float] = {}
    for _ in range(args.update_epochs):
        sums = np.zeros(6)
        for batch in minibatches(trajectories, args.num_minibatches, args.sample_fraction, generator):
            parts = [(t.block.topology, t.features[steps, envs]) for t, steps, envs in batch]
            log_probs, values = agent(parts)
            old, advantages, returns = (
                torch.cat([getattr(t, name)[steps, envs] for t, steps, envs in batch])
                for name in ("logprob", "advantages", "returns")
            )
            chosen = torch.cat(
                [lp.gather(1, t.actions[s, e][:, None])[:, 0] for lp, (t, s, e) in zip(log_probs, batch, strict=True)]
            )
            entropy = torch.cat([-(lp.exp() * lp).sum(dim=1) for lp in log_probs]).mean()
            pg_loss = clipped_loss(chosen, old, advantages, args.clip_coef)
            v_loss = 0.5 * (torch.cat(values) - returns).square().mean()
            loss = pg_loss - args.ent_coef * entropy
            if agent.critic is not None:
                loss = loss + args.vf_coef * v_loss
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()
            with torch.no_grad():
                log_ratio = chosen - old
                approx_kl = (log_ratio.exp() - 1 - log_ratio).mean()
                clipfrac = ((log_ratio.exp() - 1).abs() > args.clip_coef).float().mean()
            sums += [float(x.detach()) for x in (pg_loss, v_loss, entropy, approx_kl, clipfrac, norm)]
        names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clipfrac", "grad_norm")
        metrics = {f"losses/{name}": x / args.num_minibatches for name, x in zip(names, sums, strict=True)}
        if args.target_kl is not None and metrics["losses/approx_kl"] > args.target_kl:
            break
    return metrics


def make_agent(args: Args) -> Agent:
    """Networks with weights from `args.seed`; the skip connection starts as sampled greedy, exp(3 u / max u)."""
    preset = PRESETS[args.preset]
    preset = preset if args.rounds is None else replace(preset, rounds=args.rounds)
    generator = torch.Generator().manual_seed(args.seed)
    actor, critic = Actor(preset), Critic(preset) if args.baseline == "critic" else None
    # Without a skip connection a small last layer would also starve the gradients below it.
    initialise(actor, generator, last_gain=0.01 if preset.skip else 1.0, skip=3.0)
    if critic is not None:
        initialise(critic, generator, last_gain=1.0)
    return Agent(actor, critic).to(args.device)


class Trainer:
    """The training loop and what lasts from one iteration to the next."""

    def __init__(self, args: Args, source: InstanceSource) -> None:
        torch.set_num_threads(args.threads)
        self.args = args
        self.agent = make_agent(args)
        self.source = source
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=args.learning_rate, eps=args.adam_eps)
        self.generator = torch.Generator().manual_seed(args.seed)
        self.global_step = 0
        self.iteration = 0

    def set_learning_rate(self, progress: float) -> None:
        """Linear from the first to the last iteration, `progress` in 0..1."""
        fraction = 1 - (1 - self.args.final_lr_fraction) * min(progress, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = fraction * self.args.learning_rate

    def iterate(self) -> dict[str, float]:
        """One rollout and one update."""
        args, started = self.args, time.perf_counter()
        draw = self.iteration // args.matrix_iterations
        instances = self.source.train(draw, args.num_instances)
        instances += self.source.random_networks(draw, args.generated, args.sizes)
        env = VecEnv(instances, self.agent.actor.preset.features, args.group_size)
        trajectories = rollout(env, self.agent, self.generator)
        collected = time.perf_counter()
        metrics = estimate_advantages(trajectories, args)
        metrics |= update(trajectories, self.agent, self.optimizer, args, self.generator)
        self.iteration += 1
        self.global_step += env.num_steps
        gain = [np.log(block.mlu[0] / block.best_mlu).mean() for block in env.blocks]
        reward = [rewards(block.mlu, args.reward).sum(axis=0).mean() for block in env.blocks]
        now = time.perf_counter()
        return metrics | {
            "charts/reward": float(np.mean(reward)),
            "charts/log_gain": float(np.mean(gain)),
            "charts/learning_rate": self.optimizer.param_groups[0]["lr"],
            "charts/SPS": env.num_steps / (now - started),
            "charts/SPS_rollout": env.num_steps / (collected - started),
        }

    def save(self, path: Path, **more: str) -> None:
        """Write the actor as a checkpoint that says where it comes from."""
        args = self.args
        metadata = {
            "command": shlex.join(["python", "-m", "trainer.ppo", *sys.argv[1:]]),
            "arguments": json.dumps(asdict(args), default=str),
            "seed": str(args.seed),
            "data": self.source.description,
            "start": "random weights 1..4",
            "iterations": str(self.iteration),
            "environment_steps": str(self.global_step),
            "temperature": f"{args.temperature:g}",
        }
        save_checkpoint(path, self.agent.actor.preset, self.agent.actor.export(), metadata | more)


def train(args: Args) -> None:
    """Train, validate now and then, keep `last.safetensors` and `best.safetensors` in `args.out`."""
    source = InstanceSource(args.topologies, args.data, args.seed, args.stretch)
    trainer, validation = Trainer(args, source), Validation(source.validation(args.validation_matrices))
    if args.resume is not None:
        trainer.agent.actor.load(load_checkpoint(args.resume).parameters)
    started, best = time.monotonic(), (float("inf"), float("inf"))
    args.out.mkdir(parents=True, exist_ok=True)
    with RunLog(args.out, args) as log:
        done = 0.0
        while done < 1:
            trainer.set_learning_rate(done)
            metrics = trainer.iterate()
            log.advance(trainer.iteration)
            done = trainer.iteration / args.iterations
            if args.minutes is not None:
                done = max(done, (time.monotonic() - started) / 60 / args.minutes)
            if trainer.iteration % args.validate_every == 0 or done >= 1:
                one, several = validation.ratios(
                    trainer.agent, copies=args.validation_copies, temperature=args.temperature
                )
                metrics |= {"validation/ratio_to_greedy": one, "validation/best_ratio_to_greedy": several}
                minutes = (time.monotonic() - started) / 60
                more = {
                    "minutes": f"{minutes:.1f}",
                    "validation": f"{one:.4f} of greedy, best of {args.validation_copies} {several:.4f}",
                }
                trainer.save(args.out / "last.safetensors", **more)
                if one < best[0]:
                    best = (one, several)
                    trainer.save(args.out / "best.safetensors", **more)
                progress = f"{minutes:.1f} min, {trainer.global_step:,} steps"
                log.say(f"iteration {trainer.iteration}: {more['validation']}, {progress}")
            log.record(metrics, trainer.global_step)
        # Temperatures are chosen on the validation matrices, like the checkpoint itself.
        chosen = load_checkpoint(args.out / "best.safetensors")
        trainer.agent.actor.load(chosen.parameters)
        single, several = validation.temperatures(trainer.agent, 2 * args.validation_copies)
        metadata = chosen.metadata | {"temperature": f"{single:g}", "temperature_best_of_several": f"{several:g}"}
        save_checkpoint(args.out / "best.safetensors", chosen.preset, chosen.parameters, metadata)
        log.say(f"best: {chosen.metadata['validation']}; temperature {single:g}, for the best of several {several:g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = parse(argv)
    try:
        if args.smoke:
            from trainer.smoke import smoke  # it imports this module

            return smoke(args)
        train(args)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
