"""REPETITA's topologies and traffic matrices.

S. Gay, P. Schaus, S. Vissicchio, "REPETITA: Repeatable Experiments for Performance Evaluation of Traffic-Engineering
Algorithms", 2017 (arXiv:1710.08665); its instances are on GitHub, svissicchio/Repetita.

A topology (``.graph``) and a traffic matrix (``.demands``) are lines of words, separated by spaces::

    NODES 2                           DEMANDS 1
    label x y                         label src dest bw
    0_Oslo 10.75 59.91                demand_0 0 1 300632
    1_Bergen 5.32 60.39

    EDGES 2
    label src dest weight bw delay
    edge_0 0 1 10 9953280 300
    edge_1 1 0 10 9953280 300

`x` and `y` are longitude and latitude (0 0 where unknown), nodes are meant by their number, `weight` is that of OSPF,
`bw` is in kbit/s (REPETITA's converter from GraphML divides bit/s by 1000) and `delay` in microseconds. Delays are not
used: what is written has 1.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from routing.draft import (
    Draft,
    DraftDemand,
    DraftLink,
    are_degrees,
    demand_matrix,
    nonnegative,
    number,
    positive,
    text_of,
)
from routing.errors import InputError
from routing.rates import in_units
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_KILO = 3
_NODE, _EDGE, _DEMAND = "label x y", "label src dest weight bw delay", "label src dest bw"
Row = tuple[int, list[str]]  # number of the line, its words


def read_graph(content: bytes, name: str) -> Draft:
    """Read a ``.graph`` file; raises InputError with a line."""
    rows = _rows(content, "a REPETITA topology")
    nodes, rows = _section(rows, "NODES", _NODE)
    edges, rows = _section(rows, "EDGES", _EDGE)
    if rows:
        raise InputError("more after the edges, expected the end of the file", line=rows[0][0])
    positions = [_position(words, line) for line, words in nodes]
    links = [
        DraftLink(
            _index(words[1], len(nodes), line),
            _index(words[2], len(nodes), line),
            positive(words[4], line, "bw in kbit/s", _KILO),
            _weight(words[3], line),
            line,
        )
        for line, words in edges
    ]
    return Draft(name, [words[0] for _, words in nodes], positions, are_degrees(positions), links)


def demands_matrix(content: bytes, num_nodes: int) -> NDArray[np.float64]:
    """Read a ``.demands`` file for a topology of `num_nodes` nodes, (N, N) bit/s; raises InputError with a line."""
    demands, rows = _section(_rows(content, "REPETITA demands"), "DEMANDS", _DEMAND)
    if rows:
        raise InputError("more after the demands, expected the end of the file", line=rows[0][0])
    rates = [
        DraftDemand(
            _index(words[1], num_nodes, line),
            _index(words[2], num_nodes, line),
            nonnegative(words[3], line, "bw in kbit/s", _KILO),
        )
        for line, words in demands
    ]
    return demand_matrix(rates, num_nodes)


def write_graph(topology: Topology, weights: NDArray[np.int64]) -> str:
    """Return `topology` and (L,) `weights` as a ``.graph`` file.

    Blanks in names become ``_``. Read back, the links and capacities are the same bit for bit.
    """
    lines = [f"NODES {topology.num_nodes}", _NODE]
    for name, (x, y) in zip(labels(topology.nodes), topology.positions.tolist(), strict=True):
        lines.append(f"{name} {x!r} {y!r}" if np.isfinite([x, y]).all() else f"{name} 0.0 0.0")
    lines += ["", f"EDGES {topology.num_links}", _EDGE]
    ends = zip(topology.src.tolist(), topology.dst.tolist(), weights.tolist(), topology.capacity.tolist(), strict=True)
    for link, (src, dst, weight, rate) in enumerate(ends):
        lines.append(f"edge_{link} {src} {dst} {weight} {in_units(rate, _KILO)} 1")
    return "\n".join([*lines, ""])


def write_demands(traffic: TrafficMatrix) -> str:
    """Return the demands above zero as a ``.demands`` file; read back, they are the same bit for bit."""
    pairs = np.argwhere(traffic.demand > 0).tolist()
    lines = [f"DEMANDS {len(pairs)}", _DEMAND]
    for demand, (src, dst) in enumerate(pairs):
        lines.append(f"demand_{demand} {src} {dst} {in_units(traffic.demand[src, dst].item(), _KILO)}")
    return "\n".join([*lines, ""])


def labels(names: tuple[str, ...]) -> list[str]:
    """Return different words for the names: blanks become ``_``, and equal words get the node's number in front."""
    words = ["_".join(name.split()) for name in names]
    while len(set(words)) < len(words):
        words = [f"{node}_{word}" if words.count(word) > 1 else word for node, word in enumerate(words)]
    return words


def _rows(content: bytes, what: str) -> list[Row]:
    lines = text_of(content, what).split("\n")
    return [(line, text.split()) for line, text in enumerate(lines, start=1) if text.strip()]


def _section(rows: list[Row], title: str, header: str) -> tuple[list[Row], list[Row]]:
    """Return the rows of the section that begins here, and what follows it."""
    line, words = rows[0] if rows else (None, [])
    if len(words) != 2 or words[0] != title or not re.fullmatch("[0-9]{1,9}", words[1]):
        raise InputError(f"{' '.join(words)[:40]!r}, expected '{title}' and their number", line=line)
    if len(rows) < 2 or rows[1][1] != header.split():
        raise InputError(f"expected the header {header!r} after {title}", line=rows[1][0] if len(rows) > 1 else line)
    count = int(words[1])
    body, rest = rows[2 : 2 + count], rows[2 + count :]
    columns = len(header.split())
    for at, row in body:
        if len(row) != columns:
            raise InputError(f"{len(row)} columns, expected {header!r} ({title} promises {count} rows)", line=at)
    if len(body) < count:
        raise InputError(f"the file ends after {len(body)} of {count} {title}", line=rows[-1][0])
    return body, rest


def _position(words: list[str], line: int) -> tuple[float, float]:
    x, y = (number(word, line, f"a coordinate ({_NODE})") for word in words[1:])
    return (np.nan, np.nan) if x == 0 and y == 0 else (x, y)


def _index(text: str, num_nodes: int, line: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) >= num_nodes:
        raise InputError(f"node {text[:20]!r}, expected a number 0..{num_nodes - 1}", line=line)
    return int(text)


def _weight(text: str, line: int) -> int:
    if not re.fullmatch("-?[0-9]{1,18}", text):
        raise InputError(f"weight {text[:20]!r}, expected a whole number", line=line)
    return int(text)
