"""Figure 6 of paper 003."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.failures_tables import Point


def draw(found: Sequence[Point], path: Path, title: str) -> None:
    """Write the figure: degradation as in paper 003's Figure 6, and beside it the ratio to each scenario's bound."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.0, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        methods = list(dict.fromkeys(point.method for point in found))
        for number, method in enumerate(methods):
            own = [point for point in found if point.method == method]
            shift = 0.07 * (number - (len(methods) - 1) / 2)  # bars beside each other can be read
            for axes, value, deviation in (
                (left, "degradation", "degradation_deviation"),
                (right, "ratio", "ratio_deviation"),
            ):
                known = [point for point in own if getattr(point, value) is not None]
                axes.errorbar(
                    [point.failed + shift for point in known],
                    [getattr(point, value) for point in known],
                    [getattr(point, deviation) for point in known],
                    label=method if axes is left else None, color=f"C{number % 10}", marker="o", markersize=3,
                    linewidth=1.3, elinewidth=0.8, capsize=2,
                )  # fmt: skip
        left.set_ylabel("MLU / own MLU without failures")
        right.set_ylabel("MLU / bound of the scenario")
        _keep_readable(right, [point for point in found if point.ratio is not None])
        for axes in (left, right):
            axes.set_xlabel("failed links")
            axes.set_xticks(sorted({point.failed for point in found}))
            axes.grid(alpha=0.3)
        left.set_title(title, loc="left")
        figure.legend(loc="outside right center", frameon=False)
        figure.savefig(path, dpi=130)


def _keep_readable(axes: Axes, found: Sequence[Point]) -> None:
    """Cut off methods that are far above the others: OSPF's ratio would squeeze the rest into a line."""
    middle = [max(p.ratio or 0.0 for p in found if p.method == method) for method in {p.method for p in found}]
    near = [value for value in middle if value <= 1.0 + 4 * (float(np.median(middle)) - 1.0)]
    if len(near) < len(middle):
        axes.set_ylim(0.98, 1.0 + 1.25 * (max(near) - 1.0))
