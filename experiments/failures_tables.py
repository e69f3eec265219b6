"""From records to Figure 6: what each method reaches with n failed links, and how much worse that is than with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.failures_scenarios import split
from experiments.quality_tables import Row


@dataclass(frozen=True)
class Point:
    """One method with one number of failed links.

    `degradation` is MLU over the method's own MLU on the whole network, matrix by matrix; `ratio` is MLU over the
    bound. Of each matrix the scenarios are averaged first, as in paper 003: deviations are over matrices. For
    `degradation_deviation_all` they are over all instances. None: not known for every instance.
    """

    failed: int
    method: str
    instances: int
    mlu: float
    ratio: float | None
    ratio_deviation: float | None
    degradation: float | None
    degradation_deviation: float | None
    degradation_deviation_all: float | None
    seconds: float


def points(rows: Sequence[Row], bound: str) -> list[Point]:
    """Return the points of every method, and those of the bound under the name `bound`."""
    rows = [*rows, *_bounds(rows, bound)]
    whole = {(row.method, split(row.key)[0]): row.mlu for row in rows if split(row.key)[1] == 0}
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, split(row.key)[1]), []).append(row)
    methods = list(dict.fromkeys(row.method for row in rows))
    order = sorted(groups, key=lambda group: (methods.index(group[0]), group[1]))
    return [_point(method, failed, groups[method, failed], whole) for method, failed in order]


def _bounds(rows: Sequence[Row], name: str) -> list[Row]:
    """Return the bound as a method's rows."""
    known = {row.key: row for row in rows if row.ratio}
    return [
        Row(*key, name, row.mlu / row.ratio, 1.0, 0.0, 0.0, 0)
        for key, row in known.items()
        if row.ratio and name not in {other.method for other in rows}
    ]


def _point(method: str, failed: int, rows: Sequence[Row], whole: dict[tuple[str, int | str], float]) -> Point:
    ratios: dict[int | str, list[float]] = {}
    degradations: dict[int | str, list[float]] = {}
    for row in rows:
        matrix = split(row.key)[0]
        if row.ratio is not None:
            ratios.setdefault(matrix, []).append(row.ratio)
        if (method, matrix) in whole:
            degradations.setdefault(matrix, []).append(row.mlu / whole[method, matrix])
    ratio = _mean(ratios, len(rows))
    degradation = _mean(degradations, len(rows))
    return Point(
        failed=failed,
        method=method,
        instances=len(rows),
        mlu=float(np.mean([row.mlu for row in rows])),
        ratio=ratio and ratio[0],
        ratio_deviation=ratio and ratio[1],
        degradation=degradation and degradation[0],
        degradation_deviation=degradation and degradation[1],
        degradation_deviation_all=degradation and degradation[2],
        seconds=float(np.mean([row.seconds for row in rows])),
    )


def _mean(by_matrix: dict[int | str, list[float]], instances: int) -> tuple[float, float, float] | None:
    """Return the mean over matrices of the means over scenarios, its deviation, and that over all instances."""
    values = [value for own in by_matrix.values() for value in own]
    if len(values) < instances:
        return None
    means = [float(np.mean(own)) for own in by_matrix.values()]
    return float(np.mean(means)), float(np.std(means)), float(np.std(values))


def markdown(found: Sequence[Point]) -> str:
    """Return two tables, methods by failed links: ratio to the bound, and degradation, each with its deviation."""
    failed = sorted({point.failed for point in found})
    parts = []
    for title, value, deviation in (
        ("MLU over the bound of the same scenario", "ratio", "ratio_deviation"),
        ("MLU over the method's own without failures", "degradation", "degradation_deviation"),
    ):
        parts += [f"{title}, mean ± deviation over matrices:", ""]
        parts += ["| failed links | " + " | ".join(map(str, failed)) + " |", "|---" + "|--:" * len(failed) + "|"]
        for method in dict.fromkeys(point.method for point in found):
            own = {point.failed: point for point in found if point.method == method}
            cells = [_cell(own.get(n), value, deviation) for n in failed]
            if value == "degradation" or set(cells) != {"1.000 ± 0.000"}:
                parts.append(f"| {method} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _cell(point: Point | None, value: str, deviation: str) -> str:
    if point is None or getattr(point, value) is None:
        return "-"
    return f"{getattr(point, value):.3f} ± {getattr(point, deviation):.3f}"
