"""Topologies as GraphML files: the ones that come with the project by name, anybody's own by path.

What is read (GraphML 1.0, http://graphml.graphdrawing.org):

- nodes, in the order of the file, which fixes their indices 0..N-1; a node is called by its `label` where all nodes
  have one and no two the same, else by its id;
- `lat`/`lon` (or `Latitude`/`Longitude`, as in the Topology Zoo) in degrees, or else `x`/`y` as mere drawing positions;
- edges; an undirected one stands for a link in each direction;
- the capacity of an edge in bit/s: `capacity_<profile>`, or else `capacity`.

networkx and Gephi read the same files. They are read here with expat alone, because networkx knows no line numbers,
merges duplicate nodes silently, and would cost every agent process megabytes.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

import numpy as np

from routing.errors import InputError, InvalidLink
from routing.topology import Topology

_TOPOLOGIES = Path(__file__).resolve().parent.parent / "topologies"
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
# Where an element may stand; elsewhere it would be missed. <data> stands in many places, and only two matter here.
_PARENTS = {"key": "graphml", "graph": "graphml", "node": "graph", "edge": "graph", "default": "key"}
# (latitude or y, longitude or x) of a node, the first pair that occurs in the file counts.
_POSITION_KEYS = (("lat", "lon"), ("Latitude", "Longitude"), ("y", "x"))


def topology_names() -> list[str]:
    """Names that `load_topology` knows, sorted."""
    return sorted(path.stem for path in _TOPOLOGIES.glob("*.graphml"))


def load_topology(name_or_path: str | os.PathLike[str], profile: str = "uniform") -> Topology:
    """Load a topology by name (``gbn``) or from a GraphML file (``./gbn.graphml``).

    Parameters
    ----------
    name_or_path : one of `topology_names`, or a file
    profile : which capacities, where the file has several; a file with plain `capacity` fits every profile

    Raises
    ------
    InputError : unknown name or profile; the file cannot be read, is not GraphML, or holds no usable network. The error
        names file, line and what was expected.
    """
    path = _resolve(name_or_path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected a GraphML file", path) from error
    return _topology(path, _Reader(path).read(text), profile)


def save_topology(path: str | os.PathLike[str], topology: Topology) -> None:
    """Write `topology` as GraphML, with plain `capacity`; `load_topology` gives the same network back, bit for bit."""
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
    Path(path).write_text("\n".join(lines), encoding="utf-8")


def _resolve(name_or_path: str | os.PathLike[str]) -> Path:
    known = topology_names()
    if name_or_path in known:
        return _TOPOLOGIES / f"{name_or_path}.graphml"
    path = Path(name_or_path)
    if not isinstance(name_or_path, str) or path.suffix or len(path.parts) != 1 or path.exists():
        return path
    near = difflib.get_close_matches(name_or_path.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"unknown topology {name_or_path!r}; {hint}(known: {', '.join(known)}, or a GraphML file)")


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

    def value(self, element: _Element, kind: str, name: str) -> tuple[str, int] | None:
        """Text and line of the datum called `name` (the key's attr.name), or the key's default, if there is either."""
        for key_id, key in self.keys.items():
            if key.attributes.get("attr.name") != name or key.attributes.get("for", "all") not in (kind, "all"):
                continue
            if key_id in element.data:
                return element.data[key_id]
            if "default" in key.data:
                return key.data["default"]
        return None


class _Reader:
    """Expat handlers that collect a `_Document` and refuse what no topology needs, naming the line."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
            raise InputError(f"not well-formed XML in UTF-8: {reason}", self._path, error.lineno) from error
        if not self._graphs:
            raise InputError("no <graph>, expected a GraphML file", self._path)
        for edge in self._document.edges:
            for end in (edge.attributes["source"], edge.attributes["target"]):
                if end not in self._document.nodes:
                    self._fail(f"edge to unknown node {end!r}, expected the id of a <node>", edge.line)
        return self._document

    def _fail(self, message: str, line: int | None = None) -> NoReturn:
        raise InputError(message, self._path, self._parser.CurrentLineNumber if line is None else line)

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


def _topology(path: Path, document: _Document, profile: str) -> Topology:
    index = {identity: n for n, identity in enumerate(document.nodes)}
    positions, geographic = _positions(path, document)
    links: list[tuple[int, int]] = []
    capacity: list[float] = []
    lines: list[int] = []
    for edge in document.edges:
        src, dst = index[edge.attributes["source"]], index[edge.attributes["target"]]
        directed = {"true": True, "false": False}.get(edge.attributes.get("directed", ""), document.directed)
        for link in [(src, dst)] if directed else [(src, dst), (dst, src)]:
            links.append(link)
            capacity.append(_capacity(path, document, edge, profile))
            lines.append(edge.line)
    try:
        return Topology.from_links(path.stem, _names(document), links, capacity, positions, geographic=geographic)
    except InvalidLink as error:
        raise InputError(error.message, path, lines[error.link]) from error
    except InputError as error:
        raise type(error)(error.message, path) from error


def _names(document: _Document) -> list[str]:
    labels = [document.value(node, "node", "label") for node in document.nodes.values()]
    names = [label[0] for label in labels if label is not None]
    return names if len(set(names)) == len(document.nodes) else list(document.nodes)


def _capacity(path: Path, document: _Document, edge: _Element, profile: str) -> float:
    wanted = f"capacity_{profile}"
    found = document.value(edge, "edge", wanted) or document.value(edge, "edge", "capacity")
    if found is None:
        known = _profiles(document.keys.values())
        if known and profile not in known:
            raise InputError(f"no capacities for profile {profile!r}, expected one of {', '.join(known)}", path)
        raise InputError(f"edge without capacity, expected data {wanted!r} or 'capacity' in bit/s", path, edge.line)
    capacity = _number(path, *found, "capacity in bit/s")
    if not 0 < capacity < np.inf:
        raise InputError(f"capacity is {found[0]}, expected a positive number of bit/s", path, found[1])
    return capacity


def _profiles(keys: Iterable[_Element]) -> list[str]:
    names = (re.fullmatch("capacity_(.+)", key.attributes.get("attr.name", "")) for key in keys)
    return sorted({name[1] for name in names if name})


def _positions(path: Path, document: _Document) -> tuple[np.ndarray, bool]:
    """(N, 2) float64 longitude and latitude, or x and y; and whether it is the former."""
    for vertical, horizontal in _POSITION_KEYS:
        positions = np.full((len(document.nodes), 2), np.nan)
        for n, node in enumerate(document.nodes.values()):
            for axis, name, limit in ((0, horizontal, 180.0), (1, vertical, 90.0)):
                found = document.value(node, "node", name)
                if found is None:
                    continue
                positions[n, axis] = _number(path, *found, name)
                if vertical != "y" and not abs(positions[n, axis]) <= limit:
                    raise InputError(f"{name} is {found[0]}, expected -{limit:g}..{limit:g} degrees", path, found[1])
        if not np.isnan(positions).all():
            return positions, vertical != "y"
    return np.full((len(document.nodes), 2), np.nan), True


def _number(path: Path, text: str, line: int, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a number, expected the {what}", path, line) from error
