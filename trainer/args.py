"""The arguments of `python -m trainer.ppo`: one dataclass, two presets.

The words are CleanRL's. An *instance* is one (topology, traffic matrix, start weights); a *group* is the `group_size`
episodes that start from the same instance and differ only in what they sample.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from routing.errors import InputError


@dataclass(frozen=True)
class Args:
    """Train a policy with PPO on NSFNet and GEANT2 (GBN is never seen)."""

    preset: Literal["default", "lookahead", "moves", "paper"] = "default"
    """which defaults the other arguments have, and which network is trained"""
    seed: int = 1
    """seed of parameters, instances and samples"""
    data: Path | None = None
    """folder of the published data set (marl-gnn-te): 0-79 train, 80-99 validate; without it matrices are generated"""
    out: Path = Path("runs/ppo")
    """folder for TensorBoard, the last and the best checkpoint"""
    init: Path | None = None
    """checkpoint to start from: its parameters, nothing else"""
    resume: Path | None = None
    """folder of a run to continue: its arguments, and the parameters that it would have without the interruption"""
    topologies: tuple[str, ...] = ("nsfnet", "geant2")
    """networks to train and validate on"""
    generated: int = 0
    """instances on random networks, added to every iteration's"""
    sizes: tuple[int, int] = (8, 30)
    """fewest and most nodes of a random network"""

    iterations: int = 600
    """rollouts, each followed by one update"""
    minutes: float | None = None
    """stop after this time even if iterations are left (the learning rate then follows the clock)"""
    num_instances: int = 16
    """instances per iteration"""
    group_size: int = 8
    """episodes per instance and iteration; num_envs = num_instances * group_size"""
    matrix_iterations: int = 1
    """iterations for which the instances stay the same (the paper keeps a matrix for 50 episodes)"""
    matrices: int | None = None
    """training matrices per network and profile, in turn (paper: 100; the data set leaves 80); else drawn from all"""
    fixed_start: bool = False
    """start all episodes on a network from the same weights, the paper's with --data; else from drawn ones"""
    stretch: float = 1.0
    """episode length in units of the default T (100 for nsfnet, 150 for gbn, 200 for geant2)"""

    reward: Literal["log", "relative", "paper"] = "log"
    """log: log(best_t / best_t+1) of the lowest MLU so far; relative: log(MLU_t / MLU_t+1); paper: MLU_t - MLU_t+1"""
    baseline: Literal["group", "critic"] = "group"
    """group: mean over the group at the same step; critic: a second network"""
    gamma: float = 0.97
    """discount"""
    gae_lambda: float = 1.0
    """lambda of the generalised advantage estimate"""
    normalise: Literal["step", "rollout"] = "step"
    """advantages get standard deviation 1 among a network's episodes at the same step, or over the rollout"""
    normalise_floor: float = 0.02
    """with `step`: smallest standard deviation to divide by, relative to the largest"""
    sample_fraction: float = 0.25
    """share of an episode's steps that gives gradients"""
    update_epochs: int = 2
    """passes over a rollout"""
    num_minibatches: int = 4
    """minibatches per pass"""
    learning_rate: float = 3e-3
    """Adam's step size"""
    final_lr_fraction: float = 0.05
    """the learning rate falls linearly to this share of it"""
    adam_eps: float = 1e-5
    """Adam's epsilon"""
    clip_coef: float = 0.2
    """PPO's clip range of the probability ratio"""
    ent_coef: float = 0.0
    """weight of the entropy bonus"""
    vf_coef: float = 0.5
    """weight of the critic's loss"""
    max_grad_norm: float = 1.0
    """gradients are clipped to this norm"""
    target_kl: float | None = None
    """stop an update early beyond this approximate KL divergence"""

    features: Literal["default", "lookahead", "moves", "paper"] | None = None
    """what a link sees, instead of the network preset's; paper: its own utilization and weight, nothing else"""
    rounds: int | None = None
    """K, instead of the network preset's"""
    hidden: int | None = None
    """D, instead of the network preset's: without rounds, 40 for as many parameters as the default network uses"""
    temperature: float = 1.0
    """sampling temperature of validation during training (what the checkpoint recommends is chosen at the end)"""
    validate_every: int = 25
    """iterations between validations"""
    validation_matrices: int = 20
    """validation instances per network and traffic profile"""
    validation_copies: int = 4
    """episodes per validation instance (twice as many when the temperature is chosen)"""
    device: str = "cpu"
    """torch device for learning (cpu, cuda, cuda:1)"""
    threads: int = 1
    """torch threads; from 2 on a critic learns beside the actor, with half of them"""
    inference: Literal["exact", "torch"] = "exact"
    """logits of the rollouts: by the routers' kernels (as --workers and --ray need), or in torch batches on --device"""
    workers: int = 0
    """processes that play the episodes (0: this one); with `--ray local`, the CPUs of the cluster"""
    ray: str | None = None
    """Ray cluster that plays the episodes: local (on this machine), auto, HOST:PORT or ray://HOST:PORT"""
    smoke: bool = False
    """train three seeds briefly on random networks, check the gain on an unseen one, exit 1 if it is missing"""


# Where the paper's text and its stored configurations differ, the text is followed, but for Adam's eps: "0.9" stops
# learning, and the stored configurations have 0.1 or 1e-5. One matrix for 50 episodes is here 10 episodes at once in 5
# iterations, and a million steps on NSFNet see 100 matrices of each profile. The paper's minibatches are 25 steps of
# one episode; 100 of several are a quarter of the gradient steps and take a fifth less time.
# Steps that look ahead cost four times as much, updates the same: so more of each rollout gives gradients.
_LOOKAHEAD = Args(
    preset="lookahead", iterations=120, gamma=0.98, sample_fraction=0.4, num_minibatches=6, validation_copies=2
)
PRESETS = {
    "default": Args(),
    "lookahead": _LOOKAHEAD,
    "moves": replace(_LOOKAHEAD, preset="moves"),
    "paper": Args(
        preset="paper",
        iterations=250,
        num_instances=4,
        group_size=10,
        matrix_iterations=5,
        matrices=100,
        fixed_start=True,
        reward="paper",
        baseline="critic",
        gae_lambda=0.9,
        normalise="rollout",
        sample_fraction=1.0,
        update_epochs=3,
        num_minibatches=40,
        learning_rate=3e-4,
        final_lr_fraction=1.0,
        inference="torch",
        validation_matrices=10,
        validation_copies=1,
        clip_coef=0.25,
        ent_coef=0.001,
    ),
}


def option(argv: Sequence[str], name: str) -> str | None:
    """Return the value of one option before the command line is parsed: the other defaults follow from some."""
    for word, following in zip(argv, [*argv[1:], None], strict=False):
        if word == name:
            return following
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return None


def parse(argv: Sequence[str] | None = None, defaults: Args | None = None) -> Args:
    """Read the command line; what it does not say is as in `defaults`, else as in the preset."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if defaults is None:
        defaults = PRESETS.get(option(argv, "--preset") or "", PRESETS["default"])
    args = tyro.cli(Args, default=defaults, args=argv, prog="python -m trainer.ppo")
    _check(args)
    return args


def _check(args: Args) -> None:
    """Refuse what cannot be trained with; InputError says what was expected."""
    if not 0 <= args.seed < 1 << 63:
        raise InputError(f"--seed {args.seed}, expected 0 to 2**63 - 1")
    for name in (
        "iterations", "group_size", "matrix_iterations", "update_epochs", "num_minibatches", "validate_every",
        "validation_matrices", "validation_copies", "threads",
    ):  # fmt: skip
        if getattr(args, name) < 1:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}, expected at least 1")
    if min(args.num_instances, args.generated, args.workers) < 0 or args.num_instances + args.generated < 1:
        raise InputError("--num-instances, --generated or --workers: expected none below 0, and at least one instance")
    if args.num_instances and not args.topologies:
        raise InputError("no --topologies, expected at least one, or --num-instances 0 and --generated")
    if (args.rounds or 0) < 0 or (args.hidden is not None and args.hidden < 1):
        raise InputError("--rounds or --hidden: expected no fewer than 0 rounds and 1 hidden unit")
    if args.baseline == "group" and args.group_size < 2:
        raise InputError(f"--group-size {args.group_size}, expected at least 2 for --baseline group")
    if not 2 <= args.sizes[0] <= args.sizes[1]:
        raise InputError(f"--sizes {args.sizes[0]} {args.sizes[1]}, expected fewest and most nodes, from 2 on")
    if not 0 < args.sample_fraction <= 1:
        raise InputError(f"--sample-fraction {args.sample_fraction}, expected above 0, at most 1")
