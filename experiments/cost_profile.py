"""Where the central engine's time goes: one episode, taken apart into what every decision consists of.

    python -m experiments.cost_profile --topology nsfnet,gbn,geant2 --checkpoints default,lookahead
    python -m experiments.cost_profile --topology synth500
    python -m experiments.cost_profile --topology synth1000 --increments 2

Processor time of one thread, the least of some repeats for each part. The decisions are those of `policy.episode`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from experiments.batch import Parser, command, natural
from experiments.cost import NETWORKS
from experiments.cost_case import LARGE_TEMPERATURE, load_problem
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import Episode
from policy.mpnn import Network
from policy.sampling import choose, quantise, scores
from policy.schedule import increments_at
from routing.errors import InputError
from routing.state import inverse_capacity

PARTS = ("features", "network", "draw", "routing")


@dataclass(frozen=True)
class Profile:
    """Seconds of processor time that one episode spends on each part.

    features : what links see; with look-ahead, trying weights is in it
    network : hidden states, rounds, logits
    draw : quantise, noise, choose
    routing : new weights, shortest paths, flows, loads, shifted shares, MLU
    """

    topology: str
    checkpoint: str
    decisions: int
    increments: int
    mlu: float
    features: float
    network: float
    draw: float
    routing: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.features + self.network + self.draw + self.routing


def profiled(name: str, checkpoint: Checkpoint, label: str, *, increments: int, seed: int) -> Profile:
    """Play an episode on a network's own or uniform traffic and return what it spent; raises InputError."""
    problem = load_problem(name, seed)
    topology, traffic, large = problem.topology, problem.traffic, problem.large
    temperature = LARGE_TEMPERATURE if large else checkpoint.temperature
    opening = 1 if large else checkpoint.opening
    decisions = -(-problem.steps // increments)
    patience = 0 if large else checkpoint.patience(decisions)
    network = Network(checkpoint.preset, checkpoint.parameters)
    state = Episode(
        topology, traffic, inverse_capacity(topology), decisions, checkpoint.preset.features, patience=patience
    )
    links = np.arange(topology.num_links, dtype=np.int32)
    clock = time.thread_time_ns
    spent = np.zeros(len(PARTS), dtype=np.int64)
    while not state.over:
        step = state.step
        marks = [clock()]
        features = state.features(links)
        marks.append(clock())
        logits = network.logits(topology, features)
        marks.append(clock())
        top = increments_at(step, decisions, opening, increments)
        chosen = choose(scores(quantise(logits, temperature), links, seed, 0, step), links, top)
        marks.append(clock())
        state.apply([link for _, link in chosen])
        marks.append(clock())
        spent += np.diff(marks)
    parts = dict(zip(PARTS, (spent / 1e9).tolist(), strict=True))
    return Profile(name, label, state.step, increments, state.best_mlu, **parts)


def least(profiles: Sequence[Profile]) -> Profile:
    """Return the least of each part over repeats of the same episode."""
    one = profiles[0]
    parts = {part: min(getattr(profile, part) for profile in profiles) for part in PARTS}
    return Profile(one.topology, one.checkpoint, one.decisions, one.increments, one.mlu, **parts)


def markdown(profiles: Sequence[Profile]) -> str:
    """Return the profiles as a table."""
    lines = [
        "| network | policy | decisions | links each | " + " | ".join(f"{part}, ms" for part in PARTS)
        + " | all, ms | us per decision |",
        "|---|---" + "|--:" * (len(PARTS) + 4) + "|",
    ]  # fmt: skip
    for one in profiles:
        shares = [f"{_ms(getattr(one, part))} ({getattr(one, part) / one.total:.0%})" for part in PARTS]
        cells = [one.topology, one.checkpoint, str(one.decisions), str(one.increments), *shares]
        cells += [_ms(one.total), f"{1e6 * one.total / max(one.decisions, 1):,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def _run(argv: Sequence[str] | None) -> int:
    arguments = Parser(prog="python -m experiments.cost_profile", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--topology", default=",".join(NETWORKS[:3]), metavar="NAME,...", help="networks [%(default)s]")
    add("--checkpoints", default="default", metavar="NAME,...", help="policies, names or files [default]")
    add("--increments", type=natural, default=1, metavar="N", help="links per decision [1]")
    add("--seed", type=natural, default=1, help="of traffic and samples [1]")
    add("--repeats", type=natural, default=5, metavar="N", help="the least of N counts [5]")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}')
    options = arguments.parse_args(argv)
    if options.repeats < 1 or options.increments < 1:
        raise InputError("--repeats and --increments: expected at least 1")
    found = []
    for name in options.topology.split(","):
        for label in options.checkpoints.split(","):
            checkpoint = load_checkpoint(label)
            common = {"increments": options.increments, "seed": options.seed}
            found.append(least([profiled(name, checkpoint, label, **common) for _ in range(options.repeats)]))
            print(f"{name} {label}: {found[-1].total:.3g} s", file=sys.stderr)
    print(json.dumps({"rows": [asdict(one) for one in found]}) if options.json else markdown(found))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 bad input, 130 or 143 when interrupted."""
    return command("cost_profile", _run, argv, hint="")


if __name__ == "__main__":
    sys.exit(main())
