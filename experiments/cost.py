"""Table I of paper 003: what one optimisation costs, in seconds, frames and bytes, beside what the paper has.

    python -m experiments.cost --topology nsfnet,gbn --engine central,loopback
    python -m experiments.cost --json > cost.json

Engines: ``central`` (one process; what the agents would send is calculated), ``loopback`` (every agent a process,
counted at its sockets), ``mininet`` (as root; the interfaces' counters beside). Synthetic networks are for the central
engine only unless an engine is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from agent.session import OVERHEAD
from experiments.cost_engines import Row, central, distributed
from experiments.cost_model import WIRE_HEADERS
from routing.errors import InputError

NETWORKS = ("nsfnet", "gbn", "geant2", "synth500", "synth1000")
ENGINES = ("central", "loopback", "mininet")
# The noise of the draw grows with log L: at temperature 1 the draws among thousands of links are hardly the policy's.
LARGE_TEMPERATURE = 0.25
AGREEMENT = 0.01  # that the agents' counts and the interfaces' must have
PAPER_S = {"nsfnet": 0.0998, "gbn": 0.133, "geant2": 0.212, "synth500": 8.40, "synth1000": 19.2}
PAPER_MB = {"nsfnet": 0.12, "gbn": 0.18, "geant2": 0.25, "synth500": 13.4, "synth1000": 27.0}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    arguments = _Parser(prog="python -m experiments.cost", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--topology", default=",".join(NETWORKS), metavar="NAME,...", help="networks [%(default)s]")
    add("--engine", metavar="NAME,...", help="central, loopback, mininet [central,loopback; synthetic ones central]")
    add("--seed", type=int, default=1, help="of traffic and samples [1]")
    add("--repeats", type=int, default=5, metavar="N", help="the fastest of N counts [5]")
    add("--increments", type=int, default=1, metavar="N", help="links per decision of the central engine [1]")
    add(
        "--temperature",
        type=float,
        metavar="X",
        help="of the central engine's samples [the checkpoint's; synthetic 0.25]",
    )
    add("--opening", type=int, metavar="N", help="links in the central engine's first decisions [the checkpoint's; "
        "synthetic 1]")  # fmt: skip
    add("--patience", type=int, metavar="N", help="end the central engine's episode when N decisions brought nothing "
        "better; 0: never [the checkpoint's; synthetic 0]")  # fmt: skip
    add("--threads", type=int, metavar="N", help="of the central engine [2 from 200 nodes on, else 1]")
    add("--steps", type=int, metavar="T", help="increments of the central engine [the paper's T]")
    add("--checkpoint", default="default", metavar="NAME|FILE", help="the policy [default]")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}')
    return arguments


def measure(options: argparse.Namespace) -> list[Row]:
    """Return a row for each network and engine that was asked for; raises InputError."""
    names = options.topology.split(",")
    asked = options.engine.split(",") if options.engine else None
    for engine in asked or ():
        if engine not in ENGINES:
            raise InputError(f"no engine {engine!r}, expected {', '.join(ENGINES)}")
    given = (options.repeats, options.increments, options.steps, options.threads, options.opening)
    if any(number is not None and number < 1 for number in given):
        raise InputError("--repeats, --increments, --steps, --opening and --threads: expected at least 1")
    if options.patience is not None and options.patience < 0:
        raise InputError(f"--patience {options.patience}, expected at least 0")
    rows: list[Row] = []
    for name in names:
        large = name.startswith("synth")
        beside = central(
            name,
            seed=options.seed,
            steps=options.steps,
            increments=options.increments,
            threads=options.threads,
            opening=options.opening or (1 if large else None),
            patience=0 if large and options.patience is None else options.patience,
            repeats=options.repeats,
            checkpoint=options.checkpoint,
            temperature=options.temperature or (LARGE_TEMPERATURE if large else None),
        )
        engines = asked or (("central",) if large else ("central", "loopback"))
        for engine in engines:
            common = {"seed": options.seed, "repeats": options.repeats, "checkpoint": options.checkpoint}
            rows.append(beside if engine == "central" else distributed(name, engine, beside, **common))
            print(f"{name} {engine}: {rows[-1].seconds:.4g} s", file=sys.stderr)
    return rows


def disagreement(row: Row) -> list[str]:
    """Say where the agents' counts and the interfaces' are more than 1 % apart."""
    if row.counts_apart is None or row.counts_apart <= AGREEMENT:
        return []
    return [f"{row.topology} {row.engine}: agents and interfaces count {row.counts_apart:.1%} apart, over 1 %"]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, beside the paper's."""
    lines = [
        "| network | engine | T | decisions | s | CPU s | paper s | MLU | greedy, T | greedy, same time | frames/link "
        "| hidden kB | sharing kB | control kB | of it repeated kB | payload kB | frame kB | wire kB | paper kB "
        "| wire MB/s | CPU s/router | propagation s | interfaces apart |",
        "|---|---" + "|--:" * 21 + "|",
    ]
    for row in rows:
        paper_s = f"{PAPER_S[row.topology]:g}" if row.topology in PAPER_S else ""
        paper_kb = f"{1e3 * PAPER_MB[row.topology]:,.0f}" if row.topology in PAPER_MB else ""
        mark = "*" if row.calculated else ""
        kilobytes = [
            f"{amount / 1e3:,.1f}{mark}"
            for amount in (
                row.hidden_state_bytes_per_link,
                row.sharing_bytes_per_link,
                row.control_bytes_per_link,
                row.repeated_bytes_per_link,
                row.bytes_per_link - OVERHEAD * row.frames_per_link,
                row.bytes_per_link,
                row.wire_bytes_per_link,
            )
        ]
        cells = [
            row.topology,
            row.engine + (f", {row.increments} per decision" if row.increments > 1 else ""),
            f"{row.steps}",
            f"{row.decisions}",
            f"{row.seconds:.4g}",
            "" if row.cpu_seconds is None else f"{row.cpu_seconds:.4g}",
            paper_s,
            f"{row.mlu:.4f}",
            f"{row.greedy_mlu:.4f} ({row.greedy_seconds:.3g} s)",
            f"{row.greedy_same_time_mlu:.4f}",
            f"{row.frames_per_link:,.0f}{mark}",
            *kilobytes,
            paper_kb,
            f"{row.rate_mb_s:.3g}{mark}",
            f"{row.compute_s_per_router:.3g}",
            f"{row.propagation_s:.3g}",
            "" if row.counts_apart is None else f"{row.counts_apart:.2%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"kB per directed link and optimisation: payload; frames (counter and tag: {OVERHEAD} bytes); on the wire "
        f"(UDP, IPv4, Ethernet: {WIRE_HEADERS} bytes). \\* by calculation. Calibration loop: "
        f"{1e3 * min(row.calibration_s for row in rows):.0f} ms.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 if agents and interfaces count differently, 2 bad input."""
    try:
        options = parser().parse_args(argv)
        rows = measure(options)
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
