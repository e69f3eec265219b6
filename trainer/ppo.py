"""Proximal policy optimisation over whole networks: `python -m trainer.ppo --help`.

One iteration, as in the paper (003, IV-C) and in CleanRL's words:

1. `trainer.rollout`: `num_envs` episodes of T steps with the current policy. All links of a network form *one*
   categorical distribution; its logits come from the links' readouts (Algorithm 1), so this is single-agent PPO with a
   policy that many agents evaluate together.
2. `trainer.learning.estimate_advantages`: with a critic, the generalised advantage estimate; without one, what an
   episode gained beyond the mean of the episodes that started from the same instance, at the same step.
3. `trainer.learning.update`: a few passes of minibatch gradient steps on the clipped objective.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policy.checkpoint import load_checkpoint, save_checkpoint
from policy.mpnn import PRESETS
from routing.errors import InputError
from trainer.args import Args
from trainer.clock import STAGES, Clock
from trainer.env import rewards
from trainer.instances import InstanceSource
from trainer.learning import estimate_advantages, update
from trainer.logs import RunLog
from trainer.model import Actor, Agent, Critic, initialise
from trainer.operations import keep_memory
from trainer.players import InProcesses, InThisProcess, Players, Task
from trainer.resume import NAME, arguments, read_state, write_state
from trainer.rollout import trajectories
from trainer.validation import Validation


def torch_device(name: str) -> torch.device:
    """Return the device, made to repeat itself bit for bit; InputError where this machine does not have it."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name}: {reason}, expected a device of this machine, such as cpu") from error
    if device.type == "cuda":
        # Sums over messages would otherwise be added up in any order. A warning names what cannot repeat itself.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def make_agent(args: Args) -> Agent:
    """Networks with weights from `args.seed`; the skip connection starts as sampled greedy, exp(3 u / max u)."""
    preset = PRESETS[args.preset]
    preset = preset if args.rounds is None else replace(preset, rounds=args.rounds)
    preset = preset if args.features is None else replace(preset, features=args.features)
    if (size := args.hidden) is not None:
        encode = (*preset.encode[:-1], size) if preset.encode else ()
        preset = replace(preset, hidden=size, encode=encode, update=(*preset.update[:-1], size))
    generator = torch.Generator().manual_seed(args.seed)
    actor, critic = Actor(preset), Critic(preset) if args.baseline == "critic" else None
    # Without a skip connection a small last layer would also starve the gradients below it.
    initialise(actor, generator, last_gain=0.01 if preset.skip else 1.0, skip=3.0)
    if critic is not None:
        initialise(critic, generator, last_gain=1.0)
    return Agent(actor, critic).to(torch_device(args.device))


def make_players(args: Args) -> Players:
    """Whoever plays the episodes; InputError where the arguments contradict each other."""
    if args.inference == "torch":
        if args.ray or args.workers:
            raise InputError("--inference torch plays in this process, expected neither --workers nor --ray")
        return InThisProcess(batched=True)
    if args.ray:
        from trainer.cluster import InCluster  # Ray is an extra of its own

        return InCluster(args.ray, max(args.workers, 1))
    return InProcesses(args.workers) if args.workers else InThisProcess()


class Trainer:
    """The training loop and what lasts from one iteration to the next."""

    def __init__(
        self,
        args: Args,
        source: InstanceSource,
        players: Players | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        # A critic learns in a thread of its own (`trainer.learning`): the two share the threads.
        torch.set_num_threads(max(args.threads // 2, 1) if args.baseline == "critic" else args.threads)
        keep_memory()
        self.args = args
        self.agent = make_agent(args)
        self.source = source
        self.players = players or InThisProcess(batched=args.inference == "torch")
        self.timer = timer
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
        args, clock, started = self.args, Clock(self.timer), self.timer()
        draw = self.iteration // args.matrix_iterations
        instances = self.source.train(draw, args.num_instances)
        instances += self.source.random_networks(draw, args.generated, args.sizes)
        first = self.iteration * len(instances) * args.group_size
        plays = self.players.play(self.agent, Task(instances, args.group_size, args.seed, first), clock)
        collected = self.timer()
        paths = trajectories(plays, instances, args.group_size, first)
        with clock.stage("learning"):
            metrics = estimate_advantages(paths, self.agent, args)
            metrics |= update(paths, self.agent, self.optimizer, args, self.generator)
        steps = sum(path.actions.numel() for path in paths)
        self.iteration += 1
        self.global_step += steps
        gain = [np.log(path.mlu[0] / path.mlu.min(axis=0)).mean() for path in paths]
        reward = [rewards(path.mlu, args.reward).sum(axis=0).mean() for path in paths]
        return metrics | {
            "charts/reward": float(np.mean(reward)),
            "charts/log_gain": float(np.mean(gain)),
            "charts/learning_rate": self.optimizer.param_groups[0]["lr"],
            "charts/SPS": steps / (self.timer() - started),
            "charts/SPS_rollout": steps / (collected - started),
            **{f"speed/{stage}": steps / max(clock.seconds[stage], 1e-9) for stage in STAGES},
        }

    def state(self) -> dict[str, Any]:
        """Everything that the next iterations depend on."""
        return {
            "agent": self.agent.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "iteration": self.iteration,
            "global_step": self.global_step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.agent.load_state_dict(state["agent"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.iteration, self.global_step = state["iteration"], state["global_step"]

    def save(self, path: Path, **more: str) -> None:
        """Write the actor as a checkpoint that says where it comes from."""
        args = self.args
        metadata = {
            "command": shlex.join(["python", "-m", "trainer.ppo", *sys.argv[1:]]),
            "arguments": json.dumps(asdict(args), default=str),
            "seed": str(args.seed),
            "data": self.source.description,
            "start": "the same weights 1..4" if args.fixed_start else "random weights 1..4",
            "iterations": str(self.iteration),
            "environment_steps": str(self.global_step),
            "temperature": f"{args.temperature:g}",
        }
        save_checkpoint(path, self.agent.actor.preset, self.agent.actor.export(), metadata | more)


def train(args: Args) -> None:
    """Train, validate now and then, keep `last.safetensors`, `best.safetensors` and the run's state in `args.out`."""
    if args.resume is None and (args.out / NAME).exists():
        raise InputError(f"is a run already, expected another --out, or --resume {args.out} to continue it", args.out)
    torch_device(args.device)
    with closing(make_players(args)) as players:
        args.out.mkdir(parents=True, exist_ok=True)
        _train(args, players)


def _train(args: Args, players: Players) -> None:
    source = InstanceSource(
        args.topologies, args.data, args.seed, args.stretch, matrices=args.matrices, fixed_start=args.fixed_start
    )
    trainer = Trainer(args, source, players)
    # Always by the routers' kernels: what is chosen here is what they will run.
    exact = InThisProcess() if args.inference == "torch" else players
    validation = Validation(source.validation(args.validation_matrices), exact)
    if args.init is not None:
        trainer.agent.actor.load(load_checkpoint(args.init).parameters)
    done, elapsed, best = 0.0, 0.0, float("inf")
    if args.resume is not None:
        for half_written in args.out.glob(".*.safetensors.*"):
            half_written.unlink()
        state = read_state(args.resume)
        trainer.restore(state["trainer"])
        done, elapsed, best = state["done"], state["elapsed"], state["best"]
    started = time.monotonic() - elapsed
    with RunLog(args.out, args, trainer.global_step if args.resume else None) as log:
        log.advance(trainer.iteration)
        while done < 1:
            trainer.set_learning_rate(done)
            metrics = trainer.iterate()
            log.advance(trainer.iteration)
            done = trainer.iteration / args.iterations
            elapsed = time.monotonic() - started
            if args.minutes is not None:
                done = max(done, elapsed / 60 / args.minutes)
            if trainer.iteration % args.validate_every == 0 or done >= 1:
                scores = validation.scores(trainer.agent, copies=args.validation_copies, temperature=args.temperature)
                metrics |= {
                    "validation/ratio_to_greedy": scores.one,
                    "validation/best_ratio_to_greedy": scores.best,
                    "validation/ratio_to_bound": scores.one_to_bound,
                    "validation/best_ratio_to_bound": scores.best_to_bound,
                }
                more = {
                    "minutes": f"{elapsed / 60:.1f}",
                    "validation": f"{scores.one:.4f} of greedy, best of {args.validation_copies} {scores.best:.4f}",
                }
                trainer.save(args.out / "last.safetensors", **more)
                if scores.one < best:
                    best = scores.one
                    trainer.save(args.out / "best.safetensors", **more)
                progress = f"{elapsed / 60:.1f} min, {trainer.global_step:,} steps"
                log.say(
                    f"iteration {trainer.iteration}: {more['validation']}; {scores.one_to_bound:.4f} of the bound, "
                    f"{scores.best_to_bound:.4f}; {progress}"
                )
            log.record(metrics, trainer.global_step)
            write_state(args.out, args, {"trainer": trainer.state(), "done": done, "elapsed": elapsed, "best": best})
        # Temperatures are chosen on the validation matrices, like the checkpoint itself.
        chosen = load_checkpoint(args.out / "best.safetensors")
        trainer.agent.actor.load(chosen.parameters)
        single, several = validation.temperatures(trainer.agent, 2 * args.validation_copies)
        metadata = chosen.metadata | {"temperature": f"{single:g}", "temperature_best_of_several": f"{several:g}"}
        save_checkpoint(args.out / "best.safetensors", chosen.preset, chosen.parameters, metadata)
        log.say(f"best: {chosen.metadata['validation']}; temperature {single:g}, for the best of several {several:g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        args = arguments(sys.argv[1:] if argv is None else argv)
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
