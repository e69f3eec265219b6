"""The figures of paper 003 (3 to 5): the MLU of each traffic matrix, and its distribution function."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.quality_tables import Row, by_cell

_FAR = 2.2  # times the lowest median
_STYLES = ("-", "--", ":", "-.")  # with ten colours, forty methods can be told apart


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write ``mlu-CELL.png`` and ``cdf-CELL.png`` for each cell and return their paths."""
    written = []
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for cell, own in by_cell(rows).items():
            methods: dict[str, dict[int | str, float]] = {}
            for row in own:
                methods.setdefault(row.method, {})[row.matrix] = row.mlu
            name = re.sub(r"[^A-Za-z0-9.-]+", "-", cell)
            for kind, plot in (("mlu", _per_matrix), ("cdf", _distribution)):
                figure = Figure(figsize=(7.0, 3.6), layout="constrained")
                axes = figure.add_subplot()
                plot(axes, methods)
                axes.set_title(cell, loc="left")
                axes.grid(alpha=0.3)
                figure.legend(loc="outside right center", frameon=False)
                written.append(folder / f"{kind}-{name}.png")
                figure.savefig(written[-1], dpi=130)
    return written


def _look(number: int) -> dict[str, str | float]:
    return {"color": f"C{number % 10}", "linestyle": _STYLES[number // 10 % len(_STYLES)], "linewidth": 1.3}


def _range(methods: Mapping[str, Mapping[int | str, float]]) -> tuple[float, float] | None:
    """Return the MLUs to show, so that methods far off do not squeeze the others; None for all."""
    middle = {method: float(np.median(list(mlu.values()))) for method, mlu in methods.items()}
    near = [method for method in methods if middle[method] <= _FAR * min(middle.values())]
    if len(near) == len(methods):
        return None
    shown = [value for method in near for value in methods[method].values()]
    margin = 0.05 * (max(shown) - min(shown))
    return min(shown) - margin, max(shown) + margin


def _label(method: str, mlu: Mapping[int | str, float], shown: tuple[float, float] | None) -> str:
    return f"{method} (off the scale)" if shown and min(mlu.values()) > shown[1] else method


def _per_matrix(axes: Axes, methods: Mapping[str, Mapping[int | str, float]]) -> None:
    matrices = list(dict.fromkeys(matrix for of in methods.values() for matrix in of))
    within = _range(methods)
    for number, (method, mlu) in enumerate(methods.items()):
        values = [mlu.get(matrix, np.nan) for matrix in matrices]
        label = _label(method, mlu, within)
        axes.plot(range(len(matrices)), values, label=label, marker=".", markersize=3, **_look(number))  # type: ignore[arg-type]
    axes.set_ylim(within)
    shown = range(0, len(matrices), max(1, -(-len(matrices) // 10)))
    axes.set_xticks(list(shown), [Path(str(matrices[at])).name for at in shown])
    axes.set_xlabel("traffic matrix")
    axes.set_ylabel("maximum link utilization")


def _distribution(axes: Axes, methods: Mapping[str, Mapping[int | str, float]]) -> None:
    within = _range(methods)
    for number, (method, mlu) in enumerate(methods.items()):
        axes.ecdf(list(mlu.values()), label=_label(method, mlu, within), **_look(number))  # type: ignore[arg-type]
    axes.set_xlim(within)
    axes.set_xlabel("maximum link utilization")
    axes.set_ylabel("share of the matrices")
