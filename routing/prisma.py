"""PRISMA's networks: text files for a packet-level simulation.

R. A. Alliche et al., "PRISMA: A packet routing simulator for multi-agent reinforcement learning", 2022; on GitHub,
rapariciopardo/PRISMA.

A folder of text files, one line per node: ``adjacency_matrix.txt`` (N zeros and ones, symmetric or its upper triangle),
``node_coordinates.txt`` (two numbers, just where to draw the node) and ``node_intensity_normalized.txt`` or
``node_intensity.txt`` (N rates such as ``72.34Kbps``: what the line's node sends to each). PRISMA multiplies the rates
with a load factor of the command line; here they are taken as they are.

Nodes have no names: they are called by their number. Links have no capacities either: all have one rate, an option of
PRISMA's simulator whose default of 500 kbit/s is the default here, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from routing.draft import Draft, DraftDemand, DraftLink, number, text_of
from routing.errors import InputError
from routing.files import read_regular
from routing.rates import in_units, parse_rate
from routing.topology import Topology
from routing.traffic import TrafficMatrix

ADJACENCY = "adjacency_matrix.txt"
_COORDINATES = "node_coordinates.txt"
_INTENSITIES = ("node_intensity_normalized.txt", "node_intensity.txt")
_LINK_RATE = 500e3  # bit/s, sim.cc
T = TypeVar("T")
Row = tuple[int, list[str]]  # number of the line, its words


def read_prisma(adjacency: Path) -> Draft:
    """Read an adjacency matrix and, where they are, the other files beside it.

    Raises InputError with a line, and a path if it is not `adjacency`'s; OSError if a file cannot be read.
    """
    folder = adjacency.resolve().parent
    name = folder.name if adjacency.name == ADJACENCY else adjacency.stem
    rows = _rows(read_regular(adjacency))
    links = _links(rows)
    num_nodes = len(rows)
    positions = [(math.nan, math.nan)] * num_nodes
    coordinates = adjacency.parent / _COORDINATES
    if coordinates.exists():
        positions = _read(coordinates, _positions)
        if len(positions) != num_nodes:
            raise InputError(f"{len(positions)} lines, expected one for each of {num_nodes} nodes", coordinates)
    demands = None
    for candidate in (adjacency.parent / intensity for intensity in _INTENSITIES):
        if demands is None and candidate.exists():
            demands = _read(candidate, lambda rows: _demands(rows, num_nodes))
    names = [str(node) for node in range(num_nodes)]
    return Draft(name, names, positions, False, links, demands, default_capacity=_LINK_RATE)


def read_intensities(content: bytes, num_nodes: int) -> list[DraftDemand]:
    """Read a traffic file for `num_nodes` nodes; raises InputError with a line."""
    return _demands(_rows(content), num_nodes)


def write_prisma(folder: Path, topology: Topology, traffic: TrafficMatrix | None) -> list[Path]:
    """Write three files (two without `traffic`) into `folder` and return their paths; capacities and names are lost."""
    linked = np.zeros((topology.num_nodes, topology.num_nodes), dtype=np.int64)
    linked[topology.src, topology.dst] = 1
    known = np.where(np.isfinite(topology.positions), topology.positions, 0.0).tolist()
    files = {
        ADJACENCY: [" ".join(map(str, row)) for row in linked.tolist()],
        _COORDINATES: [f"{x!r} {y!r}" for x, y in known],
    }
    if traffic is not None:
        rows = traffic.demand.tolist()
        files[_INTENSITIES[0]] = [" ".join(f"{in_units(rate, 3)}Kbps" for rate in row) for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return [folder / name for name in files]


def _read(path: Path, parse: Callable[[list[Row]], list[T]]) -> list[T]:
    try:
        return parse(_rows(read_regular(path)))
    except InputError as error:
        raise InputError(error.message, path, error.line) from error


def _rows(content: bytes) -> list[Row]:
    lines = text_of(content, "PRISMA's text files").split("\n")
    return [(line, text.split()) for line, text in enumerate(lines, start=1) if text.strip()]


def _square(rows: list[Row], num_nodes: int, what: str) -> None:
    if len(rows) != num_nodes:
        raise InputError(f"{len(rows)} lines, expected {num_nodes}, one per node")
    for line, words in rows:
        if len(words) != num_nodes:
            raise InputError(f"{len(words)} columns, expected {num_nodes} {what}", line=line)


def _links(rows: list[Row]) -> list[DraftLink]:
    _square(rows, len(rows), "zeros and ones")
    pairs: dict[tuple[int, int], int] = {}
    for src, (line, words) in enumerate(rows):
        for dst, word in enumerate(words):
            if word not in ("0", "1"):
                raise InputError(f"{word[:20]!r} in column {dst + 1}, expected 0 or 1", line=line)
            if word == "1":
                pairs.setdefault((src, dst), line)
                pairs.setdefault((dst, src), line)
    return [DraftLink(src, dst, None, line=line) for (src, dst), line in pairs.items()]


def _positions(rows: list[Row]) -> list[tuple[float, float]]:
    positions = []
    for line, words in rows:
        if len(words) != 2:
            raise InputError(f"{len(words)} columns, expected two coordinates", line=line)
        x, y = (number(word, line, "a coordinate") for word in words)
        positions.append((x, y))
    return positions


def _demands(rows: list[Row], num_nodes: int) -> list[DraftDemand]:
    _square(rows, num_nodes, "rates such as 72.34Kbps")
    demands = []
    for src, (line, words) in enumerate(rows):
        for dst, word in enumerate(words):
            try:
                rate = parse_rate(word)
            except InputError as error:
                raise InputError(f"{error.message} (column {dst + 1})", line=line) from error
            if rate > 0:
                demands.append(DraftDemand(src, dst, rate))
    return demands
