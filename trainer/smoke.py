"""The quick proof that the trainer learns: `python -m trainer.ppo --smoke`, in continuous integration.

For each of three seeds: train briefly on random networks of 8 to 10 nodes, then compare the trained and the untrained
policy on a network of 12 nodes that training never saw: same matrices, same start weights, same random numbers. The
untrained policy's logits are 3 u / max u: it already prefers loaded links.
"""

from __future__ import annotations

import time
from dataclasses import replace

from trainer.args import Args
from trainer.instances import PROFILES, Instance, InstanceSource, generated_matrix, random_topology, random_weights
from trainer.ppo import Trainer
from trainer.validation import Validation

SEEDS = (1, 2, 3)
MIN_GAIN = 0.08  # of the mean best MLU of an episode, on each seed


def held_out(seed: int) -> list[Instance]:
    """Six matrices of each profile on a random network that no training draws (pools end at seed 200)."""
    topology = random_topology(10_000 + seed, 12)
    return [
        Instance(
            topology, generated_matrix(topology, profile, i), random_weights(topology.num_links, seed, i),
            int(2.75 * topology.num_links), profile,
        )
        for profile in PROFILES
        for i in range(6)
    ]  # fmt: skip


def smoke(args: Args) -> int:
    """Return 0 if every seed gains at least `MIN_GAIN`, else 1; one line per seed."""
    worst = float("inf")
    for seed in SEEDS:
        started = time.monotonic()
        short = replace(args, seed=seed, iterations=24, num_instances=0, generated=8, sizes=(8, 10))
        source = InstanceSource((), None, seed)
        trainer, validation = Trainer(short, source), Validation(held_out(seed))
        before = validation.scores(trainer.agent, copies=4, temperature=1.0).one
        while trainer.iteration < short.iterations:
            trainer.set_learning_rate(trainer.iteration / short.iterations)
            trainer.iterate()
        after = validation.scores(trainer.agent, copies=4, temperature=1.0).one
        gain = 1 - after / before
        worst = min(worst, gain)
        print(
            f"seed {seed}: held-out MLU / greedy's {before:.3f} -> {after:.3f}, {100 * gain:.1f} % lower (at least "
            f"{100 * MIN_GAIN:.0f} % expected), {trainer.global_step:,} steps in {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return 0 if worst >= MIN_GAIN else 1
