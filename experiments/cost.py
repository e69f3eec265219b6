"""Table I of paper 003: what one optimisation costs, in seconds, frames and bytes, beside what the paper has.

    python -m experiments.cost --topology nsfnet,gbn --engine central,loopback
    python -m experiments.cost --json > cost.json

Engines: ``central`` (one process; what the agents would send is calculated), ``loopback`` (every agent a process,
counted at its sockets), ``mininet`` (as root; the interfaces' counters beside). Synthetic networks are for the central
engine only unless an engine is named. Rows of one network are of the same problem and the same decisions: agents raise
one link per decision after the opening, and take opening and temperature from the checkpoint, so beside them the
central engine does, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from baselines.result import Budget
from emulation.prerequisites import check_emulation, extend_path
from experiments.batch import Parser, natural
from experiments.cost_agents import distributed
from experiments.cost_case import Case, load_problem, settle
from experiments.cost_engines import central
from experiments.cost_row import Row, disagreement, table
from policy.checkpoint import load_checkpoint
from routing.errors import InputError

NETWORKS = ("nsfnet", "gbn", "geant2", "synth500", "synth1000")
ENGINES = ("central", "loopback", "mininet")


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    arguments = Parser(prog="python -m experiments.cost", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--topology", default=",".join(NETWORKS), metavar="NAME,...", help="networks [%(default)s]")
    add("--engine", metavar="NAME,...", help="central, loopback, mininet [central,loopback; synthetic ones central]")
    add("--seed", type=natural, default=1, help="of traffic and samples [1]")
    add("--repeats", type=natural, default=5, metavar="N", help="the fastest of N counts [5]")
    add("--steps", type=natural, metavar="T", help="increments [the paper's T; else 2.75 per link]")
    add("--patience", type=natural, metavar="N", help="end the episode when N decisions brought nothing better; "
        "0: never [the checkpoint's; synthetic, central alone 0]")  # fmt: skip
    add("--checkpoint", default="default", metavar="NAME|FILE", help="the policy [default]")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}')
    alone = arguments.add_argument_group("of the central engine, not with another beside")
    add = alone.add_argument
    add("--increments", type=natural, default=1, metavar="N", help="links per decision [1]")
    add("--temperature", type=float, metavar="X", help="of the samples [the checkpoint's; synthetic 0.25]")
    add("--opening", type=natural, metavar="N", help="links in the first decisions [the checkpoint's; synthetic 1]")
    also = arguments.add_argument_group("of the central engine")
    also.add_argument("--threads", type=natural, metavar="N", help="[2 from 1000 nodes on, else 1]")
    return arguments


def prepare(options: argparse.Namespace) -> list[tuple[Case, tuple[str, ...]]]:
    """Return what to measure by which engines, all of it checked; raises InputError."""
    if options.repeats < 1:
        raise InputError(f"--repeats {options.repeats}, expected at least 1")
    names = _listed("--topology", options.topology)
    asked = None if options.engine is None else _listed("--engine", options.engine)
    for engine in asked or ():
        if engine not in ENGINES:
            raise InputError(f"no engine {engine!r}, expected {', '.join(ENGINES)}")
    if asked and options.threads is not None and "central" not in asked:
        raise InputError(f"--threads {options.threads}, expected --engine central with it")
    policy = load_checkpoint(options.checkpoint)
    if asked and "mininet" in asked:
        extend_path()
        check_emulation()
    found = []
    for name in names:
        problem = load_problem(name, options.seed)
        engines = asked or (("central",) if problem.large else ("central", "loopback"))
        case = settle(
            problem,
            policy,
            checkpoint=options.checkpoint,
            alone=set(engines) == {"central"},
            seed=options.seed,
            steps=options.steps,
            increments=options.increments,
            opening=options.opening,
            patience=options.patience,
            temperature=options.temperature,
            threads=options.threads,
        )
        found.append((case, engines))
    return found


def measure(cases: Sequence[tuple[Case, tuple[str, ...]]], repeats: int) -> list[Row]:
    """Return a row for each network and engine; raises InputError if a run fails."""
    rows: list[Row] = []
    for case, engines in cases:
        full = case.greedy(Budget(steps=case.steps))
        for engine in engines:
            row = central(case, full, repeats) if engine == "central" else distributed(case, engine, full, repeats)
            print(f"{row.topology} {engine}: {row.seconds:.4g} s", file=sys.stderr)
            rows.append(row)
    return rows


def _listed(option: str, text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names):
        raise InputError(f"{option} {text!r}, expected names with one comma between two")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if agents and interfaces count differently, 2 bad input."""
    try:
        options = parser().parse_args(argv)
        rows = measure(prepare(options), options.repeats)
    except InputError as error:
        print(f"experiments.cost: {error}", file=sys.stderr)
        return 2
    apart = [words for row in rows for words in disagreement(row)]
    print(msgspec.json.encode({"rows": rows}).decode() if options.json else table(rows))
    for words in apart:
        print(f"experiments.cost: {words}", file=sys.stderr)
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
