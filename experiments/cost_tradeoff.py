"""Bytes against MLU against seconds: what every setting of the protocol costs, and what it reaches.

    python -m experiments.cost_tradeoff --data DIR --out OUT
    python -m experiments.cost_tradeoff --data DIR --checkpoints default,FILE --out OUT

Every setting of `experiments.cost_points` plays one episode on each instance of NSFNet and GEANT2, with uniform and
gravity traffic, by the central engine, which decides as agents would; what agents would send is calculated. With
``--data`` the matrices are those that the trainer validates on (80-99), so that a setting may be chosen by the result;
else they are generated.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path

from emulation.atomic import write_atomic
from experiments.batch import Parser, command, natural
from experiments.cost_points import Point, measure, settings_of
from experiments.quality_instances import PROFILES, Source
from routing.errors import InputError

NETWORKS = ("nsfnet", "geant2")
_VALIDATION = 80  # the first matrix
_GENERATED = 1_000_000  # seeds as far from the trainer's as its own validation's


def best(points: Sequence[Point], of: str = "of_paper") -> list[Point]:
    """Return the settings that no other beats in both bytes (or `of`) and MLU, cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (getattr(point, of), point.mlu)):
        if not front or point.mlu < front[-1].mlu:
            front.append(point)
    return front


def telling(points: Sequence[Point]) -> list[Point]:
    """Return what a table needs: the undominated, each checkpoint's own settings, and those that differ by one thing.

    That is int8 or logits, another K, no opening, or patience: one at a time.
    """
    front = {point.label for point in best(points)}
    own = {point.checkpoint: point for point in points if point.shipped}
    varied = ("rounds", "increments", "opening", "patience", "share", "wire")

    def near(point: Point) -> bool:
        usual = own.get(point.checkpoint)
        return usual is not None and sum(getattr(point, name) != getattr(usual, name) for name in varied) <= 1

    return [point for point in points if point.label in front or near(point)]


def markdown(points: Sequence[Point]) -> str:
    """Return the telling points as a table, the undominated in bold, what checkpoints recommend in italics."""
    front = {point.label for point in best(points)}
    lines = [
        "| setting | MLU to greedy's | decisions | hidden kB | sharing kB | wire kB | of the paper's | CPU ms "
        "| light s |",
        "|---" + "|--:" * 8 + "|",
    ]
    for point in sorted(telling(points), key=lambda point: point.of_paper):
        name = f"*{point.label}*" if point.shipped else point.label
        cells = [
            f"**{name}**" if point.label in front else name,
            f"{point.mlu:.4f} ± {point.deviation:.4f}",
            f"{point.decisions:.0f}",
            *(f"{amount / 1e3:.1f}" for amount in (point.hidden_bytes, point.sharing_bytes, point.wire_bytes)),
            f"{point.of_paper:.1%}",
            "" if point.wire == "int8" else f"{1e3 * point.cpu_s:.1f}",  # not computed as an engine would
            f"{point.light_s:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _run(argv: Sequence[str] | None) -> int:
    arguments = Parser(prog="python -m experiments.cost_tradeoff", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--data", type=Path, metavar="DIR", help="the published data set [else generated matrices]")
    add("--matrices", type=natural, default=10, metavar="N", help="of each network and kind of traffic [10]")
    add("--checkpoints", default="default,lookahead,moves", metavar="NAME,...", help="names or files [%(default)s]")
    add("--increments", default="1,2,4", metavar="N,...", help="links per decision [%(default)s]")
    add("--patience", default="0,2,3,4,8", metavar="N,...", help="end after T/N without anything better; 0: never "
        "[%(default)s]")  # fmt: skip
    add("--quick", action="store_true", help="2 matrices, and only the default policy")
    add("--out", type=Path, metavar="DIR", help="write tradeoff.csv (every setting), tradeoff.md and tradeoff.png")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}, of every setting')
    options = arguments.parse_args(argv)
    if options.out is not None and find_spec("matplotlib") is None:
        raise InputError("--out draws a figure and needs matplotlib, expected `scripts/setup experiments`")
    matrices = 2 if options.quick else options.matrices
    if matrices < 1:
        raise InputError("--matrices 0, expected at least 1")
    first = _VALIDATION if options.data else _GENERATED
    cells = tuple((name, profile) for name in NETWORKS for profile in PROFILES)
    initial = "paper" if options.data else "random:1"
    source = Source(cells, tuple(range(first, first + matrices)), data=options.data, initial=initial)
    checkpoints = ["default"] if options.quick else options.checkpoints.split(",")
    increments = _numbers("--increments", options.increments, 1)
    patience = _numbers("--patience", options.patience, 0)
    points = measure(source, settings_of(checkpoints, increments, patience))
    print(json.dumps({"rows": [asdict(point) for point in points]}) if options.json else markdown(points))
    if options.out is not None:
        _write(points, options.out)
    return 0


def _numbers(option: str, text: str, least: int) -> list[int]:
    if not all(part.isascii() and part.isdigit() and least <= int(part[:10]) < 1000 for part in text.split(",")):
        raise InputError(f"{option} {text!r}, expected whole numbers from {least} to 999 as in 1,2,4")
    return [int(part) for part in text.split(",")]


def _write(points: Sequence[Point], folder: Path) -> None:
    from experiments.cost_tradeoff_figure import draw  # matplotlib: only where a figure is wanted

    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    names = [field.name for field in fields(Point)]
    csv.writer(text, lineterminator="\n").writerows([names, *([getattr(p, name) for name in names] for p in points)])
    write_atomic(folder / "tradeoff.csv", text.getvalue().encode())
    write_atomic(folder / "tradeoff.md", (markdown(points) + "\n").encode())
    computed = [point for point in points if point.wire != "int8"]
    fronts = {"of_paper": best(points), "cpu_s": best(computed, "cpu_s"), "light_s": best(points, "light_s")}
    draw(points, fronts, folder / "tradeoff.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 bad input, 130 or 143 when interrupted."""
    return command("cost_tradeoff", _run, argv, hint="")


if __name__ == "__main__":
    sys.exit(main())
