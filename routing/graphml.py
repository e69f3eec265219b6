"""GraphML files (GraphML 1.0, http://graphml.graphdrawing.org): ours, the Topology Zoo's, anybody's.

What is read: one <graph> of nodes, in the order of the file, which fixes their indices 0..N-1, and edges between two of
them, with their <data>; what that means is in `routing.attributes`.

networkx and Gephi read the same files. They are read here with expat alone, because networkx knows no line numbers,
merges duplicate nodes silently, and would cost every agent process megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

import numpy as np

from routing.attributes import AttributedGraph, Edge, Values, make_draft
from routing.draft import Draft
from routing.errors import InputError
from routing.topology import Topology

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
# Where an element may stand; elsewhere it would be missed. <data> stands in many places, and only two matter here.
_PARENTS = {"key": "graphml", "graph": "graphml", "node": "graph", "edge": "graph", "default": "key"}


def read_graphml(content: bytes, name: str, profile: str) -> Draft:
    """Read a network called `name` with the capacities of `profile`; raises InputError with a line."""
    return make_draft(_Reader().read(content).graph(), name, profile)


def write_graphml(topology: Topology) -> str:
    """Return `topology` as GraphML, with plain `capacity`; read back, it is the same network bit for bit."""
    vertical, horizontal = ("lat", "lon") if topology.geographic else ("y", "x")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<graphml xmlns="{_NAMESPACE}">',
        '  <key id="label" for="node" attr.name="label" attr.type="string"/>',
        f'  <key id="{vertical}" for="node" attr.name="{vertical}" attr.type="double"/>',
        f'  <key id="{horizontal}" for="node" attr.name="{horizontal}" attr.type="double"/>',
        '  <key id="capacity" for="edge" attr.name="capacity" attr.type="double"/>',
        '  <graph edgedefault="directed">',
    ]
    for index, (name, (x, y)) in enumerate(zip(topology.nodes, topology.positions.tolist(), strict=True)):
        axes = ((vertical, y), (horizontal, x))
        where = "".join(f'<data key="{key}">{value!r}</data>' for key, value in axes if np.isfinite(value))
        lines.append(f'    <node id="{index}"><data key="label">{escape(name)}</data>{where}</node>')
    for src, dst, rate in zip(topology.src.tolist(), topology.dst.tolist(), topology.capacity.tolist(), strict=True):
        lines.append(f'    <edge source="{src}" target="{dst}"><data key="capacity">{rate!r}</data></edge>')
    lines += ["  </graph>", "</graphml>", ""]
    return "\n".join(lines)


@dataclass
class _Element:
    """A <key>, <node> or <edge>: its attributes and, by key id, the text and line of its <data>."""

    line: int
    attributes: dict[str, str]
    data: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass
class _Document:
    """One graph as it stands in the file. `keys`: by id."""

    directed: bool = True
    keys: dict[str, _Element] = field(default_factory=dict)
    nodes: dict[str, _Element] = field(default_factory=dict)
    edges: list[_Element] = field(default_factory=list)

    def graph(self) -> AttributedGraph:
        """Put names in the place of keys and indices in the place of ids."""
        index = {identity: node for node, identity in enumerate(self.nodes)}
        edges = []
        for edge in self.edges:
            ends = index[edge.attributes["source"]], index[edge.attributes["target"]]
            directed = {"true": True, "false": False}.get(edge.attributes.get("directed", ""), self.directed)
            edges.append(Edge(*ends, directed, self._values(edge, "edge"), edge.line))
        nodes = {identity: self._values(node, "node") for identity, node in self.nodes.items()}
        return AttributedGraph(nodes, edges, frozenset(name for _, name, _ in self._keys("edge")))

    def _keys(self, kind: str) -> list[tuple[str, str, _Element]]:
        """Id, attr.name and element of each key for nodes or edges."""
        return [
            (key_id, key.attributes["attr.name"], key)
            for key_id, key in self.keys.items()
            if "attr.name" in key.attributes and key.attributes.get("for", "all") in (kind, "all")
        ]

    def _values(self, element: _Element, kind: str) -> Values:
        """Text and line by name; the key's default where the element has no datum. The first of equal names counts."""
        values: Values = {}
        for key_id, name, key in self._keys(kind):
            found = element.data.get(key_id) or key.data.get("default")
            if found is not None and name not in values:
                values[name] = found
        return values


class _Reader:
    """Expat handlers that collect a `_Document` and refuse what no topology needs, naming the line."""

    def __init__(self) -> None:
        self._document = _Document()
        self._open: list[str] = []  # names of the open GraphML elements
        self._owner: _Element | None = None  # the key, node or edge we are in
        self._datum: str | None = None  # the key id of the <data> we are in
        self._text: list[str] = []
        self._graphs = 0
        # Given here, the encoding overrides the file's, which may name one that Python cannot decode.
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def read(self, text: bytes) -> _Document:
        """Parse the whole file."""
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            reason = expat.errors.messages[error.code]
            raise InputError(f"not well-formed XML in UTF-8: {reason}", line=error.lineno) from error
        if not self._graphs:
            raise InputError("no <graph>, expected a GraphML file")
        for edge in self._document.edges:
            for end in (edge.attributes["source"], edge.attributes["target"]):
                if end not in self._document.nodes:
                    self._fail(f"edge to unknown node {end!r}, expected the id of a <node>", edge.line)
        return self._document

    def _fail(self, message: str, line: int | None = None) -> NoReturn:
        raise InputError(message, line=self._parser.CurrentLineNumber if line is None else line)

    def _doctype(self, *_: object) -> None:
        # An entity can name a local file or expand without bound; GraphML has no use for one.
        self._fail("document type declaration, expected GraphML without DTD and entities")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        if namespace not in ("", _NAMESPACE):
            name = ""  # somebody's extension (yEd draws with some): skipped, as is what stands in it
        self._open.append(name)
        parent = self._open[-2] if len(self._open) > 1 else None
        if parent is None and name != "graphml":
            self._fail(f"root element <{name or qualified}>, expected <graphml>")
        if name in _PARENTS and parent != _PARENTS[name]:
            self._fail(f"<{name}> in <{parent}>, expected it in <{_PARENTS[name]}> (nested graphs are not supported)")
        if name in ("key", "node", "edge"):
            self._owner = self._begin(name, attributes)
        elif name == "graph":
            self._graphs += 1
            if self._graphs > 1:
                self._fail("another <graph>, expected only one")
            self._document.directed = attributes.get("edgedefault") == "directed"
        elif name == "hyperedge":
            self._fail("<hyperedge>, expected edges between two nodes")
        elif name == "default" or (name == "data" and parent in ("node", "edge")):
            self._datum = "default" if name == "default" else self._attribute(attributes, name, "key")
            self._text.clear()

    def _begin(self, name: str, attributes: dict[str, str]) -> _Element:
        element = _Element(self._parser.CurrentLineNumber, attributes)
        if name == "edge":
            self._attribute(attributes, name, "source")
            self._attribute(attributes, name, "target")
            self._document.edges.append(element)
        else:
            table = self._document.nodes if name == "node" else self._document.keys
            identity = self._attribute(attributes, name, "id")
            if identity in table:
                self._fail(f"duplicate {name} {identity!r}, first on line {table[identity].line}")
            table[identity] = element
        return element

    def _end(self, _qualified: str) -> None:
        name = self._open.pop()
        if name in ("data", "default") and self._datum is not None and self._owner is not None:
            if name == "data" and self._datum not in self._document.keys:
                self._fail(f"data for unknown key {self._datum!r}, expected the id of a <key> further up")
            self._owner.data[self._datum] = ("".join(self._text).strip(), self._parser.CurrentLineNumber)
            self._datum = None
        elif name in ("key", "node", "edge"):
            self._owner = None

    def _attribute(self, attributes: dict[str, str], element: str, name: str) -> str:
        if name not in attributes:
            self._fail(f"<{element}> without {name!r}, expected <{element} {name}=...>")
        return attributes[name]
