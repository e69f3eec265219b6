"""Figure 6 of paper 003: how a network fares that loses links, by policy, searches and the bound of what is possible.

    python -m experiments.failures --data DIR --out OUT

takes GBN (which no shipped policy was trained on), lets 0 to 9 links fail in 10 scenarios, and optimises 5 traffic
matrices in each with every method. Every answer is routed once more, and compared with the scenario's own bound, before
it counts. With ``--out`` there are tables and the figure, and an interrupted run goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emulation.atomic import write_atomic
from experiments import quality_tables
from experiments.batch import Parser, command, natural, positive, work
from experiments.failures_scenarios import Scenarios
from experiments.failures_tables import Point, markdown, points
from experiments.quality import prepare, solve
from experiments.quality_clock import CLOCKS
from experiments.quality_instances import EVALUATION, PROFILES, Source
from experiments.quality_journal import Journal
from experiments.quality_methods import parse_methods
from experiments.quality_policy import identity
from routing.errors import InputError

METHODS = (
    "inverse_capacity,greedy,policy,policy@lookahead,policy@moves,local_search,inverse_capacity+segments,"
    "local_search+segments,inverse_capacity+defo"
)
BOUND = "optimum"
_QUICK = {"failed": 3, "scenarios": 2, "matrices": 2, "budget": 0.05}


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    arguments = Parser(
        prog="python -m experiments.failures",
        description="Optimise a network that has lost links, with every method in the same scenarios.",
        epilog="Methods and the options in their names: python -m experiments.quality --help",
        allow_abbrev=False,
    )
    add = arguments.add_argument
    add("--topology", default="gbn", metavar="NAME|FILE", help="the network [%(default)s]")
    add("--traffic", default="uniform", choices=PROFILES, help="kind of the traffic matrices [uniform]")
    add("--data", type=Path, metavar="DIR", help="matrices of the published data set, from 100 on [else generated]")
    add("--matrices", type=natural, default=5, metavar="N", help="how many [5]")
    add("--failed", type=natural, default=9, metavar="N", help="0 to N failed links [9]")
    add("--scenarios", type=natural, default=10, metavar="N", help="for each number of failed links [10]")
    add("--initial", metavar="WEIGHTS", help="where searches start [paper with --data, else inverse-capacity]")
    add("--methods", default=METHODS, metavar="METHOD,...", help="beside the bound [%(default)s]")
    add("--budget", type=positive, default=0.2, metavar="SECONDS", help="of each search on each instance [0.2]")
    add("--clock", choices=sorted(CLOCKS), default="wall", help="what budgets are measured by [wall]")
    add("--seed", type=natural, default=0, help="of scenarios and methods [0]")
    add("--workers", type=natural, default=1, metavar="N", help="processes [1]")
    add("--out", type=Path, metavar="DIR", help="keep results there; tables and the figure at the end")
    add("--resume", action="store_true", help="go on with the results in --out")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}, instead of tables')
    add("--quick", action="store_true", help="a glance: up to 3 failed links, 2 scenarios, 2 matrices, 0.05 s, "
        "unless said otherwise")  # fmt: skip
    return arguments


def scenarios_of(options: argparse.Namespace) -> Scenarios:
    """Make the source of instances from the options; raises InputError."""
    if options.matrices < 1 or options.scenarios < 1 or options.workers < 1:
        raise InputError("--matrices, --scenarios and --workers: expected at least 1")
    if options.resume and options.out is None:
        raise InputError("--resume, expected --out with it")
    if options.out is not None and find_spec("matplotlib") is None:
        raise InputError("--out draws figures and needs matplotlib, expected `scripts/setup experiments`")
    first = EVALUATION.start if options.data else 0
    initial = options.initial or ("paper" if options.data else "inverse-capacity")
    source = Source(
        cells=((options.topology, options.traffic),),
        matrices=tuple(range(first, first + options.matrices)),
        data=options.data,
        initial=initial,
    )
    return Scenarios(source, tuple(range(options.failed + 1)), options.scenarios, options.seed)


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser()
    options = arguments.parse_args(argv)
    if options.quick:
        arguments.set_defaults(**_QUICK)  # what was said explicitly stays
        options = arguments.parse_args(argv)
    scenarios, chains = scenarios_of(options), parse_methods(options.methods, options.budget)
    settings = {"format": 1, "initial": scenarios.source.initial}
    settings |= {name: getattr(options, name) for name in ("budget", "clock", "seed")}
    names = {name for chain in chains for name in chain.checkpoints}
    with Journal(options.out, options.resume, settings, {name: identity(name) for name in sorted(names)}) as journal:
        tasks = prepare(scenarios, chains, "auto", journal)
        by_label = {chain.label: chain for chain in chains}
        run = partial(solve, source=scenarios, chains=by_label, seed=options.seed, clock=options.clock)
        failed = work(tasks, run, journal, options.workers)
        rows = quality_tables.rows_of(journal.records, scenarios.keys, list(by_label))
    found = points(rows, BOUND)
    if options.json:
        print(json.dumps({"rows": [asdict(point) for point in found]}))
    else:
        print(markdown(found))
    if options.out is not None and found:
        title = f"{Path(options.topology).stem}, {options.traffic} traffic"
        _write(found, rows, options.out, title)
    failed += [
        f"{row.method} BEATS THE BOUND on {row.key.cell} {row.matrix}: ratio {row.ratio:.7f}. One of them is wrong."
        for row in quality_tables.beating(rows)
    ]
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


def _write(found: Sequence[Point], rows: Sequence[quality_tables.Row], folder: Path, title: str) -> None:
    """Write tables and the figure."""
    from experiments.failures_figure import draw  # matplotlib: only where figures are wanted

    write_atomic(folder / "failures.csv", _csv(found).encode())
    write_atomic(folder / "failures.md", markdown(found).encode())
    write_atomic(folder / "results.csv", quality_tables.instances_csv(rows).encode())
    draw(found, folder / "failures.png", title)


def _csv(found: Sequence[Point]) -> str:
    text = io.StringIO()
    names = [field.name for field in fields(Point)]
    lines: list[list[Any]] = [[getattr(point, name) for name in names] for point in found]
    csv.writer(text, lineterminator="\n").writerows([names, *lines])
    return text.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if a method failed, 2 bad input, 130 or 143 when interrupted."""
    return command("failures", _run, argv)


if __name__ == "__main__":
    sys.exit(main())
