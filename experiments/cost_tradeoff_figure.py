"""The trade-off of bytes, MLU and seconds, one mark per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments.cost_points import short

_MARKS = "osD^v"
_OPENING = "*"
_INT8 = "X"
# What stands below a panel, its marks on the axis, and what one is in it.
_PANELS = {
    "of_paper": ("bytes on the wire, of the paper's", (0.01, 0.02, 0.05, 0.1, 0.2, 0.3), 1.0, "{:.0%}"),
    "cpu_s": ("central engine, ms of one core", (1, 2, 5, 10, 20), 1e3, "{:g}"),
    "light_s": ("seconds that light takes", (0.5, 1, 2, 3, 5, 7), 1.0, "{:g}"),
}


def draw(points: Sequence[Any], fronts: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Write the figure: MLU over bytes, computing and the time of light; lines join what nothing beats in both.

    points : of `experiments.cost_points`
    fronts : by their field "of_paper", "cpu_s" and "light_s", the undominated; int8 is not computed as an engine would
    """
    checkpoints = list(dict.fromkeys(point.checkpoint for point in points))
    increments = sorted({point.increments for point in points})
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12.0, 4.4), layout="constrained")
        panels = dict(zip(_PANELS, figure.subplots(1, 3, sharey=True), strict=True))
        left, right = panels["of_paper"], panels["light_s"]
        for of, (below, ticks, unit, words) in _PANELS.items():
            axes, front = panels[of], fronts[of]
            line = [getattr(p, of) * unit for p in front]
            axes.plot(line, [p.mlu for p in front], "-", color="0.6", linewidth=1, zorder=0)
            for point in points:
                if of == "cpu_s" and point.wire == "int8":
                    continue
                own = point.share == "candidate"
                mark = _OPENING if point.opening > 1 else _MARKS[increments.index(point.increments) % len(_MARKS)]
                at = getattr(point, of) * unit
                axes.plot(
                    at, point.mlu, _INT8 if point.wire == "int8" else mark,
                    color=f"C{checkpoints.index(point.checkpoint)}", markersize=3 + 1.5 * min(point.rounds, 3),
                    fillstyle="none" if point.patience else "full", alpha=0.85 if own else 0.4,
                )  # fmt: skip
                if point.shipped:
                    axes.plot(at, point.mlu, "o", color="0.1", markersize=14, fillstyle="none")
            axes.set_xscale("log")
            axes.axhline(1.0, color="0.4", linewidth=0.8, linestyle=":")
            axes.grid(alpha=0.3)
            axes.set_xticks(ticks)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _, words=words: words.format(value)))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(below)
        for share, words in ((0.2, "a fifth"), (0.1, "a tenth")):
            left.axvline(share, color="0.4", linewidth=0.8, linestyle=":")
            left.annotate(words, (share, 1.0), (2, -10), xycoords=("data", "axes fraction"), textcoords="offset points")
        low, high = min(p.mlu for p in points), sorted(p.mlu for p in points)[int(0.9 * (len(points) - 1))]
        left.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
        left.set_ylabel("MLU, relative to greedy (dotted)")
        marks = [(f"{n} per decision", _MARKS[increments.index(n) % len(_MARKS)], "0.3") for n in increments]
        names = [(short(name), "o", f"C{i}") for i, name in enumerate(checkpoints)]
        for words, mark, colour in [*names, *marks]:
            right.plot([], [], mark, color=colour, label=words)
        right.plot([], [], _OPENING, color="0.3", label="several at first, then 1")
        right.plot([], [], _INT8, color="0.3", label="int8 hidden states")
        right.plot([], [], "o", color="0.3", fillstyle="none", label="ends early")
        right.plot([], [], "o", color="0.1", markersize=10, fillstyle="none", label="as recommended")
        right.legend(frameon=False, title="larger mark: more rounds", fontsize=7)
        figure.savefig(path, dpi=130)
