"""`python -m experiments.faults`: the runtime under faults, and whether its invariants hold.

Agents, coordinator, broker and OSPF area run in one process under a virtual clock (`faults_lab`); in each trial
something breaks at a random moment, heals, and a good episode has to follow. Everything is drawn from the trial's
seed, so a violation is printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.batch import Parser, command, natural, show
from experiments.faults_campaign import Row, full_trials, run_campaign
from experiments.faults_journal import Journal
from experiments.faults_live import LIVE_FAULTS, run_live
from experiments.faults_plants import PLANTS
from experiments.faults_scenarios import FAULTS
from experiments.faults_truth import INVARIANTS
from routing.errors import InputError

DONE, VIOLATED = 0, 1


def parser() -> Parser:
    """Return the command line's parser."""
    lines = "\n".join(f"  {name:22} {fault.about}" for name, fault in FAULTS.items())
    plants = "\n".join(f"  {name:22} {plant.about}" for name, plant in PLANTS.items())
    live = "\n".join(f"  {name:22} {about}" for name, (about, _) in LIVE_FAULTS.items())
    result = Parser(
        prog="python -m experiments.faults",
        description="Break things at random moments and check that the runtime's invariants hold.",
        epilog=f"faults:\n{lines}\n\nfaults in the emulation (--live):\n{live}\n\n"
        f"plants (each has to be caught, exit code 1):\n{plants}\n\n"
        "exit codes: 0 nothing violated, 1 something violated, 2 bad input, 130, 143 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--quick", action="store_true", help="fewer trials: about a minute")
    result.add_argument("--fault", action="append", metavar="NAME", help="only this fault (may be repeated)")
    result.add_argument("--trials", type=natural, metavar="N", help="trials of each fault (default: its own number)")
    result.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="S",
        help="seed of the first trial (default 0); where a fault has points: number of the first; after the "
        "last comes the first again, or with --fault NAME bad input",
    )
    result.add_argument(
        "--plant", metavar="NAME", help="replace a component by a faulty one, in the lab: it has to be caught"
    )
    result.add_argument("--live", action="store_true", help="also the faults in the emulation (root, Mininet, FRR)")
    result.add_argument(
        "--live-trials", type=natural, default=3, metavar="N", help="trials of each of those (default 3)"
    )
    result.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    result.add_argument("--out", type=Path, metavar="FILE", help="keep every trial in this file")
    result.add_argument("--resume", action="store_true", help="go on with the trials in --out")
    result.add_argument("--workers", type=natural, default=os.cpu_count() or 1, metavar="N", help="processes")
    result.add_argument("--verbose", action="store_true", help="show the programs' logs (use with --trials 1)")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command("faults", _main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    _check(args)
    with Journal(args.out, args.resume, args.plant or "") as journal:
        return _run(args, journal)


def _check(args: argparse.Namespace) -> None:
    """Raise `InputError` for what cannot be asked for."""
    for name in args.fault or []:
        if name in LIVE_FAULTS and not args.live:
            raise InputError(f"--fault {name}: a fault in the emulation, expected --live with it")
        if name not in FAULTS and name not in LIVE_FAULTS:
            known = [*FAULTS, *(LIVE_FAULTS if args.live else ())]
            raise InputError(f"--fault {name}: expected one of {', '.join(known)}")
    if args.plant is not None and args.plant not in PLANTS:
        raise InputError(f"--plant {args.plant}: expected one of {', '.join(PLANTS)}")
    if args.live and args.plant is not None:
        text = f"--plant {args.plant}: faulty components are planted in the lab only, expected no --live with it"
        raise InputError(text)
    for option in ("trials", "live_trials", "workers"):
        if getattr(args, option) == 0:
            raise InputError(f"--{option.replace('_', '-')} 0, expected at least 1")
    if args.resume and args.out is None:
        raise InputError("--resume: expected --out with it")
    if args.live and os.geteuid() != 0:
        raise InputError("--live needs root: namespaces, FRR")
    for name in args.fault or []:
        if name in FAULTS and FAULTS[name].during.startswith("point"):
            points, end = full_trials(name, args.plant or ""), args.seed + _trials(args, name)
            if end > points:
                asked = f"points {args.seed} to {end - 1} of --seed and --trials"
                raise InputError(f"--fault {name}: {asked}, expected some of 0 to {points - 1}")


def _trials(args: argparse.Namespace, name: str) -> int:
    """Return how many trials of a fault were asked for."""
    return args.trials or (FAULTS[name].quick if args.quick else full_trials(name, args.plant or ""))


def _run(args: argparse.Namespace, journal: Journal) -> int:
    """Run what was asked for; return the exit code."""
    logging.basicConfig(level=logging.INFO if args.verbose else logging.CRITICAL)
    chosen = args.fault or ([PLANTS[args.plant].fault] if args.plant else [*FAULTS, *LIVE_FAULTS])
    names = [name for name in chosen if name in FAULTS]
    live = [name for name in chosen if name in LIVE_FAULTS] if args.live else []
    trials = partial(_trials, args)

    progress = Console(stderr=True)
    rows: dict[str, Row] = {}
    workers = 1 if args.verbose else args.workers
    with progress.status("faults", spinner="line") as status:
        total = sum(trials(name) for name in names)
        campaign = run_campaign(names, trials, args.seed, plant=args.plant or "", workers=workers, journal=journal)
        for row in campaign:
            rows[row.fault] = row
            done = sum(one.trials for one in rows.values())
            status.update(f"{row.fault}: {row.trials} of {trials(row.fault)} trials, {done} of {total} in all")
        if live:
            rows |= {row.fault: row for row in run_live(live, args.live_trials, args.seed, status.update)}
    if not args.live and not args.plant and not args.fault:
        progress.print("left out: the faults in the emulation (--live, needs root)")
    for row in rows.values():
        for line in row.shown:
            progress.print(f"{row.fault}: {line}", markup=False, highlight=False, soft_wrap=True)
    if args.plant and not any(row.violated for row in rows.values()):
        progress.print(f"{args.plant} was at work in every trial, and nothing was violated", highlight=False)
    if args.json:
        print(json.dumps({"rows": [row.record() for row in rows.values()]}))
    else:
        show(table(list(rows.values())))
    return VIOLATED if any(row.violated for row in rows.values()) else DONE


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    result = Table(title="Faults: violations, and seconds of virtual time (median and longest)")
    result.add_column("fault")
    for name in ("trials", *INVARIANTS, "detection", "next", "recovery"):
        result.add_column(name, justify="right")
    for row in rows:
        counts = [str(row.violations[name]) for name in INVARIANTS]
        times = [_times(values) for values in (row.detection_s, row.next_s, row.recovery_s)]
        result.add_row(row.fault, str(row.trials), *counts, *times)
    return result


def _times(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} {max(values):.2f}"


if __name__ == "__main__":
    sys.exit(main())
