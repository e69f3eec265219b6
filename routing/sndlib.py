"""SNDlib networks: the native format, and what both formats mean; XML is in `routing.sndlib_xml`.

S. Orlowski, R. Wessäly, M. Pióro, A. Tomaszewski, "SNDlib 1.0: Survivable Network Design Library", Networks 55(3),
2010; https://sndlib.put.poznan.pl.

An SNDlib network is a planning problem, so it has to be read as a network first:

- **capacity**: the preinstalled capacity of a link, if above zero; else one installable module, the smallest by default
  (`Assumptions.modules`), because the network file does not say what is installed; else none;
- **unit**: as the META section says; else `Assumptions.unit`, Mbit/s by default. A demand takes its value times its
  routing unit;
- **direction**: the network file does not say that either. A link stands for one in each direction, each with the whole
  capacity (SNDlib's BIDIRECTED model), unless every link has its counterpart in the file: then it has directed links;
- **demands** go from source to target. Networks of the UNDIRECTED demand model have them one way only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from routing.draft import UNITS, Assumptions, Draft, DraftDemand, DraftLink, are_degrees, nonnegative, number, text_of
from routing.errors import InputError
from routing.rates import in_units
from routing.repetita import labels
from routing.topology import Topology
from routing.traffic import TrafficMatrix

HEADER = "?SNDlib native format; type: network; version: 1.0"
_TOKEN = re.compile(r"[()]|[^\s()]+")
# META's unit: exponent of ten.
_META_UNITS = {"BITPERSEC": 0, "KBITPERSEC": 3, "MBITPERSEC": 6, "GBITPERSEC": 9}


@dataclass
class Instance:
    """An SNDlib network as it stands in the file; all numbers are still text.

    Attributes
    ----------
    nodes : x, y (or none) and line, by id
    links : source, target, preinstalled capacity, capacities of the modules, line
    demands : source, target, routing unit, value, line
    unit : META's
    geographic : whether coordinates are degrees; None: the file does not say
    """

    nodes: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    links: list[tuple[str, str, str, list[str], int]] = field(default_factory=list)
    demands: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    unit: tuple[str, int] | None = None
    geographic: bool | None = None

    def add_node(self, identity: str, position: list[str], line: int) -> None:
        """Enter a node; raises InputError if there is one of that id."""
        if identity in self.nodes:
            raise InputError(f"second node {identity!r}, first on line {self.nodes[identity][1]}", line=line)
        self.nodes[identity] = (position, line)

    def draft(self, name: str, assume: Assumptions) -> Draft:
        """Interpret it as the module's docstring says; raises InputError with a line."""
        notices: list[str] = []
        exponent = self._exponent(assume, notices)
        index = {identity: node for node, identity in enumerate(self.nodes)}
        positions = [_position(texts, line) for texts, line in self.nodes.values()]
        links = self._links(index, exponent, assume.modules, notices)
        demands = [
            DraftDemand(
                _node(index, src, line),
                _node(index, dst, line),
                nonnegative(value, line, "a demand", exponent) * nonnegative(unit, line, "a routing unit"),
            )
            for src, dst, unit, value, line in self.demands
        ]
        geographic = are_degrees(positions) if self.geographic is None else self.geographic
        return Draft(name, list(self.nodes), positions, geographic, links, demands or None, notices=notices)

    def _exponent(self, assume: Assumptions, notices: list[str]) -> int:
        if self.unit is None:
            notices.append(f"no unit, {assume.unit}/s assumed for capacities and demands")
            return UNITS[assume.unit]
        text, line = self.unit
        if text not in _META_UNITS:
            raise InputError(f"unit {text!r}, expected one of {', '.join(_META_UNITS)}", line=line)
        return _META_UNITS[text]

    def _links(self, index: dict[str, int], exponent: int, modules: str, notices: list[str]) -> list[DraftLink]:
        pairs = Counter((src, dst) for src, dst, *_ in self.links)
        directed = bool(pairs) and all(count == pairs[dst, src] for (src, dst), count in pairs.items())
        links = []
        installed = 0
        for src, dst, preinstalled, sizes, line in self.links:
            ends = _node(index, src, line), _node(index, dst, line)
            capacity: float | None = nonnegative(preinstalled, line, "a preinstalled capacity", exponent)
            choice = [nonnegative(size, line, "a module's capacity", exponent) for size in sizes]
            choice = [size for size in choice if size > 0]
            if not capacity:
                chosen = bool(choice) and modules != "ignore"
                installed += chosen
                capacity = (max if modules == "largest" else min)(choice) if chosen else None
            links.append(DraftLink(*ends, capacity, line=line))
            if not directed:
                links.append(DraftLink(*ends[::-1], capacity, line=line))
        if installed:
            notices.append(f"{installed} link(s) without preinstalled capacity have one of their {modules} modules")
        if directed:
            notices.append("every link has its counterpart, read as directed links")
        return links


def read_native(content: bytes) -> Instance:
    """Read a network file in SNDlib's native format; raises InputError with a line."""
    instance = Instance()
    section = ""
    headed = False
    for line, text in enumerate(text_of(content, "SNDlib's native format").split("\n"), start=1):
        tokens = _TOKEN.findall(text.partition("#")[0])
        if not tokens:
            continue
        if tokens[0].startswith("?"):
            if not re.fullmatch(r"\?SNDlib native format; *type: *network; *version: *1\.0", text.strip()):
                raise InputError(f"{text.strip()[:60]!r}, expected {HEADER!r}", line=line)
            headed = True
        elif not section:
            if len(tokens) < 2 or tokens[1] != "(" or tokens[2:] not in ([], [")"]) or not tokens[0].isupper():
                raise InputError(f"{' '.join(tokens)[:40]!r}, expected a section such as 'NODES ('", line=line)
            section = "" if tokens[-1] == ")" else tokens[0]
        elif tokens == [")"]:
            section = ""
        else:
            _read_line(instance, section, tokens, line)
    if section:
        raise InputError(f"the file ends within {section}, expected )")
    if not headed:
        raise InputError(f"expected a file that begins with {HEADER!r}", line=1)
    return instance


def _read_line(instance: Instance, section: str, tokens: list[str], line: int) -> None:
    if section == "NODES":
        _shape(tokens, r"w(\(ww\))?(\(\))*", "node ( x y )", line)
        instance.add_node(tokens[0], tokens[2:4] if len(tokens) >= 5 and tokens[2] != ")" else [], line)
    elif section == "LINKS":
        _shape(tokens, r"w\(ww\)wwww\((ww)*\)", "link ( source target ) 4 numbers ( {capacity cost} )", line)
        instance.links.append((tokens[2], tokens[3], tokens[5], tokens[10:-1:2], line))
    elif section == "DEMANDS":
        _shape(tokens, r"w\(ww\)www?", "demand ( source target ) unit value length", line)
        instance.demands.append((tokens[2], tokens[3], tokens[5], tokens[6], line))
    elif section == "META" and tokens[0] == "unit" and len(tokens) == 3:
        instance.unit = (tokens[2], line)


def _shape(tokens: list[str], pattern: str, expected: str, line: int) -> None:
    shape = "".join(token if token in "()" else "w" for token in tokens)
    if not re.fullmatch(pattern, shape):
        raise InputError(f"{' '.join(tokens)[:60]!r}, expected {expected!r}", line=line)


def _position(texts: list[str], line: int) -> tuple[float, float]:
    if not texts:
        return np.nan, np.nan
    x, y = (number(text, line, "a coordinate") for text in texts)
    return x, y


def _node(index: dict[str, int], identity: str, line: int) -> int:
    if identity not in index:
        raise InputError(f"unknown node {identity!r}, expected the id of a node", line=line)
    return index[identity]


def write_native(topology: Topology, traffic: TrafficMatrix | None) -> str:
    """Return a network in the native format, in Mbit/s, capacities as preinstalled ones.

    Names are reduced to the format's characters (ASCII letters, digits, - and _). Read back, links, capacities and
    demands are the same bit for bit.
    """
    names = identifiers(topology.nodes)
    lines = [HEADER, "", "META (", "  unit = MBITPERSEC", ")", "", "NODES ("]
    for name, (x, y) in zip(names, topology.positions.tolist(), strict=True):
        lines.append(f"  {name} ( {x!r} {y!r} )" if np.isfinite([x, y]).all() else f"  {name}")
    lines += [")", "", "LINKS ("]
    for link, (src, dst) in enumerate(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)):
        rate = in_units(topology.capacity[link].item(), 6)
        lines.append(f"  L{link} ( {names[src]} {names[dst]} ) {rate} 0 0 0 ( )")
    lines += [")", "", "DEMANDS ("]
    for src, dst, rate in demands_of(traffic):
        lines.append(f"  D{src}_{dst} ( {names[src]} {names[dst]} ) 1 {rate} UNLIMITED")
    return "\n".join([*lines, ")", ""])


def demands_of(traffic: TrafficMatrix | None) -> list[tuple[int, int, str]]:
    """Demands above zero: source, target, Mbit/s."""
    pairs = [] if traffic is None else np.argwhere(traffic.demand > 0).tolist()
    return [(src, dst, in_units(traffic.demand[src, dst].item(), 6)) for src, dst in pairs] if traffic else []


def identifiers(names: tuple[str, ...]) -> list[str]:
    """Return different identifiers of the native format for the names, themselves where they are ones."""
    words = [re.sub("[^A-Za-z0-9_-]", "_", name) for name in names]
    return labels(tuple(word if re.match("[A-Za-z0-9]", word) else f"n{word}" for word in words))
