"""Links and routers that fail in the emulated network while the agents decide: Figure 6, live.

    sudo python -m experiments.failures_live --out OUT

starts the main job (``emulation/run.py --fail`` or ``--fail-router``) once for every fault and seed, one after the
other, and shows for every fault the range over the seeds: how soon OSPF routes around it, which packets are lost, when
the running episode is over, and when the routers forward by new costs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from emulation.atomic import write_atomic
from emulation.options import parse
from emulation.outcome import failure_words
from emulation.plan import prepare, run_folder
from emulation.prerequisites import check_emulation, extend_path
from emulation.records import Summary
from experiments.batch import Parser, command, natural, positive
from experiments.main_job import RunFailed, run_main_job
from routing.errors import InputError
from routing.formats import load_topology

FAULTS = "Hannover-Frankfurt@40,Leipzig-Frankfurt@40,Essen-Dortmund@40,Leipzig@40,Ulm@40"
_INTERRUPTED = "; the folders of runs that were over are in --out, if given"


@dataclass(frozen=True)
class Row:
    """One run; times are seconds from the failure, packets those of the whole network's measured traffic.

    `happened`: False if the episode was over before the step; then the rest says nothing. `rerouted_s`: every route
    of every router that is left is the model's. `committed_s`: every router forwards by new costs; None if there are
    none, because they would not be better by the margin. `mlu_unchanged` and `mlu` are predicted for what is left, by
    the old costs and by those at the end. `load_average`: of the machine when the run began, over a minute.
    """

    topology: str
    fault: str
    step: int
    seed: int
    happened: bool
    rerouted_s: float | None
    packets_sent: int
    packets_lost: int
    packets_dropped: int
    mlu_unchanged: float | None
    episode_ended_s: float | None
    committed_s: float | None
    mlu: float
    load_average: float


def row_of(summary: Summary, load_average: float) -> Row:
    """Return a run's row; ValueError if nothing was to fail in it."""
    failure = summary.failure
    if failure is None:
        raise ValueError(f"{summary.topology}: a run without a failure")
    return Row(
        topology=summary.topology,
        fault=failure.what,
        step=failure.step,
        seed=summary.seed,
        happened=failure.happened,
        rerouted_s=failure.rerouted_s,
        packets_sent=failure.packets_sent,
        packets_lost=failure.packets_lost,
        packets_dropped=failure.packets_dropped,
        mlu_unchanged=failure.mlu_unchanged,
        episode_ended_s=failure.episode_ended_s,
        committed_s=failure.committed_s,
        mlu=summary.mlu.after.predicted,
        load_average=load_average,
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table: a line for each fault, ranges over its runs."""
    lines = [
        "| failed | runs | routes right again | packets lost | of them in full queues | MLU by the old costs "
        "| episode over | new costs routed | MLU at the end |",
        "|---" * 9 + "|",
    ]
    for fault in dict.fromkeys((row.fault, row.step) for row in rows):
        every = [row for row in rows if (row.fault, row.step) == fault]
        own = [row for row in every if row.happened]
        shares = [row.packets_lost / max(row.packets_sent, 1) for row in own]
        lost = _range([row.packets_lost for row in own], str)
        cells = [
            f"{fault[0]}, step {fault[1]}",
            f"{len(every)}" if len(own) == len(every) else f"{len(every)}; in {len(every) - len(own)} too late",
            _range([row.rerouted_s for row in own], lambda value: f"{1e3 * value:.0f}", " ms"),
            f"{lost} ({_range(shares, lambda value: f'{value:.2%}'[:-1])} %)" if any(shares) else lost,
            _range([row.packets_dropped for row in own], str),
            _range([row.mlu_unchanged for row in own], lambda value: f"{value:.2f}"),
            _range([row.episode_ended_s for row in own], lambda value: f"{value:.2f}", " s"),
            _range([row.committed_s for row in own], lambda value: f"{value:.1f}", " s"),
            _range([row.mlu for row in own], lambda value: f"{value:.2f}"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    loads = _range([row.load_average for row in rows], lambda value: f"{value:.1f}")
    return "\n".join([*lines, "", f"{os.cpu_count()} cores, load average {loads} when runs began."])


def _range(values: Sequence[float | None], text: Callable[[float], str], unit: str = "") -> str:
    """Return "least to most", with words for the runs in which there was none."""
    known = [value for value in values if value is not None]
    if not known:
        return "none" if values else "-"
    ends = dict.fromkeys((text(min(known)), text(max(known))))
    missing = len(values) - len(known)
    return " to ".join(ends) + unit + (f"; none in {missing} of {len(values)}" if missing else "")


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    arguments = Parser(
        prog="python -m experiments.failures_live",
        description="Let links and routers fail in the emulated network while the agents decide. Needs root.",
        epilog="exit codes: 0 done; 1 a run failed; 2 bad input; 130 Ctrl-C; 143 SIGTERM",
        allow_abbrev=False,
    )
    add = arguments.add_argument
    add("--topology", default="gbn", metavar="NAME|FILE", help="the network [%(default)s]")
    add("--faults", default=FAULTS, metavar="A-B@STEP|R@STEP,...", help="links, both directions, and routers, each "
        "with the decision after which it fails [%(default)s]")  # fmt: skip
    add("--seeds", type=natural, default=3, metavar="N", help="runs of each, with seeds 0 to N-1: of traffic, "
        "decisions and hashes [%(default)s]")  # fmt: skip
    add("--window", type=positive, default=2.0, metavar="SECONDS", help="of traffic measured before and after; the "
        "packets of a failure are counted apart from it [2]")  # fmt: skip
    add("--out", type=Path, metavar="DIR", help="keep the run folders, failures_live.json and failures_live.md there")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}, instead of the table')
    return arguments


def runs_of(options: argparse.Namespace) -> list[list[str]]:
    """Return the main job's arguments for every run, each checked as it will check them; raises InputError."""
    if options.seeds < 1:
        raise InputError("--seeds 0, expected at least 1")
    nodes = load_topology(options.topology).nodes
    faults = [text.strip() for text in options.faults.split(",")]
    if len(set(faults)) < len(faults):
        raise InputError(f"--faults {options.faults}, expected different ones")
    runs = []
    for fault in faults:
        option = "--fail-router" if fault.rpartition("@")[0] in nodes else "--fail"
        arguments = [options.topology, option, fault, "--window", str(options.window)]
        prepare(parse(arguments))
        runs += [[*arguments, "--seed", str(seed)] for seed in range(options.seeds)]
    return runs


def _run(argv: Sequence[str] | None) -> int:
    options = parser().parse_args(argv)
    runs = runs_of(options)
    extend_path()
    check_emulation()
    if options.out is not None:
        run_folder(options.out, options.topology)
    rows, failed = [], 0
    console = Console(stderr=True)
    kept = nullcontext(options.out) if options.out is not None else tempfile.TemporaryDirectory(prefix="lockstep-live-")
    with kept as folder:
        for number, arguments in enumerate(runs, start=1):
            fault, seed = arguments[2], arguments[-1]
            at = f"{number} of {len(runs)}: {fault}, seed {seed}"
            load_average = os.getloadavg()[0]
            try:
                with console.status(at, spinner="line"):
                    summary = run_main_job(arguments, Path(folder) / _folder_name(number, fault, seed))
            except RunFailed as error:
                failed += 1
                print(f"failures_live: {at}: {error}", file=sys.stderr)
                continue
            rows.append(row_of(summary, load_average))
            if summary.failure is not None:
                print(f"{at}: {failure_words(summary.failure)}", file=sys.stderr)
    text = json.dumps({"rows": [asdict(row) for row in rows]})
    print(text if options.json else markdown(rows))
    if options.out is not None:
        write_atomic(options.out / "failures_live.json", text.encode() + b"\n")
        write_atomic(options.out / "failures_live.md", markdown(rows).encode() + b"\n")
    return 1 if failed else 0


def _folder_name(number: int, fault: str, seed: str) -> str:
    """Return a name for a run folder, whatever the network's nodes are called."""
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9.@_-]', '_', fault)}-seed{seed}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if a run failed, 2 bad input, 130 or 143 when interrupted."""
    return command("failures_live", _run, argv, hint=_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
