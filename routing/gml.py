"""GML files (M. Himsolt, "GML: A portable Graph File Format", 1997), as the Topology Zoo and topohub publish them.

A file is a list of ``key value`` pairs; a value is a number, a string in double quotes, or a list in brackets. Read are
`graph [ ... ]`, its `directed`, and in it `node [ id ... ]` and `edge [ source ... target ... ]`; what the other values
mean is in `routing.attributes`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

import numpy as np

from routing.attributes import AttributedGraph, Edge, Values, make_draft
from routing.draft import Draft, text_of
from routing.errors import InputError
from routing.topology import Topology

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<string>\"[^\"]*\")|(?P<open>\[)|(?P<close>\])"
    r"|(?P<number>[+-]?(?:[0-9][0-9.]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:INF|NAN)\b)|(?P<key>[A-Za-z_][A-Za-z0-9_]*)"
)


@dataclass
class _List:
    """The pairs in one pair of brackets: `values` that are no lists (the first of equal keys), and `lists`."""

    line: int
    values: Values = field(default_factory=dict)
    lists: list[tuple[str, _List]] = field(default_factory=list)

    def under(self, key: str) -> list[_List]:
        return [entry for name, entry in self.lists if name == key]


def read_gml(content: bytes, name: str, profile: str) -> Draft:
    """Read a network called `name` with the capacities of `profile`; raises InputError with a line."""
    graphs = _parse(text_of(content, "GML")).under("graph")
    if len(graphs) != 1:
        raise InputError(f"{len(graphs)} graphs, expected GML with one 'graph [ ... ]'")
    graph = graphs[0]
    directed = graph.values.get("directed", ("0", 0))[0] not in ("0", "0.0")
    nodes: dict[str, Values] = {}
    lines: dict[str, int] = {}
    for node in graph.under("node"):
        identity = _required(node, "node", "id")
        if identity in nodes:
            raise InputError(f"second node {identity}, first on line {lines[identity]}", line=node.line)
        nodes[identity] = node.values
        lines[identity] = node.line
    index = {identity: number for number, identity in enumerate(nodes)}
    edges = []
    for edge in graph.under("edge"):
        ends = [_required(edge, "edge", key) for key in ("source", "target")]
        for end in ends:
            if end not in index:
                raise InputError(f"edge to unknown node {end}, expected the id of a node", line=edge.line)
        edges.append(Edge(index[ends[0]], index[ends[1]], directed, edge.values, edge.line))
    keys = frozenset(key for edge in edges for key in edge.values)
    return make_draft(AttributedGraph(nodes, edges, keys), name, profile)


def write_gml(topology: Topology) -> str:
    """Return `topology` as GML, with `capacity` in bit/s; read back, it is the same network bit for bit."""
    vertical, horizontal = ("lat", "lon") if topology.geographic else ("y", "x")
    lines = ["graph [", "  directed 1"]
    for index, (name, (x, y)) in enumerate(zip(topology.nodes, topology.positions.tolist(), strict=True)):
        lines += ["  node [", f"    id {index}", f'    label "{_quoted(name)}"']
        axes = ((horizontal, x), (vertical, y))
        lines += [f"    {key} {_real(value)}" for key, value in axes if np.isfinite(value)]
        lines.append("  ]")
    for src, dst, rate in zip(topology.src.tolist(), topology.dst.tolist(), topology.capacity.tolist(), strict=True):
        lines += ["  edge [", f"    source {src}", f"    target {dst}", f"    capacity {_real(rate)}", "  ]"]
    return "\n".join([*lines, "]", ""])


def _quoted(text: str) -> str:
    """GML is ASCII: everything else, and what would end the string, as a character reference of HTML."""
    return "".join(c if c.isascii() and c not in '"&' else f"&#{ord(c)};" for c in text)


def _real(value: float) -> str:
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")  # GML wants the point, and networkx insists


def _required(entry: _List, kind: str, key: str) -> str:
    if key not in entry.values:
        raise InputError(f"{kind} without {key}, expected '{kind} [ {key} ... ]'", line=entry.line)
    return entry.values[key][0]


def _parse(text: str) -> _List:
    """Return the outermost list."""
    line = 1
    stack = [_List(line)]
    key = ""
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise InputError(f"{text[place]!r}, expected a key, a number, a string or a bracket of GML", line=line)
        kind, word = token.lastgroup, token[0]
        place = token.end()
        if kind == "key" and not key:
            key = word
        elif kind == "open" and key:
            stack.append(_List(line))
            stack[-2].lists.append((key, stack[-1]))
            key = ""
        elif kind in ("string", "number") and key:
            value = html.unescape(word[1:-1]) if kind == "string" else word
            stack[-1].values.setdefault(key, (value.strip(), line))
            key = ""
        elif kind == "close" and not key and len(stack) > 1:
            stack.pop()
        elif kind not in ("space", "comment"):
            expected = f"a value of {key}" if key else "a key" if len(stack) == 1 else "a key or ]"
            raise InputError(f"{word.splitlines()[0][:40]!r}, expected {expected}", line=line)
        line += word.count("\n")
    if key or len(stack) > 1:
        raise InputError("the file ends within a list, expected ]", line=line)
    return stack[0]
