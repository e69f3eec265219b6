"""The trade-off of bytes, MLU and seconds, one mark per setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments.cost_points import short

_MARKS = "osD^v"
_OPENING = "*"
_INT8 = "X"
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
_SECONDS = (0.5, 1, 2, 3, 4, 5, 6, 7)


def draw(points: Sequence[Any], by_bytes: Sequence[Any], by_light: Sequence[Any], path: Path) -> None:
    """Write the figure: MLU over bytes, and over the time of light; lines join what nothing beats in both.

    points, by_bytes, by_light : of `experiments.cost_points`, all and the undominated
    """
    checkpoints = list(dict.fromkeys(point.checkpoint for point in points))
    increments = sorted({point.increments for point in points})
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.0, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, of, front in ((left, "of_paper", by_bytes), (right, "light_s", by_light)):
            axes.plot([getattr(p, of) for p in front], [p.mlu for p in front], "-", color="0.6", linewidth=1, zorder=0)
            for point in points:
                own = point.share == "candidate"
                mark = _OPENING if point.opening > 1 else _MARKS[increments.index(point.increments) % len(_MARKS)]
                at = getattr(point, of)
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
        for share, words in ((0.2, "a fifth"), (0.1, "a tenth")):
            left.axvline(share, color="0.4", linewidth=0.8, linestyle=":")
            left.annotate(words, (share, 1.0), (2, -10), xycoords=("data", "axes fraction"), textcoords="offset points")
        low, high = min(p.mlu for p in points), sorted(p.mlu for p in points)[int(0.9 * (len(points) - 1))]
        left.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
        for axes, ticks, unit in ((left, _SHARES, "{:.0%}"), (right, _SECONDS, "{:g}")):
            axes.set_xticks(ticks)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: unit.format(value)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        left.set_xlabel("bytes on the wire, of the paper's")
        right.set_xlabel("seconds that light takes")
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
