"""How often, and how soon, our `defo` is not worse than the answers that DEFO's authors' solver left in the data set.

    python -m experiments.defo_answers --data DIR --sample 100 --seconds 60 --out OUT

draws instances from the data set, searches middlepoints over the same inverse-capacity weights until the MLU of the
stored answer is reached (within 1e-5) or the processor time is over, and prints a table. Every answer is routed once
more by the integer kernel before it counts. Results are kept one by one; ``--resume`` goes on.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from baselines.defo import defo
from baselines.result import Budget
from emulation.atomic import write_atomic
from experiments.batch import Parser, command, natural, positive, work
from experiments.quality_clock import ProcessorBudget
from experiments.quality_instances import CELLS, Key, Source, stored_defo
from experiments.quality_journal import Journal, Record, Task
from experiments.quality_methods import check
from routing.errors import InputError

_MATRICES = 150  # of each cell
_SAME = 1e-5  # relative; the integer kernel and the sums of floats differ by less
_METHOD = "defo"
_COLUMNS = ("topology", "traffic", "matrix", "stored", "mlu", "cpu_seconds", "seconds", "evaluations")


def sampled(count: int, seed: int) -> list[Key]:
    """Draw `count` of the data set's instances without putting back; a longer sample begins with the shorter ones."""
    every = [Key(name, profile, matrix) for name, profile in CELLS for matrix in range(_MATRICES)]
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(every))
    return [every[number] for number in order[:count].tolist()]


def solve(task: Task, source: Source, seconds: float, seed: int) -> Record:
    """Search on one instance until the stored answer is reached or `seconds` of processor time are over."""
    key, label = task
    instance = source.load(key)
    if instance.stored is None:
        raise InputError(f"{key.cell} {key.matrix} has no stored answer, expected one of the published data set")
    topology, traffic = instance.topology, instance.traffic
    stored = stored_defo(topology, traffic, instance.weights, Budget(), stored=instance.stored).mlu
    before = time.process_time()
    budget = ProcessorBudget(seconds, enough=stored * (1 + _SAME))
    result = defo(topology, traffic, instance.weights, budget, seed=seed)
    spent = time.process_time() - before
    check(topology, traffic, result)
    return {
        **key._asdict(),
        "method": label,
        "instance": instance.digest,
        "stored": stored,
        "mlu": result.mlu,
        "cpu_seconds": spent,
        "seconds": result.seconds,
        "evaluations": result.evaluations,
    }


def reached(record: Record) -> bool:
    """Return whether the answer is not worse than the stored one."""
    return bool(record["mlu"] <= record["stored"] * (1 + _SAME))


def lines_of(records: Sequence[Record]) -> list[list[str]]:
    """Return a line for each cell and one for all: instances, reached, seconds (median, most), ratio to the stored."""
    lines = []
    for cell in [*CELLS, None]:
        own = [record for record in records if cell in ((record["topology"], record["traffic"]), None)]
        if not own:
            continue
        spent = [record["cpu_seconds"] for record in own if reached(record)]
        ratios = [record["mlu"] / record["stored"] for record in own]
        times = [f"{np.median(spent):.2f}", f"{max(spent):.1f}"] if spent else ["-", "-"]
        name = " ".join(cell) if cell else "all"
        lines.append([name, str(len(own)), str(len(spent)), *times, f"{np.mean(ratios):.4f}", f"{max(ratios):.4f}"])
    return lines


_HEADER = ("cell", "n", "reached", "CPU s, median", "most", "MLU / stored, mean", "worst")


def _write(records: Sequence[Record], folder: Path) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([_COLUMNS, *([record[column] for column in _COLUMNS] for record in records)])
    rows = [_HEADER, ["---"] + ["--:"] * (len(_HEADER) - 1), *lines_of(records)]
    write_atomic(folder / "answers.csv", text.getvalue().encode())
    write_atomic(folder / "summary.md", "".join(f"| {' | '.join(row)} |\n" for row in rows).encode())


def parser() -> Parser:
    """Return the command's arguments."""
    arguments = Parser(prog="python -m experiments.defo_answers", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="the published data set")
    add("--sample", type=natural, default=100, metavar="N", help="instances of the 900 [100]")
    add("--seconds", type=positive, default=60.0, metavar="S", help="of processor time at most for each [60]")
    add("--seed", type=natural, default=0, help="of the sample and of the searches [0]")
    add("--workers", type=natural, default=1, metavar="N", help="processes [1]")
    add("--out", type=Path, metavar="DIR", help="keep results there")
    add("--resume", action="store_true", help="go on with the results in --out; a longer --sample adds to them")
    return arguments


def _run(argv: Sequence[str] | None) -> int:
    options = parser().parse_args(argv)
    if options.workers < 1 or not 1 <= options.sample <= len(CELLS) * _MATRICES:
        raise InputError(f"expected --workers of at least 1 and a --sample of 1 to {len(CELLS) * _MATRICES}")
    if options.resume and options.out is None:
        raise InputError("--resume, expected --out with it")
    source = Source(CELLS, data=options.data)
    keys = sampled(options.sample, options.seed)
    source.load(keys[0])  # so that a wrong --data shows at once
    settings = {"format": 1, "command": "defo_answers", "seconds": options.seconds, "seed": options.seed}
    with Journal(options.out, options.resume, settings, {}) as journal:
        tasks: list[Task] = [(key, _METHOD) for key in keys if (key, _METHOD) not in journal.records]
        run = partial(solve, source=source, seconds=options.seconds, seed=options.seed)
        failed = work(tasks, run, journal, options.workers)
        records = [journal.records[key, _METHOD] for key in keys if (key, _METHOD) in journal.records]
    table = Table(*_HEADER)
    for line in lines_of(records):
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if options.out is not None:
        _write(records, options.out)
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if a search failed, 2 bad input, 130 or 143 when interrupted."""
    return command("defo_answers", _run, argv)


if __name__ == "__main__":
    sys.exit(main())
