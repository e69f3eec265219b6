"""Training's speed by stage: `python -m tests.benchmarks.trainer`.

Whole iterations of `trainer.ppo` on one network: environment steps per second, learning included, and the microseconds
of each stage per step. Medians over the iterations; the first, which compiles and builds graphs, does not count.
Processor time (of all threads) beside wall-clock time: on a busy machine only the former tells something.

The published code, TensorFlow, takes 6.5 ms to act and step once on NSFNet and 26 ms on GEANT2, without learning.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from trainer.args import PRESETS, Args
from trainer.clock import STAGES
from trainer.instances import InstanceSource
from trainer.ppo import Trainer, make_players

_PUBLISHED = {"nsfnet": 6.5e-3, "geant2": 26e-3}  # seconds


def measure(args: Args, iterations: int, timer: Callable[[], float]) -> dict[str, float]:
    """Return steps per second: of everything, of the rollouts, of each stage."""
    with closing(make_players(args)) as players:
        trainer = Trainer(args, InstanceSource(args.topologies, None, args.seed), players, timer)
        found = [trainer.iterate() for _ in range(1 + iterations)][1:]
    wanted = ["charts/SPS", "charts/SPS_rollout", *(f"speed/{stage}" for stage in STAGES)]
    return {name: statistics.median(metrics[name] for metrics in found) for name in wanted}


def show(args: Args, network: str, iterations: int) -> None:
    """Measure with both clocks and print two lines."""
    for clock, timer in (("wall-clock", time.perf_counter), ("processor", time.process_time)):
        speed = measure(replace(args, topologies=(network,)), iterations, timer)
        stages = "  ".join(f"{stage} {1e6 / speed[f'speed/{stage}']:.0f}" for stage in STAGES)
        whole, rollout = speed["charts/SPS"], speed["charts/SPS_rollout"]
        faster = f"{rollout * _PUBLISHED[network]:.0f} x published" if network in _PUBLISHED else ""
        print(
            f"{args.preset:<10} {network:<7} {clock:<10} {whole:7.0f} steps/s, 1 M in {1e6 / whole / 60:5.1f} min; "
            f"rollouts {rollout:7.0f} steps/s {faster:<16} us: {stages}",
            flush=True,
        )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["default", "lookahead", "paper"], choices=list(PRESETS))
    parser.add_argument("--networks", nargs="+", default=["nsfnet", "geant2"])
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--instances", type=int, help="instances per iteration [the preset's]")
    parser.add_argument("--threads", type=int, help="torch threads [the preset's]")
    parser.add_argument("--workers", type=int, default=0, help="processes that play the episodes [0]")
    parser.add_argument("--inference", choices=["exact", "torch"], help="of the rollouts [the preset's]")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for name in options.presets:
        args = replace(PRESETS[name], workers=options.workers, device=options.device)
        for field in ("threads", "inference"):
            if getattr(options, field) is not None:
                args = replace(args, **{field: getattr(options, field)})
        if options.instances is not None:
            args = replace(args, num_instances=options.instances)
        for network in options.networks:
            show(args, network, options.iterations)


if __name__ == "__main__":
    main()
