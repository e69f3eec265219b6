"""Figures of the runtime under faults that are no counts of violations: how long, how much memory, at what cost.

``python -m experiments.faults_figures NAME``: `loss` (episodes under loss, duplication and reordering against those
without), `memory` (many short episodes in a row), `mixed` (agents on two kinds of processor), `authentication` (the
share of an episode's processor time).
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from hmac import compare_digest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import agent.protocol
import agent.session
from agent.order import Order
from coordinator.outcome import Outcome
from experiments.batch import Parser, command, natural
from experiments.faults_floor import Substitution, substituted
from experiments.faults_lab import Lab
from experiments.faults_mixed import run_mixed
from experiments.faults_sizes import remembered
from experiments.faults_trial import make_setting
from experiments.faults_wanted import LENGTHS, WANTED
from experiments.virtual_network import Impairment, VirtualNetwork
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.traffic import uniform

Tell = Callable[[str], None]
LONG_STEPS = 25
SEEDS_PER_LAB = 20  # whose episodes follow each other on one network
IMPAIRMENTS = {
    "nothing": Impairment(),
    "loss 1 %": Impairment(loss=0.01),
    "loss 5 %": Impairment(loss=0.05),
    "loss 10 %": Impairment(loss=0.1),
    "loss 20 %": Impairment(loss=0.2),
    "duplication 50 %": Impairment(duplication=0.5),
    "reordering 64": Impairment(reordering=0.3, reorder_depth=64),
}


def loss(seeds: int, tell: Tell) -> dict[str, object]:
    """Return, by impairment, how many episodes ended at the first attempt, how long they took, how many differed.

    An episode has `LONG_STEPS` steps on links of 1 ms; the same seed draws the same network, matrix and actions,
    of which each lab starts its own thousand. Lengths are multiples of the mean without impairment; so are
    the datagrams that all routers sent from the request to the outcome, hellos and repetitions included.
    """
    lengths: dict[str, list[float]] = {name: [] for name in IMPAIRMENTS}
    sent: dict[str, int] = dict.fromkeys(IMPAIRMENTS, 0)
    first: dict[str, int] = dict.fromkeys(IMPAIRMENTS, 0)
    differing: dict[str, int] = dict.fromkeys(IMPAIRMENTS, 0)
    for lab_seed in range(0, seeds, SEEDS_PER_LAB):
        reference: dict[int, list[list[int]]] = {}
        for name, impairment in IMPAIRMENTS.items():
            with Lab(replace(make_setting(lab_seed), steps=LONG_STEPS), lab_seed, impairment=impairment) as lab:
                for seed in range(lab_seed, min(seeds, lab_seed + SEEDS_PER_LAB)):
                    tell(f"{name}: seed {seed + 1} of {seeds}")
                    before = lab.wires.sent
                    outcomes = _until_done(lab)
                    sent[name] += lab.wires.sent - before
                    root = outcomes[-1].root if outcomes else None
                    if root is None:
                        differing[name] += 1
                        continue
                    first[name] += len(outcomes) == 1
                    differing[name] += root.links != reference.setdefault(seed, root.links)
                    lengths[name].append(max(result.episode_s for result in outcomes[-1].results.values()))
    usual = float(np.mean(lengths["nothing"]))
    return {
        name: {
            "seeds": seeds,
            "differing": differing[name],
            "at_first_attempt": first[name],
            "datagrams": sent[name] / sent["nothing"],
            **_spread(np.array(lengths[name]) / usual, LENGTHS.get(name)),
        }
        for name in IMPAIRMENTS
    }


def _spread(lengths: NDArray[np.float64], wanted: float | None) -> dict[str, object]:
    """Return how lengths (n,) are distributed, and how many are at most as long as is wanted."""
    spread: dict[str, object] = {}
    if lengths.size:
        spread["mean_length"] = float(lengths.mean())
        spread |= {f"length_{percent}": float(np.percentile(lengths, percent)) for percent in (50, 90, 99, 100)}
    if wanted is not None:
        spread |= {"wanted": wanted, "as_wanted": int((lengths <= wanted).sum())}
    return spread


def _until_done(lab: Lab) -> list[Outcome]:
    """Submit a request; return the outcomes of its attempts, the last of which was not aborted if all is well."""
    lab.forget()
    lab.submit()
    lab.wait(lambda: any(outcome.verdict != "aborted" for _, outcome in lab.outcomes()), 120.0)
    return [outcome for _, outcome in lab.outcomes()]


def resident_bytes() -> int:
    """Return the memory of this process, by the kernel."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def memory(episodes: int, tell: Tell) -> dict[str, object]:
    """Return what programs and process remember after a tenth of the episodes, and after all."""
    seen: list[tuple[int, int]] = []
    with Lab(replace(make_setting(0), steps=2), 1) as lab:
        programs = [process.program for process in lab.processes.values()]
        for number in range(1, episodes + 1):
            lab.submit()
            if not lab.wait(lambda: bool(lab.outcomes()), 60.0):
                raise RuntimeError(f"episode {number} has not ended")
            lab.forget()  # what the lab notes is not the programs'
            if number % 100 == 0:
                tell(f"{number} of {episodes} episodes")
            if number in (episodes // 10, episodes):
                gc.collect()
                seen.append((sum(remembered([program]) for program in programs), resident_bytes()))
        violations = len(lab.truth.violations)
    (early, early_resident), (late, late_resident) = seen
    return {
        "episodes": episodes,
        "violations": violations,
        "remembered": [early, late],
        "growth": late / early - 1,
        "resident": [early_resident, late_resident],
        "resident_growth": late_resident / early_resident - 1,
    }


def mixed(episodes: int, _tell: Tell) -> dict[str, object]:
    """Return how many episodes ended differently on the two kinds of processor."""
    result = run_mixed(0, episodes)
    return {"episodes": result.episodes, "steps": result.steps, "differing": result.differing}


def authentication(pairs: int, tell: Tell) -> dict[str, object]:
    """Return the share of an episode's processor time that making and comparing tags takes, in two ways.

    The time is that of all agents' protocols alone, on gbn: a running agent also has sockets and an event loop, so
    that the share is smaller there. `share_by_count`: all tags of an episode made and compared once more by themselves,
    the best time against the best episode. `share`: median over pairs of the same episode with and without tags, now
    the one first, now the other; `interval` holds the median with 95 %, by the order of the values.
    """
    tags: list[tuple[Any, bytes]] = []
    tag = agent.session._tag

    def noting(keyed: Any, data: bytes) -> bytes:
        tags.append((keyed, data))
        return tag(keyed, data)

    nothing = [
        (agent.session, "_tag", lambda keyed, data: bytes(agent.session.TAG_BYTES)),
        (agent.session, "compare_digest", lambda a, b: True),
    ]
    _episode_s([(agent.session, "_tag", noting)], tags)
    cost = np.zeros((pairs, 2))  # with, without
    alone = float("inf")
    for number in range(pairs):
        tell(f"{number + 1} of {pairs} pairs")
        for kind in (0, 1) if number % 2 else (1, 0):
            cost[number, kind] = _episode_s(nothing if kind else [])
        began = time.process_time()
        for keyed, data in tags:
            compare_digest(tag(keyed, data), data)
        alone = min(alone, time.process_time() - began)
    shares = np.sort(1 - cost[:, 1] / cost[:, 0])
    low = max(int((pairs - 1.96 * pairs**0.5) / 2), 0)  # a binomial's quantile
    return {
        "pairs": pairs,
        "tags": len(tags),
        "share_by_count": alone / cost[:, 0].min(),
        "share": float(np.median(shares)),
        "interval": [float(shares[low]), float(shares[pairs - 1 - low])],
        "episode_s": cost[:, 0].min(),
    }


def _episode_s(substitutions: Sequence[Substitution], noted: list[Any] | None = None) -> float:
    """Return the processor time of an episode, always the same one; of what is noted, leave only the episode's."""
    gbn, setting = load_topology("gbn"), make_setting(0)
    order = Order(
        episode=1,
        seed=1,
        steps=LONG_STEPS,
        increments=1,
        temperature_milli=1000,
        share="candidate",
        ecmp=True,
        margin_milli=1000,  # nothing is committed
        checkpoint=setting.checkpoint.hash,
        traffic=uniform(gbn, 1),
        start=inverse_capacity(gbn),
    )
    with substituted(substitutions):
        network = VirtualNetwork(gbn, setting.network, inverse_capacity(gbn))
        network.run_until(network.ready, 5.0)
        if noted is not None:
            noted.clear()
        gc.collect()
        began = time.process_time()
        network.run_episode(order)
        return time.process_time() - began


FIGURES: dict[str, tuple[Callable[[int, Tell], dict[str, object]], int]] = {
    "loss": (loss, 1000),
    "memory": (memory, 10_000),
    "mixed": (mixed, 1000),
    "authentication": (authentication, 200),
}


def parser() -> Parser:
    """Return the command's arguments."""
    wanted = "\n".join(f"  {name:15} {figure.text}" for name, figure in WANTED.items())
    result = Parser(
        prog="python -m experiments.faults_figures",
        description=__doc__,
        epilog=f"wanted:\n{wanted}\n\nexit codes: 0 all reached, 1 something missed, 2 bad input, 130, 143 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("figure", choices=FIGURES, metavar="NAME", help=", ".join(FIGURES))
    add("--number", type=natural, metavar="N", help="seeds, episodes or pairs, at least 10 (1000, 10000, 1000, 200)")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command("faults_figures", _main, argv, hint="")


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    if args.number is not None and args.number < 10:
        raise InputError(f"--number {args.number}, expected at least 10")
    logging.basicConfig(level=logging.CRITICAL)
    (measure, number), wanted = FIGURES[args.figure], WANTED[args.figure]

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)

    result = measure(args.number or number, tell)
    tell("")
    missed = wanted.missed(result)
    print(json.dumps({args.figure: result, "wanted": wanted.text, "missed": missed}, indent=2))
    for line in missed:
        print(f"faults_figures: {args.figure} missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
