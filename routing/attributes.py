"""What nodes and edges with named values mean: the common part of GraphML and GML.

- a node is called by its `label` where all nodes have one and no two the same, else by its id;
- `lat`/`lon` (or `Latitude`/`Longitude`, as in the Topology Zoo) in degrees, or else `x`/`y` as mere drawing positions;
- an undirected edge stands for a link in each direction;
- the capacity of an edge in bit/s: `capacity_<profile>`, or else `capacity`. A file that knows neither, like those of
  the Topology Zoo (https://topology-zoo.org): its `LinkSpeedRaw`, bit/s, where an edge has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from routing.draft import Draft, DraftLink
from routing.errors import InputError

Values = dict[str, tuple[str, int]]  # by name: text and line
# (latitude or y, longitude or x) of a node, the first pair that occurs in the file counts.
_POSITION_KEYS = (("lat", "lon"), ("Latitude", "Longitude"), ("y", "x"))
_ZOO_SPEED = "LinkSpeedRaw"


@dataclass(frozen=True)
class Edge:
    """From and to node indices; `directed`: it stands for one link, not for two."""

    src: int
    dst: int
    directed: bool
    values: Values
    line: int


@dataclass(frozen=True)
class AttributedGraph:
    """A graph as the file has it. `nodes`: values by id; `edge_keys`: names that the values of edges can have."""

    nodes: dict[str, Values]
    edges: list[Edge]
    edge_keys: frozenset[str]


def make_draft(graph: AttributedGraph, name: str, profile: str) -> Draft:
    """Interpret the values; raises InputError with a line."""
    profiles = _profiles(graph.edge_keys)
    exact = bool(profiles) or "capacity" in graph.edge_keys
    positions, geographic = _positions(graph)
    links = []
    for edge in graph.edges:
        capacity = _capacity(edge, profile, profiles) if exact else _zoo_capacity(edge)
        links.append(DraftLink(edge.src, edge.dst, capacity, line=edge.line))
        if not edge.directed:
            links.append(DraftLink(edge.dst, edge.src, capacity, line=edge.line))
    return Draft(name, _names(graph), positions, geographic, links, exact=exact)


def _names(graph: AttributedGraph) -> list[str]:
    names = [values["label"][0] for values in graph.nodes.values() if "label" in values]
    return names if len(set(names)) == len(graph.nodes) else list(graph.nodes)


def _capacity(edge: Edge, profile: str, profiles: list[str]) -> float:
    wanted = f"capacity_{profile}"
    found = edge.values.get(wanted) or edge.values.get("capacity")
    if found is None:
        if profiles and profile not in profiles:
            raise InputError(f"no capacities for profile {profile!r}, expected one of {', '.join(profiles)}")
        raise InputError(f"edge without capacity, expected data {wanted!r} or 'capacity' in bit/s", line=edge.line)
    capacity = _number(*found, "capacity in bit/s")
    if not 0 < capacity < np.inf:
        raise InputError(f"capacity is {found[0]}, expected a positive number of bit/s", line=found[1])
    return capacity


def _zoo_capacity(edge: Edge) -> float | None:
    if _ZOO_SPEED not in edge.values:
        return None
    text, line = edge.values[_ZOO_SPEED]
    speed = _number(text, line, f"{_ZOO_SPEED} in bit/s")
    if not 0 <= speed < np.inf:
        raise InputError(f"{_ZOO_SPEED} is {text}, expected a number of bit/s", line=line)
    return speed or None


def _profiles(keys: Iterable[str]) -> list[str]:
    names = (re.fullmatch("capacity_(.+)", key) for key in keys)
    return sorted({name[1] for name in names if name})


def _positions(graph: AttributedGraph) -> tuple[list[tuple[float, float]], bool]:
    """Longitude and latitude, or x and y; and whether it is the former."""
    for vertical, horizontal in _POSITION_KEYS:
        geographic = vertical != "y"
        positions = [
            (
                _coordinate(values, horizontal, 180.0 if geographic else np.inf),
                _coordinate(values, vertical, 90.0 if geographic else np.inf),
            )
            for values in graph.nodes.values()
        ]
        if not np.isnan(positions).all():
            return positions, geographic
    return [(np.nan, np.nan)] * len(graph.nodes), True


def _coordinate(values: Values, name: str, limit: float) -> float:
    if name not in values:
        return np.nan
    text, line = values[name]
    value = _number(text, line, name)
    if limit < np.inf and not abs(value) <= limit:
        raise InputError(f"{name} is {text}, expected -{limit:g}..{limit:g} degrees", line=line)
    return value


def _number(text: str, line: int, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a number, expected the {what}", line=line) from error
