"""Which method is best at which budget: the ratio to the bound against evaluations and against processor time.

    python -m experiments.anytime --data DIR --out OUT

gives each method larger and larger budgets (episodes, or seconds of processor time), each from the start, on the six
cells of the data set with the paper's start weights, and draws the mean over all instances: ``anytime.csv``,
``anytime.png``. An evaluation is one setting of the weights that was entered; what a policy with look-ahead tries on
the way is in its seconds only. Results are kept one by one; ``--resume`` goes on, and may add matrices and checkpoints.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from emulation.atomic import write_atomic
from experiments import quality_tables as tables
from experiments.batch import Parser, command, natural, work
from experiments.quality import prepare, solve
from experiments.quality_instances import CELLS, EVALUATION, Source
from experiments.quality_journal import Journal
from experiments.quality_methods import Chain, parse_methods
from experiments.quality_policy import identity
from routing.errors import InputError

_EPISODES = (1, 2, 4, 8, 16)
_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Point(NamedTuple):
    """One method with one budget: means over all instances."""

    method: str
    label: str
    evaluations: float
    cpu_seconds: float
    ratio: float


def methods_of(checkpoints: Sequence[str]) -> dict[str, list[str]]:
    """Return, by the name of its curve, each method with its budgets as `experiments.quality` writes them."""
    curves = {
        "greedy": ["greedy"],
        "sampled greedy": [f"greedy:{count}" for count in _EPISODES],
        "local search": [f"local_search:{seconds:g}s" for seconds in _SECONDS],
    }
    return curves | {f"policy {name}": [f"policy:{count}@{name}" for count in _EPISODES] for name in checkpoints}


def points_of(rows: Sequence[tables.Row], curves: dict[str, list[str]]) -> list[Point]:
    """Return the points of the curves over the instances on which everything is there."""
    by_label: dict[str, dict[tuple[str, str, int | str], tables.Row]] = {}
    for row in rows:
        by_label.setdefault(row.method, {})[row.key] = row
    labels = [label for budgets in curves.values() for label in budgets]
    common = set.intersection(*(set(by_label.get(label, {})) for label in labels))
    points = []
    for method, budgets in curves.items():
        for label in budgets if common else []:
            own = [by_label[label][key] for key in sorted(common, key=str)]
            ratios = [row.ratio for row in own if row.ratio is not None]
            effort = [float(np.mean([getattr(row, name) for row in own])) for name in ("evaluations", "cpu_seconds")]
            points.append(Point(method, label, effort[0], effort[1], float(np.mean(ratios))))
    return points


def as_csv(points: Sequence[Point]) -> str:
    """Return one line for each point."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([Point._fields, *points])
    return text.getvalue()


def draw(points: Sequence[Point], path: Path) -> None:
    """Write two panels: against evaluations, and against processor time."""
    import matplotlib  # only where figures are wanted
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(point.method for point in points))
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8.0, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, effort, label in (
            (panels[0], "evaluations", "evaluations"),
            (panels[1], "cpu_seconds", "processor time, s"),
        ):
            for number, method in enumerate(methods):
                own = [point for point in points if point.method == method]
                across = [getattr(point, effort) for point in own]
                axes.plot(across, [p.ratio for p in own], "o-", color=f"C{number}", label=method, markersize=3)
            axes.set(xscale="log", xlabel=label)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("MLU / bound, mean")
        panels[1].legend(frameon=False)
        figure.savefig(path, dpi=130)


def parser() -> Parser:
    """Return the command's arguments."""
    arguments = Parser(prog="python -m experiments.anytime", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="the published data set")
    add("--matrices", type=natural, default=5, metavar="N", help="of each cell, from 100 on [5]")
    add("--checkpoints", default="default,lookahead", metavar="NAME,...", help="policies [%(default)s]")
    add("--seed", type=natural, default=0, help="of all methods [0]")
    add("--workers", type=natural, default=1, metavar="N", help="processes [1]")
    add("--out", type=Path, required=True, metavar="DIR", help="where results, anytime.csv and anytime.png go")
    add("--resume", action="store_true", help="go on with the results in --out")
    return arguments


def _run(argv: Sequence[str] | None) -> int:
    options = parser().parse_args(argv)
    if options.workers < 1 or not 1 <= options.matrices <= len(EVALUATION):
        raise InputError(f"expected --workers of at least 1, --matrices of 1 to {len(EVALUATION)}")
    names = options.checkpoints.split(",")
    curves = methods_of(names)
    chains: list[Chain] = parse_methods(",".join(label for budgets in curves.values() for label in budgets), 1.0)
    source = Source(CELLS, tuple(EVALUATION[: options.matrices]), data=options.data, initial="paper")
    hashes = {name: identity(name) for name in names}
    settings = {"format": 1, "command": "anytime", "seed": options.seed}
    with Journal(options.out, options.resume, settings, hashes) as journal:
        tasks = prepare(source, chains, "auto", journal)
        by_label = {chain.label: chain for chain in chains}
        run = partial(solve, source=source, chains=by_label, seed=options.seed, clock="cpu")
        failed = work(tasks, run, journal, options.workers)
        rows = tables.rows_of(journal.records, source.keys, list(by_label))
    points = points_of(rows, curves)
    table = Table("method", "evaluations", "CPU s", "mean ratio to the bound")
    for point in points:
        table.add_row(point.label, f"{point.evaluations:.0f}", f"{point.cpu_seconds:.4f}", f"{point.ratio:.4f}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    if points:
        write_atomic(options.out / "anytime.csv", as_csv(points).encode())
        draw(points, options.out / "anytime.png")
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if a method failed, 2 bad input, 130 or 143 when interrupted."""
    return command("anytime", _run, argv)


if __name__ == "__main__":
    sys.exit(main())
