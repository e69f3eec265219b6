"""The command line of the comparison, and the source of instances that it asks for."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.batch import Parser, natural, positive
from experiments.quality_clock import CLOCKS
from experiments.quality_instances import CELLS, EVALUATION, PROFILES, Source
from experiments.quality_methods import METHODS
from routing.errors import InputError

_EPILOG = """methods:
{methods}

options stand in a method's name:
  policy:8          the best of 8 episodes (also greedy:8, which then draws its links; greedy alone does not)
  policy@FILE       a checkpoint of yours, or another one by name; policy:8@FILE takes both
  policy:3T         episodes three times as long as the default T (also greedy:3T)
  policy:2s         as many episodes as fit into 2 s
  local_search:0.2s a time of its own instead of --budget (also segments, defo, annealing and others that search)
  A+B               B goes on from the weights that A found, and they share --budget: local_search+segments;
                    inverse_capacity+segments searches middlepoints over those weights instead of --initial

Searches over weights start at --initial; searches over middlepoints leave it as it is."""


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    methods = "\n".join(f"  {name:17} {entry.help}" for name, entry in METHODS.items())
    arguments = Parser(
        prog="python -m experiments.quality",
        description="Compare optimisers on the same instances, and with the best that any routing could do.",
        epilog=_EPILOG.format(methods=methods),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = arguments.add_argument
    add("--topology", metavar="NAME,...", help="networks by name, or files")
    add(
        "--traffic", default="uniform", metavar="KIND,...", help="uniform, gravity, or both; for each network [uniform]"
    )
    add("--cells", choices=["all"], help="the six cells of the data set instead: nsfnet, gbn, geant2, each with both")
    add("--matrices", metavar="N|A-B,...", help="the first N (of the data set: from 100 on), or their numbers [10]")
    add("--graph", metavar="FILE", help="one network with demands of its own or in --demands")
    add("--demands", nargs="+", default=[], metavar="FILE", help="traffic matrices for --graph")
    add(
        "--data", type=Path, metavar="DIR", help="take the matrices from the published data set instead of drawing them"
    )
    add("--generated", type=natural, default=0, metavar="N", help="matrices to draw besides those of --data [0]")
    add("--initial", default="inverse-capacity", metavar="WEIGHTS",
        help="where searches start: paper (with --data), unit, given (by the network's file), inverse-capacity, "
        "random:SEED, or a file [inverse-capacity]")  # fmt: skip
    add(
        "--methods",
        default="inverse_capacity,greedy,policy,optimum",
        metavar="METHOD,...",
        help="see below [%(default)s]",
    )
    add("--budget", type=positive, default=1.0, metavar="SECONDS", help="of each search on each instance [1]")
    add("--bound", choices=["auto", "lp", "none"], default="auto",
        help="auto: the data set's, else a linear program's up to 150 nodes; lp: always that [auto]")  # fmt: skip
    add(
        "--clock",
        choices=sorted(CLOCKS),
        default="wall",
        help="what budgets are measured by; cpu on a busy machine [wall]",
    )
    add("--seed", type=natural, default=0, help="of all methods [0]")
    add("--workers", type=natural, default=1, metavar="N", help="processes; more than free cores distort the times [1]")
    add("--out", type=Path, metavar="DIR", help="keep results there; tables and figures at the end")
    add("--resume", action="store_true", help="go on with the results in --out")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    return arguments


def _matrices(text: str, first: int) -> tuple[int, ...]:
    """Read ``20``, ``100-149`` or ``0-4,7,``; one number alone is how many from `first` on."""
    numbers: list[int] = []
    parts = [part.strip() for part in text.split(",")]
    for part in [part for part in parts if part]:
        low, dash, high = part.partition("-")
        if (
            not all(x.isascii() and x.isdigit() for x in ([low, high] if dash else [low]))
            or int(high or low) >= 1 << 32
        ):
            raise InputError(f"--matrices {text!r}, expected how many, or numbers as in 100-109,112")
        numbers += range(int(low), int(high or low) + 1)
    if len(parts) == 1 and "-" not in text:
        numbers = list(range(first, first + numbers[0])) if numbers else []
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"--matrices {text!r}, expected at least one, and none twice")
    return tuple(numbers)


def source_of(options: argparse.Namespace) -> Source:
    """Make the source of instances from the options; raises InputError if they contradict each other."""
    ways = [name for name in ("topology", "cells", "graph") if getattr(options, name)]
    if len(ways) != 1:
        raise InputError("expected one of --topology, --cells and --graph (see --help)")
    if options.graph:
        if options.data or options.matrices:
            raise InputError("--graph: its traffic is its own or in --demands, expected no --data and no --matrices")
        return Source(((options.graph, "file"),), (), tuple(options.demands), None, options.initial)
    if options.demands:
        raise InputError("--demands, expected --graph with it")
    if options.generated and not options.data:
        raise InputError("--generated, expected --data with it (without, all matrices are generated)")
    profiles = [part.strip() for part in options.traffic.split(",")]
    if not set(profiles) <= set(PROFILES) or len(set(profiles)) < len(profiles):
        raise InputError(
            f"--traffic {options.traffic!r}, expected uniform, gravity or both (files: --graph, --demands)"
        )
    names = [part.strip() for part in (options.topology or "").split(",") if part.strip()]
    cells = CELLS if options.cells else tuple((name, profile) for name in names for profile in profiles)
    if len(set(cells)) < len(cells):
        raise InputError(f"--topology {options.topology!r}, expected each network once")
    first = EVALUATION.start if options.data else 0
    return Source(
        cells, _matrices(options.matrices or "10", first), (), options.data, options.initial, options.generated
    )
