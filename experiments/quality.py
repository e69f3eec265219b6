"""A fair comparison: every method on the same instances, against the bound that none can pass.

    python -m experiments.quality --topology gbn --traffic uniform --matrices 20 \
        --methods inverse_capacity,greedy,local_search,segments,policy,optimum --budget 2

prints mean, median and worst MLU, the ratio to the bound, how often each method was the best, and seconds. Every answer
is routed once more by the integer kernel, and compared with the bound, before it counts. With ``--out`` results are
kept one by one, so that an interrupted run goes on with ``--resume``, which may also add methods and matrices.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from baselines.result import Budget
from emulation.atomic import write_atomic
from experiments import quality_tables as tables
from experiments.batch import command, work
from experiments.quality_clock import CLOCKS
from experiments.quality_instances import Instances
from experiments.quality_journal import BOUND, Journal, Record, Task
from experiments.quality_methods import Chain, Spec, function_of, parse_methods
from experiments.quality_options import parser, source_of
from experiments.quality_policy import identity
from routing.errors import InputError

_LARGEST = 150  # nodes; a bound beyond that takes the linear program more than minutes


def solve(task: Task, source: Instances, chains: dict[str, Chain], seed: int, clock: str) -> Record:
    """Run one method on one instance, or find the instance's bound."""
    key, label = task
    instance = source.load(key)
    record: Record = {**key._asdict(), "method": label, "instance": instance.digest}
    if label == BOUND:
        find = function_of(Spec(BOUND, "optimum"))
        return record | {"bound": find(instance.topology, instance.traffic, instance.weights, Budget()).bound}
    chain = chains[label]
    for part in chain.parts:
        function_of(part)  # imported, and compiled if need be, before the clocks run
    before = time.process_time()
    result = chain.run(instance, seed, CLOCKS[clock])
    return record | {
        "mlu": result.mlu,
        "seconds": result.seconds,
        "cpu_seconds": time.process_time() - before,
        "evaluations": result.evaluations,
        "trace": [(round(at, 6), mlu) for at, mlu in result.trace],
    }


def prepare(source: Instances, chains: Sequence[Chain], bound: str, journal: Journal) -> list[Task]:
    """Load everything once, so that mistakes show at once; return what is to be done."""
    tasks: list[Task] = []
    for key in source.keys:
        instance = source.load(key)
        labels = [chain.label for chain in chains]
        if bound == "auto" and instance.bound is not None and (key, BOUND) not in journal.records:
            record = {**key._asdict(), "method": BOUND, "instance": instance.digest, "bound": instance.bound}
            journal.add(record)
        elif bound == "lp" or (bound == "auto" and instance.topology.num_nodes <= _LARGEST):
            labels.insert(0, BOUND)
        for label in labels:
            record_before = journal.records.get((key, label))
            if record_before is None:
                tasks.append((key, label))
            elif record_before["instance"] != instance.digest:
                raise InputError(f"--resume: {key.cell} {key.matrix} is another instance now, expected the same")
    return tasks


def _write(rows: Sequence[tables.Row], bounds: set[str], folder: Path) -> None:
    """Write tables and figures."""
    from experiments.quality_figures import draw  # matplotlib: only where figures are wanted

    texts = {
        "results.csv": tables.instances_csv(rows),
        "summary.csv": tables.summary_csv(rows, bounds),
        "summary.md": tables.markdown(rows, bounds),
        "summary.json": json.dumps(tables.as_json(rows, bounds), indent=1) + "\n",
    }
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    draw(rows, folder)


def _run(argv: Sequence[str] | None) -> int:
    options = parser().parse_args(argv)
    if options.workers < 1:
        raise InputError("--workers 0, expected at least 1")
    if options.resume and options.out is None:
        raise InputError("--resume, expected --out with it")
    if options.out is not None and find_spec("matplotlib") is None:
        raise InputError("--out draws figures and needs matplotlib, expected `scripts/setup experiments`")
    source, chains = source_of(options), parse_methods(options.methods, options.budget)
    names = {name for chain in chains for name in chain.checkpoints}
    settings = {
        "format": 1,
        **{name: getattr(options, name) for name in ("budget", "clock", "seed", "initial", "bound")},
    }
    with Journal(options.out, options.resume, settings, {name: identity(name) for name in sorted(names)}) as journal:
        tasks = prepare(source, chains, options.bound, journal)
        by_label = {chain.label: chain for chain in chains}
        run = partial(solve, source=source, chains=by_label, seed=options.seed, clock=options.clock)
        failed = work(tasks, run, journal, options.workers)
        rows = tables.rows_of(journal.records, source.keys, [chain.label for chain in chains])
    bounds = {chain.label for chain in chains if chain.bound}
    if options.json:
        print(json.dumps(tables.as_json(rows, bounds)))
    else:
        tables.show(rows, bounds, Console(width=None if sys.stdout.isatty() else 140))
    if options.out is not None and rows:
        _write(rows, bounds, options.out)
    failed += [
        f"{row.method} BEATS THE BOUND on {row.key.cell} {row.matrix}: ratio {row.ratio:.7f}. One of them is wrong."
        for row in tables.beating(rows)
    ]
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if a method failed, 2 bad input, 130 or 143 when interrupted."""
    return command("quality", _run, argv)


if __name__ == "__main__":
    sys.exit(main())
