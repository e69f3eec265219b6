"""Networks by name or from files of many formats; ``python -m routing.formats --help`` shows and converts them.

A name is one of a network that comes with the project (``gbn``), of a synthetic one (``synth500``, ``synth:200:700``,
`routing.generate`) or of one in topohub (``topohub:sndlib/geant``). Anything else is a file or folder:

========================  ================================================================  =======================
``.graphml``              GraphML, the project's own or the Topology Zoo's                  `routing.graphml`
``.gml``                  GML                                                               `routing.gml`
``.graph``, ``.demands``  REPETITA's topologies and traffic matrices                        `routing.repetita`
``.xml``, ``.txt``        SNDlib, with demands                                              `routing.sndlib`
folder, ``.txt``          PRISMA, with traffic                                              `routing.prisma`
========================  ================================================================  =======================

Files with other names are told apart by how they begin. What a format lacks is assumed as `routing.draft.Assumptions`
says, and a warning of this module's logger says what was assumed.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.complete import Network, complete, usable_names
from routing.draft import Assumptions, Draft, DraftDemand, demand_matrix
from routing.errors import InputError
from routing.files import read_regular
from routing.generate import PRESETS, parse_synthetic, synthetic, synthetic_traffic
from routing.gml import read_gml, write_gml
from routing.graphml import read_graphml, write_graphml
from routing.prisma import ADJACENCY, read_intensities, read_prisma, write_prisma
from routing.repetita import demands_matrix, read_graph, write_demands, write_graph
from routing.sndlib import Instance, read_native, write_native
from routing.sndlib_xml import read_xml, write_xml
from routing.topohub import PREFIX, read_topohub
from routing.topology import Topology
from routing.traffic import TrafficMatrix, load_traffic, save_traffic

logger = logging.getLogger("routing.formats")


@contextmanager
def without_notices() -> Iterator[None]:
    """Warn of nothing that files lack while this lasts: for who reads many and fills it in anyway."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


_TOPOLOGIES = Path(__file__).resolve().parent.parent / "topologies"
_SUFFIXES = (".graphml", ".gml", ".graph")
_TRAFFIC_SUFFIXES = (".csv", ".npy", ".npz")


def topology_names() -> list[str]:
    """Names of the networks that come with the project and of the usual synthetic ones, sorted."""
    return sorted([*(path.stem for path in _TOPOLOGIES.glob("*.graphml")), *PRESETS])


def load_topology(
    name_or_path: str | os.PathLike[str], profile: str = "uniform", assume: Assumptions | None = None
) -> Topology:
    """Load a topology by name (``gbn``, ``synth500``, ``topohub:sndlib/geant``) or from a file (``./gbn.graphml``).

    Parameters
    ----------
    name_or_path : see above
    profile : which capacities, where a file has several; a file with plain `capacity` fits every profile
    assume : what to assume where the file is silent

    Raises
    ------
    InputError : unknown name or profile; the file cannot be read, is not in its format, or holds no usable network. The
        error names file, line and what was expected.
    """
    size = parse_synthetic(name_or_path) if isinstance(name_or_path, str) else None
    if size is not None:
        return synthetic(*size, name=_preset(name_or_path))
    return _load(name_or_path, profile, assume or Assumptions()).topology


def load_network(
    name_or_path: str | os.PathLike[str],
    demands: str | os.PathLike[str] | None = None,
    *,
    profile: str = "uniform",
    assume: Assumptions | None = None,
) -> Network:
    """Load a network with what its file says beyond the topology: demands and weights, each None if it has none.

    Parameters
    ----------
    name_or_path, profile, assume : as in `load_topology`
    demands : a file of demands, used instead of the network's own: ``.demands``, ``.csv``, ``.npy``, ``.npz``, an
        SNDlib network (only its demands count) or a traffic file of PRISMA

    Raises
    ------
    InputError : as in `load_topology`, or the demands do not fit the network
    """
    assume = assume or Assumptions()
    size = parse_synthetic(name_or_path) if isinstance(name_or_path, str) else None
    if size is None:
        network = _load(name_or_path, profile, assume)
    else:
        topology = synthetic(*size, name=_preset(name_or_path))
        network = Network(topology, synthetic_traffic(topology, size[2]), None)
    return network if demands is None else network._replace(traffic=load_demands(demands, network.topology, assume))


def load_demands(path: str | os.PathLike[str], topology: Topology, assume: Assumptions | None = None) -> TrafficMatrix:
    """Read a traffic matrix for `topology` in any of the formats (see `load_network`); raises InputError."""
    path = Path(path)
    if path.suffix in _TRAFFIC_SUFFIXES:
        return load_traffic(path, topology)
    content = _content(path)
    num_nodes = topology.num_nodes
    try:
        if path.suffix == ".demands" or re.match(rb"\s*DEMANDS\b", content):
            return TrafficMatrix(demands_matrix(content, num_nodes), path.name)
        if content.lstrip()[:1] == b"<" or content.lstrip()[:1] == b"?":
            rows = _sndlib_demands(content, topology, path, assume or Assumptions())
        else:
            rows = read_intensities(content, num_nodes)
        return TrafficMatrix(demand_matrix(rows, num_nodes), path.name)
    except InputError as error:
        raise InputError(error.message, path, error.line) from error


def save_topology(path: str | os.PathLike[str], topology: Topology) -> None:
    """Write `topology` as GraphML, with plain `capacity`; `load_topology` gives the same network back, bit for bit."""
    Path(path).write_text(write_graphml(topology), encoding="utf-8")


def save_network(
    path: str | os.PathLike[str],
    topology: Topology,
    traffic: TrafficMatrix | None = None,
    weights: NDArray[np.int64] | None = None,
) -> list[Path]:
    """Write a network in the format that the name says and return the files written.

    A folder (an existing one, or a name that ends in ``/``) is for PRISMA, ``.txt`` for SNDlib's native format. Formats
    without demands get them beside: ``.demands`` for ``.graph``, else ``.csv``. `weights`, (L,) 1..65535, are kept by
    ``.graph`` alone; it has them proportional to 1/capacity by default.

    Raises
    ------
    InputError : no format of that name; the file cannot be written
    """
    text = os.fspath(path)
    path = Path(path)
    written = [path]
    try:
        if weights is not None and path.suffix != ".graph":
            logger.warning("%s: the weights are lost, only .graph has room for them", path)
        if text.endswith(("/", os.sep)) or path.is_dir():
            logger.warning("%s: capacities and names of nodes are lost, PRISMA's files have no room for them", path)
            return write_prisma(path, topology, traffic)
        if path.suffix == ".graph":
            if weights is None:
                from routing.state import inverse_capacity  # compiled kernels: only where they are needed

                weights = inverse_capacity(topology)
            path.write_text(write_graph(topology, weights), encoding="utf-8")
        elif path.suffix in (".graphml", ".gml"):
            write = write_gml if path.suffix == ".gml" else write_graphml
            path.write_text(write(topology), encoding="utf-8")
        elif path.suffix in (".xml", ".txt"):
            sndlib = write_xml if path.suffix == ".xml" else write_native
            path.write_text(sndlib(topology, traffic), encoding="utf-8")
            return written
        else:
            raise InputError("cannot tell the format, expected .graphml, .gml, .graph, .xml, .txt or a folder/", path)
        if traffic is not None:
            written.append(path.with_suffix(".demands" if path.suffix == ".graph" else ".csv"))
            save_demands(written[-1], traffic, topology)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path) from error
    return written


def save_demands(path: str | os.PathLike[str], traffic: TrafficMatrix, topology: Topology) -> None:
    """Write `traffic` as ``.demands``, ``.csv``, ``.npy`` or ``.npz``; raises InputError for another name."""
    if Path(path).suffix == ".demands":
        Path(path).write_text(write_demands(traffic), encoding="utf-8")
    else:
        save_traffic(path, traffic, topology)


def _preset(name: str | os.PathLike[str]) -> str | None:
    return str(name) if name in PRESETS else None


def _load(name_or_path: str | os.PathLike[str], profile: str, assume: Assumptions) -> Network:
    """Load any other network and log the notices."""
    if isinstance(name_or_path, str) and name_or_path.startswith(PREFIX):
        path = Path(name_or_path)
        draft = read_topohub(name_or_path.removeprefix(PREFIX), assume)
    else:
        path = _resolve(name_or_path)
        draft = _read(path, profile, assume)
    network = complete(draft, assume, path)
    for notice in draft.notices:
        logger.warning("%s: %s", path, notice)
    return network


def _resolve(name_or_path: str | os.PathLike[str]) -> Path:
    known = topology_names()
    if name_or_path in known:
        return _TOPOLOGIES / f"{name_or_path}.graphml"
    path = Path(name_or_path)
    if not isinstance(name_or_path, str) or path.suffix or len(path.parts) != 1 or path.exists():
        return path
    near = difflib.get_close_matches(name_or_path.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"unknown topology {name_or_path!r}; {hint}(known: {', '.join(known)}, synth:NODES:LINKS, {PREFIX}GROUP/NAME, "
        "or a file)"
    )


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected a network", path) from error


def _read(path: Path, profile: str, assume: Assumptions) -> Draft:
    if (path / ADJACENCY).is_file():
        path /= ADJACENCY
    content = _content(path)
    try:
        kind = path.suffix if path.suffix in _SUFFIXES else _kind(content)
        if kind == ".gml":
            return read_gml(content, path.stem, profile)
        if kind == ".graph":
            return read_graph(content, path.stem)
        if kind == "sndlib":
            return _sndlib(content).draft(path.stem, assume)
        return read_prisma(path) if kind == "prisma" else read_graphml(content, path.stem, profile)
    except InputError as error:
        raise InputError(error.message, error.path or path, error.line) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected a network", error.filename) from error


def _kind(content: bytes) -> str:
    """Tell the format by how the file begins."""
    begin = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin.startswith(b"?") or (begin.startswith(b"<") and re.search(rb"<network[\s>]", content)):
        return "sndlib"
    if re.match(rb"NODES\s+[0-9]", begin):
        return ".graph"
    if re.match(rb"(#[^\n]*\s+|[A-Za-z]+ (\"[^\"]*\"|[0-9.]+)\s+)*graph\s*\[", begin):
        return ".gml"
    return "prisma" if re.match(rb"[01]\s+[01]\s", begin) else ".graphml"


def _sndlib(content: bytes) -> Instance:
    return read_xml(content) if content.lstrip()[:1] == b"<" else read_native(content)


def _sndlib_demands(content: bytes, topology: Topology, path: Path, assume: Assumptions) -> list[DraftDemand]:
    """Return the demands of an SNDlib network in the topology's numbers of nodes."""
    draft = _sndlib(content).draft(path.stem, assume)
    index = {name: node for node, name in enumerate(topology.nodes)}
    names = usable_names(draft.names, [])
    for demand in draft.demands or []:
        for node in (demand.src, demand.dst):
            if names[node] not in index:
                raise InputError(f"demand of node {names[node]!r}, expected a node of {topology.name}")
    for notice in draft.notices:
        logger.warning("%s: %s", path, notice)
    return [DraftDemand(index[names[d.src]], index[names[d.dst]], d.rate) for d in draft.demands or []]


if __name__ == "__main__":
    from routing.formats_command import main

    sys.exit(main())
