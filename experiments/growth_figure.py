"""Cost against size, in logarithms, with the fitted laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from experiments.growth_model import Fit

_PANELS = (
    ("seconds", (("central_s", "central engine, CPU"), ("router_s", "each router, CPU"), ("propagation_s", "light"))),
    ("bytes", (("memory_bytes", "memory of each router"), ("bytes_per_link", "sent over each link"))),
)


def draw(rows: Sequence[Any], laws: Mapping[str, Fit], path: Path) -> None:
    """Write the figure: times on the left, bytes on the right; lines are fits, up to ten times the largest size."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        nodes = np.array([row.nodes for row in rows])
        beyond = np.geomspace(nodes.min(), 10 * nodes.max(), 50)
        number = 0
        for axes, (unit, series) in zip(figure.subplots(1, 2), _PANELS, strict=True):
            for name, words in series:
                law = laws[name]
                label = f"{words}: N^{law.exponent:.2f}"
                axes.loglog(nodes, [getattr(row, name) for row in rows], "o", color=f"C{number}", label=label)
                axes.loglog(beyond, [law.at(n) for n in beyond], "-", color=f"C{number}", linewidth=1, alpha=0.7)
                number += 1
            axes.axvspan(nodes.max(), beyond.max(), color="0.93", zorder=0)
            axes.set_xlabel("routers (grey: by the fit)")
            axes.set_ylabel(unit)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        figure.savefig(path, dpi=130)
