"""From records to figures: means, ratios and wins, as rows, as tables for the terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.quality_instances import Key
from experiments.quality_journal import BOUND, Record, Task

# A tie: the integer kernel's loads are whole quanta, the path searches' are floats.
_TIE = 1e-6
# The data set's bounds are printed with six decimals, solvers are exact to 1e-7; a routing below that is a mistake.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Row:
    """One method on one instance; `ratio` is to the bound, None without one."""

    topology: str
    traffic: str
    matrix: int | str
    method: str
    mlu: float
    ratio: float | None
    seconds: float
    cpu_seconds: float
    evaluations: int

    @property
    def key(self) -> Key:
        """The instance."""
        return Key(self.topology, self.traffic, self.matrix)


@dataclass(frozen=True)
class Summary:
    """One method over several instances; ratios are None unless every instance has a bound."""

    instances: int
    mean_mlu: float
    median_mlu: float
    worst_mlu: float
    mean_ratio: float | None
    median_ratio: float | None
    worst_ratio: float | None
    wins: int
    mean_seconds: float
    mean_cpu_seconds: float


def rows_of(records: Mapping[Task, Record], keys: Sequence[Key], methods: Sequence[str]) -> list[Row]:
    """Return what is there of the wanted instances and methods, in that order."""
    rows = []
    for key in keys:
        bound = records.get((key, BOUND), {}).get("bound")
        for method in methods:
            record = records.get((key, method))
            if record is not None:
                ratio = record["mlu"] / bound if bound else None
                figures = (record[name] for name in ("seconds", "cpu_seconds", "evaluations"))
                rows.append(Row(*key, method, record["mlu"], ratio, *figures))
    return rows


def beating(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are better than possible: there must be none."""
    return [row for row in rows if row.ratio is not None and row.ratio < 1.0 - _TOLERANCE]


def summaries(rows: Sequence[Row], bounds: set[str]) -> dict[str, Summary]:
    """Summarise each method; `bounds` names those that give no routing and win nothing."""
    best: dict[Key, float] = {}
    for row in rows:
        if row.method not in bounds:
            best[row.key] = min(row.mlu, best.get(row.key, np.inf))
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row.method, []).append(row)
    result = {}
    for method, own in by_method.items():
        mlu = [row.mlu for row in own]
        ratios = [row.ratio for row in own if row.ratio is not None]
        known = len(ratios) == len(own)
        result[method] = Summary(
            instances=len(own),
            mean_mlu=float(np.mean(mlu)),
            median_mlu=float(np.median(mlu)),
            worst_mlu=max(mlu),
            mean_ratio=float(np.mean(ratios)) if known else None,
            median_ratio=float(np.median(ratios)) if known else None,
            worst_ratio=max(ratios) if known else None,
            wins=0 if method in bounds else sum(row.mlu <= best[row.key] * (1 + _TIE) for row in own),
            mean_seconds=float(np.mean([row.seconds for row in own])),
            mean_cpu_seconds=float(np.mean([row.cpu_seconds for row in own])),
        )
    return result


def by_cell(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Group rows by network and kind of traffic."""
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(row.key.cell, []).append(row)
    return cells


def as_json(rows: Sequence[Row], bounds: set[str]) -> dict[str, Any]:
    """Return the object that ``--json`` prints: all instances, each method over all, and over each cell."""
    kept = ("mean_mlu", "mean_ratio", "worst_ratio", "mean_seconds")

    def short(of: Sequence[Row]) -> dict[str, dict[str, Any]]:
        return {name: {field: getattr(s, field) for field in kept} for name, s in summaries(of, bounds).items()}

    return {
        "instances": [asdict(row) for row in rows],
        "summary": short(rows),
        "cells": {cell: short(own) for cell, own in by_cell(rows).items()},
    }


def show(rows: Sequence[Row], bounds: set[str], console: Console) -> None:
    """Print one table for each cell, and for several cells the ratios side by side."""
    cells = by_cell(rows)
    for cell, own in cells.items():
        table = Table(title=cell, title_justify="left")
        table.add_column("method", no_wrap=True)
        for heading in ("n", "MLU mean", "median", "worst", "ratio mean", "median", "worst", "wins", "s", "CPU s"):
            table.add_column(heading, justify="right")
        for method, s in summaries(own, bounds).items():
            table.add_row(method, *_cells(s, method in bounds))
        console.print(table)
    if len(cells) > 1:
        header, lines = side_by_side(rows, bounds)
        table = Table(title="mean ratio to the bound", title_justify="left")
        for number, heading in enumerate(header):
            table.add_column(heading, justify="right" if number else "left")
        for line in lines:
            table.add_row(*line)
        console.print(table)


def _cells(s: Summary, bound: bool) -> list[str]:
    mlus = [f"{x:.4f}" for x in (s.mean_mlu, s.median_mlu, s.worst_mlu)]
    ratios = ["-" if x is None else f"{x:.4f}" for x in (s.mean_ratio, s.median_ratio, s.worst_ratio)]
    wins = "-" if bound else str(s.wins)
    return [str(s.instances), *mlus, *ratios, wins, f"{s.mean_seconds:.3g}", f"{s.mean_cpu_seconds:.3g}"]


def side_by_side(rows: Sequence[Row], bounds: set[str], of: str = "mean_ratio") -> tuple[list[str], list[list[str]]]:
    """Return a heading and one line for each method: a figure of `Summary` in each cell, and their mean."""
    cells = {cell: summaries(own, bounds) for cell, own in by_cell(rows).items()}
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        values = [getattr(cell[method], of) if method in cell else None for cell in cells.values()]
        known = [value for value in values if value is not None]
        values.append(float(np.mean(known)) if len(known) == len(values) else None)
        lines.append([method, *("-" if value is None else f"{value:.3f}" for value in values)])
    return ["method", *cells, "mean"], lines


def markdown(rows: Sequence[Row], bounds: set[str]) -> str:
    """Return mean MLU and mean ratio, methods by cells, and each cell's table."""
    parts = []
    for title, of in (("Mean ratio to the bound", "mean_ratio"), ("Mean MLU", "mean_mlu")):
        parts += [f"{title}:", "", *_markdown(*side_by_side(rows, bounds, of)), ""]
    header = ["method", "n", "MLU mean", "median", "worst", "ratio mean", "median", "worst", "wins", "s", "CPU s"]
    for cell, own in by_cell(rows).items():
        lines = [[method, *_cells(s, method in bounds)] for method, s in summaries(own, bounds).items()]
        parts += [f"{cell}:", "", *_markdown(header, lines), ""]
    return "\n".join(parts)


def _markdown(header: list[str], lines: list[list[str]]) -> list[str]:
    rows = ["| " + " | ".join(line) + " |" for line in [header, *lines]]
    return [rows[0], "|---" + "|--:" * (len(header) - 1) + "|", *rows[1:]]


def instances_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV."""
    return _csv([field.name for field in fields(Row)], [list(asdict(row).values()) for row in rows])


def summary_csv(rows: Sequence[Row], bounds: set[str]) -> str:
    """Return the summaries of each cell as CSV."""
    lines = [
        [cell, method, *asdict(s).values()]
        for cell, own in by_cell(rows).items()
        for method, s in summaries(own, bounds).items()
    ]
    return _csv(["cell", "method", *(field.name for field in fields(Summary))], lines)


def _csv(header: list[str], lines: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
