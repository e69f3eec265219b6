"""`python -m experiments.faults_broker`: mosquitto is gone for a minute while an episode runs; what becomes of it.

Agents, coordinator, mosquitto and (but for `unix` and `tcp`) FRR are real. Each trial has an installation of its own,
whose first episode is hit at a random moment. It has to end well all the same, and when the broker is there again, the
coordinator has to be back within 5 s, every router's result has to reach the user, and the next episode has to
begin. In the cases `in-band` broker and coordinator are in two of the routers, and nobody reaches the broker but over
the network whose costs the episode changes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence

from rich.table import Table

from emulation.processes import EmulationError
from experiments.batch import Parser, command, natural, show
from experiments.faults_broker_cases import CASES, NEEDS_ROOT
from experiments.faults_broker_trial import Missed, Trial
from routing.errors import InputError

DONE, VIOLATED = 0, 1
_TRIES = 5  # of a trial whose episode was over too soon
_TIMES = ("lost_s", "reachable_s", "back_s", "told_s", "next_s")


def parser() -> Parser:
    """Return the command line's parser."""
    cases = "\n".join(f"  {name:15} {case.about}" for name, case in CASES.items())
    result = Parser(
        prog="python -m experiments.faults_broker",
        description="Take the broker away for a while in the middle of an episode; measure what follows.",
        epilog=f"cases:\n{cases}\n\n"
        "exit codes: 0 all as promised, 1 something was not, 2 bad input, 130, 143 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("--case", default=",".join(CASES), metavar="NAME,...", help="only these (default: all)")
    add(
        "--down",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long the broker is away, at least 2 (default 60)",
    )
    add("--trials", type=natural, default=1, metavar="N", help="of each case (default 1)")
    add("--seed", type=natural, default=0, metavar="S", help="of the first trial (default 0)")
    add("--topology", default="nsfnet", metavar="NAME|FILE", help="the network (default nsfnet)")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command("faults_broker", _main, argv, hint="")


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    names = args.case.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise InputError(f"--case {unknown[0]}: expected some of {', '.join(CASES)}")
    if not 2 <= args.down < 86400:
        raise InputError(f"--down {args.down:g}, expected 2 to 86400 s")
    if args.trials < 1:
        raise InputError("--trials 0, expected at least 1")
    if os.geteuid() != 0 and any(name in NEEDS_ROOT for name in names):
        raise InputError(f"{', '.join(NEEDS_ROOT)}: expected root (namespaces, FRR)")
    trials = []
    try:
        for name in names:
            for number in range(args.trials):
                print(f"{name}: {number + 1} of {args.trials}", file=sys.stderr, flush=True)
                trials.append(_tried(name, args.topology, args.down, args.seed + number))
    except EmulationError as error:
        raise InputError(str(error)) from error
    for trial in trials:
        for line in trial.violations:
            print(f"{trial.case}, seed {trial.seed}: {line}", file=sys.stderr)
    if args.json:
        print(json.dumps({"down_s": args.down, "rows": [trial.record() for trial in trials]}))
    else:
        show(table(trials, args.down))
    return VIOLATED if any(trial.violations for trial in trials) else DONE


def _tried(name: str, topology: str, down_s: float, seed: int) -> Trial:
    """Return a trial; it is repeated with another network and moment if its episode was over too soon."""
    for again in range(_TRIES):
        try:
            return CASES[name].run(topology, down_s, Trial(name, seed + 10_000 * again))
        except Missed as error:
            print(f"{name}, seed {seed}: {error}, again", file=sys.stderr, flush=True)
    raise EmulationError(f"{name}: in {_TRIES} attempts no episode was met while it ran")


def table(trials: Sequence[Trial], down_s: float) -> Table:
    """Return one line per case: counts, and seconds (median and longest)."""
    result = Table(title=f"The broker is away for {down_s:g} s (seconds: median, longest)")
    for title in (
        "case", "trials", "violations", "episodes", "results\ntold", "had in\nthe dark", "agents\ncut", "paths\nmoved",
        "told lost", "reachable", "back", "all told", "next\nepisode",
    ):  # fmt: skip
        result.add_column(title, justify="left" if title in ("case", "episodes") else "right")
    for name in dict.fromkeys(trial.case for trial in trials):
        own = [trial for trial in trials if trial.case == name]
        ended = {status: sum(trial.status == status for trial in own) for status in {trial.status for trial in own}}
        moved = [trial.moved for trial in own if trial.moved is not None]
        result.add_row(
            name,
            str(len(own)),
            str(sum(len(trial.violations) for trial in own)),
            ", ".join(f"{number} {status or 'lost'}" for status, number in sorted(ended.items())),
            f"{sum(trial.results for trial in own)} of {sum(trial.routers for trial in own)}",
            str(sum(trial.in_the_dark for trial in own)),
            str(sum(trial.agents_lost for trial in own)),
            f"{sum(moved)}" if moved else "-",
            *(_times([getattr(trial, key) for trial in own]) for key in _TIMES),
        )
    return result


def _times(values: Sequence[float]) -> str:
    known = [value for value in values if value == value]
    return f"{statistics.median(known):.2f} {max(known):.2f}" if known else "-"


if __name__ == "__main__":
    sys.exit(main())
