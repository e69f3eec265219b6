"""The command `python -m policy.episode`: a planner's tool that optimises a network without agents."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from policy.checkpoint import load_checkpoint
from policy.episode import default_steps, default_threads, run_episode
from policy.sampling import NonFiniteLogit
from policy.schedule import MAX_STEPS
from routing.errors import InputError
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, load_traffic, uniform

_GENERATED = {"uniform": uniform, "gravity": gravity}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    arguments = _Parser(
        prog="python -m policy.episode",
        description="Optimise the OSPF weights of one network for one traffic matrix, in one process: the decisions "
        "that the routers' agents would take for the same arguments.",
    )
    arguments.add_argument(
        "topology", metavar="TOPOLOGY", help="nsfnet, gbn, geant2, synth:N:L or a file (docs/formats.md)"
    )
    arguments.add_argument(
        "--traffic", default="uniform", metavar="uniform|gravity|FILE", help="traffic matrix [uniform]"
    )
    arguments.add_argument(
        "--profile",
        metavar="NAME",
        help="capacity profile of the topology [gravity with --traffic gravity, else uniform]",
    )
    arguments.add_argument("--seed", type=_natural, default=1, help="of the generated traffic and of the samples [1]")
    arguments.add_argument("--steps", type=_natural, metavar="T", help="steps [100, 150, 200; else 2.75 per link]")
    arguments.add_argument("--checkpoint", default="default", metavar="NAME|FILE", help="the policy [default]")
    arguments.add_argument("--temperature", type=float, metavar="X", help="of the sampling [the checkpoint's]")
    arguments.add_argument("--increments", type=_natural, default=1, metavar="N", help="links per step [1]")
    arguments.add_argument("--threads", type=_natural, metavar="N", help="for routing [2 from 1000 nodes on, else 1]")
    arguments.add_argument(
        "--opening", type=_natural, metavar="N", help="links in the first step, then fewer [the checkpoint's]"
    )
    arguments.add_argument(
        "--patience",
        type=_natural,
        metavar="P",
        help="end after P steps that brought nothing better; 0: never [the checkpoint's]",
    )
    arguments.add_argument(
        "--episode", type=_natural, default=0, metavar="NUMBER", help="number of the first episode [0]"
    )
    arguments.add_argument(
        "--episodes", type=_natural, default=1, metavar="B", help="episodes; the best one counts [1]"
    )
    arguments.add_argument(
        "--initial", default="inverse-capacity", metavar="inverse-capacity|random:SEED|FILE", help="first weights"
    )
    arguments.add_argument("--no-ecmp", action="store_true", help="one next hop instead of equal shares")
    arguments.add_argument(
        "--json", action="store_true", help="print one JSON object with weights, actions and MLU per step"
    )
    return arguments


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number")
    return int(text)


def check_length(topology: Topology, steps: int | None, increments: int, opening: int | None) -> None:
    """Raise InputError unless a network can have an episode of so many steps and links per step; None: not given."""
    if steps is not None and not 0 <= steps <= MAX_STEPS:
        raise InputError(f"--steps {steps}, expected at most {MAX_STEPS}")
    for option, number in (("--increments", increments), ("--opening", opening)):
        if number is not None and not 1 <= number <= topology.num_links:
            raise InputError(f"{option} {number}, expected 1 to {topology.num_links}, the links of {topology.name}")


def checked_temperature(given: float | None) -> float | None:
    """Return a temperature in whole thousandths, as routers are told it, so that decisions agree; raises InputError."""
    if given is None:
        return None
    if not 0.001 <= given <= 1000:
        raise InputError(f"--temperature {given}, expected 0.001 to 1000")
    return round(1000 * given) / 1000


def _traffic(name_or_path: str, topology: Topology, seed: int) -> TrafficMatrix:
    if name_or_path in _GENERATED:
        return _GENERATED[name_or_path](topology, seed)
    if not Path(name_or_path).suffix:
        raise InputError(f"no traffic {name_or_path!r}, expected uniform, gravity or a file (.csv, .npy, .npz)")
    return load_traffic(name_or_path, topology)


def _run(argv: Sequence[str] | None) -> None:
    options = parser().parse_args(argv)
    if options.seed >= 1 << 64 or options.episode + options.episodes > 1 << 32:
        raise InputError("--seed or --episode is too large, expected at most 64 and 32 bits")
    if options.episodes < 1 or options.threads == 0:
        raise InputError("--episodes and --threads: expected at least 1")
    profile = options.profile or ("gravity" if options.traffic == "gravity" else "uniform")
    topology = load_topology(options.topology, profile)
    check_length(topology, options.steps, options.increments, options.opening)
    temperature = checked_temperature(options.temperature)
    traffic = _traffic(options.traffic, topology, options.seed)
    start = initial_weights(options.initial, topology)
    checkpoint = load_checkpoint(options.checkpoint)
    temperature = checkpoint.temperature if temperature is None else temperature
    steps = default_steps(topology) if options.steps is None else options.steps
    ospf = RoutingState(topology, traffic, inverse_capacity(topology), ecmp=not options.no_ecmp).mlu

    began = time.perf_counter()
    traces = [
        run_episode(
            topology,
            traffic,
            start,
            checkpoint,
            steps=steps,
            seed=options.seed,
            episode=options.episode + number,
            temperature=temperature,
            increments=options.increments,
            opening=options.opening,
            patience=options.patience,
            ecmp=not options.no_ecmp,
            threads=options.threads or default_threads(topology),
        )
        for number in range(options.episodes)
    ]
    seconds = time.perf_counter() - began
    best = min(range(len(traces)), key=lambda number: traces[number].best_mlu)
    trace = traces[best]
    if options.json:
        result = {
            "topology": topology.name,
            "traffic": traffic.name,
            "checkpoint": checkpoint.hash,
            "seed": options.seed,
            "episode": options.episode + best,
            "temperature": temperature,
            "steps": len(trace.actions),
            "seconds": seconds,
            "mlu_inverse_capacity": ospf,
            "best_step": trace.best_step,
            "best_mlu": trace.best_mlu,
            "mlu": trace.mlu.tolist(),
            "actions": [trace.chosen(step) for step in range(len(trace.actions))],
            "start_weights": start.tolist(),
            "best_weights": trace.best_weights.tolist(),
        }
        print(json.dumps(result))
        return
    changed = int((trace.best_weights != start).sum())
    policy = f"policy {checkpoint.preset.name} ({checkpoint.hash[:8]})"
    print(f"{topology.name}: {topology.num_nodes} nodes, {topology.num_links} links, traffic {traffic.name}")
    taken = sum(len(one.actions) for one in traces)
    early = f" ({taken} taken: nothing better came)" if taken < steps * len(traces) else ""
    print(f"{policy}: {len(traces)} x {steps} steps{early} in {1e3 * seconds:.1f} ms")
    print(f"MLU with inverse-capacity weights  {ospf:.4f}")
    print(f"MLU at the start                   {trace.mlu[0]:.4f}")
    print(f"MLU, best (step {trace.best_step})".ljust(35) + f"{trace.best_mlu:.4f}")
    print(f"weights changed                    {changed} of {topology.num_links}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after one line about what is wrong with the input."""
    try:
        _run(argv)
    except (InputError, NonFiniteLogit) as error:
        print(f"policy.episode: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 3
    return 0
