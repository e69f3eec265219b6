"""SNDlib networks as XML (http://sndlib.zib.de/network, version 1.0); what they mean is in `routing.sndlib`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from routing.errors import InputError
from routing.rates import in_units
from routing.sndlib import Instance, demands_of
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_NAMESPACE = "http://sndlib.zib.de/network"
# Paths of the elements that are read; everything else is skipped.
_NODE = ("networkStructure", "nodes", "node")
_LINK = ("networkStructure", "links", "link")
_DEMAND = ("demands", "demand")


@dataclass
class _Item:
    """A node, link or demand: its line, its id and the texts in it by path ("coordinates/x")."""

    line: int
    identity: str
    texts: dict[str, list[str]] = field(default_factory=dict)

    def text(self, path: str, default: str | None = None) -> str:
        """Return the text at `path`, which must stand there once, unless there is a default."""
        found = self.texts.get(path, [default] if default is not None else [])
        if len(found) != 1 or found[0] is None:
            raise InputError(f"{self.identity!r} has {len(found)} {path}, expected one", line=self.line)
        return found[0]


def read_xml(content: bytes) -> Instance:
    """Read a network file; a document type declaration is refused. Raises InputError with a line."""
    return _Reader().read(content)


class _Reader:
    """Expat handlers that fill an `Instance`."""

    def __init__(self) -> None:
        self._instance = Instance()
        self._open: list[str] = []
        self._item: _Item | None = None
        self._depth = 0  # of the item's element
        self._text: list[str] = []
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def read(self, content: bytes) -> Instance:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            reason = expat.errors.messages[error.code]
            raise InputError(f"not well-formed XML in UTF-8: {reason}", line=error.lineno) from error
        return self._instance

    def _fail(self, message: str) -> NoReturn:
        raise InputError(message, line=self._parser.CurrentLineNumber)

    def _doctype(self, *_: object) -> None:
        self._fail("document type declaration, expected an SNDlib network without DTD and entities")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        self._open.append(name if namespace in ("", _NAMESPACE) else "")
        if len(self._open) == 1 and self._open[0] != "network":
            self._fail(f"root element <{qualified}>, expected <network> of SNDlib")
        path = tuple(self._open[1:])
        if path in (_NODE, _LINK, _DEMAND):
            if "id" not in attributes:
                self._fail(f"<{name}> without 'id', expected <{name} id=...>")
            self._item = _Item(self._parser.CurrentLineNumber, attributes["id"])
            self._depth = len(path) + 1
        elif path == _NODE[:-1]:
            self._instance.geographic = attributes.get("coordinatesType") == "geographical"
        self._text.clear()

    def _end(self, _qualified: str) -> None:
        path = tuple(self._open[1:])
        text = "".join(self._text).strip()
        if path == ("meta", "unit"):
            self._instance.unit = (text, self._parser.CurrentLineNumber)
        elif self._item is not None and len(self._open) == self._depth:
            self._enter(path, self._item)
            self._item = None
        elif self._item is not None:
            self._item.texts.setdefault("/".join(self._open[self._depth :]), []).append(text)
        self._open.pop()
        self._text.clear()

    def _enter(self, path: tuple[str, ...], item: _Item) -> None:
        if path == _NODE:
            known = "coordinates/x" in item.texts or "coordinates/y" in item.texts
            position = [item.text("coordinates/x"), item.text("coordinates/y")] if known else []
            self._instance.add_node(item.identity, position, item.line)
            return
        ends = item.text("source"), item.text("target")
        if path == _LINK:
            modules = item.texts.get("additionalModules/addModule/capacity", [])
            capacity = item.text("preInstalledModule/capacity", "0")
            self._instance.links.append((*ends, capacity, modules, item.line))
        else:
            unit = item.text("routingUnit", "1")
            self._instance.demands.append((*ends, unit, item.text("demandValue"), item.line))


def write_xml(topology: Topology, traffic: TrafficMatrix | None) -> str:
    """Return a network as SNDlib XML, in Mbit/s, capacities as preinstalled ones; read back, it is the same."""
    kind = "geographical" if topology.geographic else "pixel"
    names = [escape(name) for name in topology.nodes]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<network xmlns="{_NAMESPACE}" version="1.0">',
        " <meta><unit>MBITPERSEC</unit></meta>",
        f' <networkStructure>\n  <nodes coordinatesType="{kind}">',
    ]
    for name, (x, y) in zip(topology.nodes, topology.positions.tolist(), strict=True):
        known = np.isfinite([x, y]).all()
        where = f"<coordinates><x>{x!r}</x><y>{y!r}</y></coordinates>" if known else ""
        lines.append(f"   <node id={quoteattr(name)}>{where}</node>")
    lines += ["  </nodes>", "  <links>"]
    for link, (src, dst) in enumerate(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)):
        rate = in_units(topology.capacity[link].item(), 6)
        ends = f"<source>{names[src]}</source><target>{names[dst]}</target>"
        module = f"<preInstalledModule><capacity>{rate}</capacity><cost>0</cost></preInstalledModule>"
        lines.append(f'   <link id="L{link}">{ends}{module}</link>')
    lines += ["  </links>", " </networkStructure>", " <demands>"]
    for src, dst, rate in demands_of(traffic):
        ends = f"<source>{names[src]}</source><target>{names[dst]}</target>"
        lines.append(f'  <demand id="D{src}_{dst}">{ends}<demandValue>{rate}</demandValue></demand>')
    return "\n".join([*lines, " </demands>", "</network>", ""])
