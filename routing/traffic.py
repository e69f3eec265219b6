"""Traffic matrices: what each node wants to send to each other, in bit/s; random ones, and ones from files.

A file is one of

- ``.csv`` with a header of node names: one row of N numbers per source, bit/s (in the order of the header, or with the
  source's name in a first column, and then in any order);
- ``.csv`` with the header ``src,dst,bps``: one row per demand; pairs that do not occur have no demand;
- ``.npy``: (N, N), nodes in the order of the topology;
- ``.npz``: such an array, called `demand` or `traffic` if there are several;
- ``.demands``: REPETITA's format, kbit/s (`routing.repetita`).
"""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.errors import InputError
from routing.files import read_regular
from routing.npy import read_header
from routing.topology import Topology

# Mean utilization if all demands took paths of fewest hops, by which both generators set their level. Measured over the
# 150 matrices of each network in the MARL-GNN-TE data set: uniform 0.563 (NSFNet), 0.537 (GBN), 0.557 (GEANT2); gravity
# 0.116, 0.117, 0.148.
_UNIFORM_LEVEL = 0.55
_GRAVITY_LEVEL = 0.125
_NPY_HEADER = 4096  # bytes; NumPy's own are 128


@dataclass(frozen=True, eq=False)
class TrafficMatrix:
    """Demands between all pairs of nodes.

    Parameters
    ----------
    demand : (N, N) float64, bit/s, from row to column; finite, >= 0, zero diagonal; read-only
    name : where it comes from

    Raises
    ------
    InputError : `demand` is not square, or an entry is negative, not finite, or from a node to itself
    """

    demand: NDArray[np.float64]
    name: str = "traffic"

    def __post_init__(self) -> None:
        """Copy, check and freeze the demands."""
        demand = np.array(self.demand, dtype=np.float64)
        if demand.ndim != 2 or demand.shape[0] != demand.shape[1]:
            raise InputError(f"traffic matrix of shape {demand.shape}, expected a square one")
        for wrong, what in (
            (~np.isfinite(demand), "a finite number of bit/s"),
            (demand < 0, "no negative demand"),
            (np.diag(np.diag(demand) != 0), "no demand from a node to itself"),
        ):
            if wrong.any():
                src, dst = np.argwhere(wrong)[0]
                raise InputError(f"demand from node {src} to node {dst} is {demand[src, dst]:g}, expected {what}")
        demand.setflags(write=False)
        object.__setattr__(self, "demand", demand)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.demand)

    def scaled(self, factor: float) -> TrafficMatrix:
        """Return the matrix with every demand times `factor`, >= 0."""
        return TrafficMatrix(self.demand * factor, self.name)


def uniform(topology: Topology, seed: int) -> TrafficMatrix:
    """Draw each demand independently from a uniform distribution between 1/6 and 11/6 of the mean.

    Shaped after the "uniform" matrices of the MARL-GNN-TE data set: their entries are independent between pairs and
    between matrices, with a standard deviation of 0.475 of the mean (here 0.481) and 1 % and 99 % quantiles at 0.20 and
    1.86 of it (here 0.18 and 1.82). The topology sets the mean: paths of fewest hops would use 55 % of all capacity on
    average. On the capacities of profile ``uniform`` that gives 804, 839 and 814 Mbit/s (the data set: 822, 819, 824)
    and, with inverse-capacity weights, a mean MLU of 1.06, 1.38 and 1.45 (1.09, 1.36, 1.45).

    `seed`, 0..2**64-1: the same seed and network give the same demands on every machine.
    """
    draw = _generator(seed, 0).random((topology.num_nodes, topology.num_nodes))
    mean = mean_demand(topology, _UNIFORM_LEVEL)
    return _off_diagonal(mean * (1 + 10 * draw) / 6, mean, f"uniform:{seed}")


def gravity(topology: Topology, seed: int) -> TrafficMatrix:
    """Draw demands from the gravity model: demand[i, j] proportional to out[i] * in[j], both exponentially distributed.

    M. Roughan, "Simplifying the synthesis of Internet traffic matrices", ACM CCR 35(5), 2005. The "gravity" matrices of
    the MARL-GNN-TE data set have exactly this product form off the diagonal, factors with a coefficient of variation of
    about 1 (entries: median 0.43 of the mean, 99 % quantile 7.7; here 0.43 and 7.4), and the same total to 0.7 %, so it
    is fixed here. The topology sets the mean: paths of fewest hops would use 12.5 % of all capacity on average. On the
    capacities of profile ``gravity`` that gives 808, 819 and 681 Mbit/s (the data set: 758, 755, 776). One difference:
    there the large nodes are the same in all matrices of a network, and the capacities fit them; here every seed draws
    anew, so the mean MLU with inverse-capacity weights is 0.60, 1.12 and 0.61 (the data set: 0.41, 0.44, 0.52).

    `seed`, 0..2**64-1: the same seed and network give the same demands on every machine.
    """
    num_nodes = topology.num_nodes
    out, into = -np.log1p(-_generator(seed, 1).random((2, num_nodes)))
    product = out[:, None] * into[None, :]
    np.fill_diagonal(product, 0.0)
    mean = mean_demand(topology, _GRAVITY_LEVEL)
    return _off_diagonal(product * (mean * num_nodes * (num_nodes - 1) / product.sum()), mean, f"gravity:{seed}")


def load_traffic(path: str | os.PathLike[str], topology: Topology) -> TrafficMatrix:
    """Read a traffic matrix for `topology`; its `name` is the file's.

    Raises InputError with file, line and what was expected: unreadable file, unknown node, wrong size, a demand that is
    no number, negative, given twice, or from a node to itself.
    """
    path = Path(path)
    try:
        content = read_regular(path)
        if path.suffix == ".csv":
            demand = _read_csv(content.decode("utf-8-sig"), topology)
        elif path.suffix in (".npy", ".npz"):
            demand = _read_npy(content if path.suffix == ".npy" else _member(content, topology), topology)
        elif path.suffix == ".demands":
            from routing.repetita import demands_matrix  # which needs TrafficMatrix

            demand = demands_matrix(content, topology.num_nodes)
        else:
            known = ".csv, .npy or .npz, or REPETITA's .demands"
            raise InputError(f"{path.suffix or 'no suffix'}, expected a traffic matrix in {known}")
        return TrafficMatrix(demand, path.name)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected a traffic matrix", path) from error
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text, expected a traffic matrix in CSV", path) from error
    except InputError as error:
        raise InputError(error.message, path, error.line) from error


def save_traffic(path: str | os.PathLike[str], traffic: TrafficMatrix, topology: Topology) -> None:
    """Write `traffic` as .csv (with names of nodes), .npy or .npz; `load_traffic` gives the same demands back."""
    path = Path(path)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["", *topology.nodes])
            for name, row in zip(topology.nodes, traffic.demand.tolist(), strict=True):
                writer.writerow([name, *map(repr, row)])
    elif path.suffix == ".npy":
        np.save(path, traffic.demand)
    elif path.suffix == ".npz":
        np.savez_compressed(path, demand=traffic.demand)
    else:
        raise InputError("cannot tell the format, expected a name in .csv, .npy or .npz", path)


def _generator(seed: int, stream: int) -> np.random.Generator:
    if not 0 <= seed < 2**64:
        raise InputError(f"seed {seed}, expected 0..2**64-1")
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def mean_demand(topology: Topology, level: float) -> float:
    """Mean demand in bit/s for which paths of fewest hops use `level` of all capacity on average."""
    # reached[n] are the nodes at most h hops from n; each pair not reached is another hop for it. Links have reverses.
    reached = np.eye(topology.num_nodes, dtype=bool)
    hops = 0
    while not reached.all():
        hops += int(np.count_nonzero(~reached))
        wider = reached.copy()
        for src, dst in zip(topology.src.tolist(), topology.dst.tolist(), strict=True):
            wider[dst] |= reached[src]
        reached = wider
    return level * math.fsum(topology.capacity.tolist()) / hops


def _off_diagonal(demand: NDArray[np.float64], mean: float, name: str) -> TrafficMatrix:
    # Logarithms and sums differ in their last bits between CPUs, so keep 24 bits below the mean (64 bit/s in 1 Gbit/s).
    unit = math.ldexp(1.0, math.frexp(mean)[1] - 24)
    rounded = np.rint(demand / unit) * unit
    np.fill_diagonal(rounded, 0.0)
    return TrafficMatrix(rounded, name)


def _read_csv(text: str, topology: Topology) -> NDArray[np.float64]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                lines.append((rows.line_num, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", line=rows.line_num) from error
    if not lines:
        raise InputError("empty, expected a traffic matrix in CSV")
    if lines[0][1] == ["src", "dst", "bps"]:
        return _read_demands(lines[1:], topology)
    return _read_matrix(lines, topology)


def _read_demands(lines: list[tuple[int, list[str]]], topology: Topology) -> NDArray[np.float64]:
    index = {name: n for n, name in enumerate(topology.nodes)}
    demand = np.zeros((topology.num_nodes, topology.num_nodes))
    first: dict[tuple[int, int], int] = {}
    for line, row in lines:
        if len(row) != 3:
            raise InputError(f"{len(row)} columns, expected src,dst,bps", line=line)
        src, dst = _node(row[0], index, line), _node(row[1], index, line)
        if (src, dst) in first:
            raise InputError(f"second demand from {row[0]} to {row[1]}, first on line {first[src, dst]}", line=line)
        first[src, dst] = line
        demand[src, dst] = _demand(row[2], row[0], row[1], line)
    return demand


def _read_matrix(lines: list[tuple[int, list[str]]], topology: Topology) -> NDArray[np.float64]:
    index = {name: n for n, name in enumerate(topology.nodes)}
    num_nodes = topology.num_nodes
    (header_line, header), rows = lines[0], lines[1:]
    labelled = len(header) == num_nodes + 1
    columns = [_node(name, index, header_line) for name in header[labelled:]]
    if sorted(columns) != list(range(num_nodes)):
        raise InputError(
            f"header of {len(columns)} nodes, expected each of the {num_nodes} nodes once", line=header_line
        )
    if len(rows) != num_nodes:
        raise InputError(f"{len(rows)} rows below the header, expected {num_nodes}, one per node", line=lines[-1][0])
    demand = np.full((num_nodes, num_nodes), np.nan)
    for position, (line, row) in enumerate(rows):
        if len(row) != len(header):
            raise InputError(f"{len(row)} columns, expected {len(header)}", line=line)
        src = _node(row[0], index, line) if labelled else columns[position]
        if not np.isnan(demand[src, 0]):
            raise InputError(f"second row for {row[0]}", line=line)
        for dst, cell in zip(columns, row[labelled:], strict=True):
            demand[src, dst] = _demand(cell, topology.nodes[src], topology.nodes[dst], line)
    return demand


def _node(name: str, index: dict[str, int], line: int) -> int:
    if name not in index:
        raise InputError(f"unknown node {name!r}, expected a node of the topology: {', '.join(index)}", line=line)
    return index[name]


def _demand(text: str, src: str, dst: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a number, expected the demand in bit/s", line=line) from error
    if not 0 <= value < math.inf:
        raise InputError(f"demand from {src} to {dst} is {text}, expected a finite number >= 0 of bit/s", line=line)
    if value and src == dst:
        raise InputError(f"demand from {src} to itself, expected 0", line=line)
    return value


def _member(content: bytes, topology: Topology) -> bytes:
    """Return the .npy file inside an .npz file; no more of it is unpacked than the largest matrix takes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            wanted = [name for name in ("demand.npy", "traffic.npy") if name in names] or names
            if not names or (len(names) > 1 and wanted is names):
                raise InputError(f"holds {', '.join(names) or 'nothing'}, expected an array called demand or traffic")
            if archive.getinfo(wanted[0]).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError("compressed in a way that NumPy does not write")
            with archive.open(wanted[0]) as member:
                return member.read(8 * topology.num_nodes**2 + _NPY_HEADER)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"not a readable .npz file: {error}") from error


def _read_npy(content: bytes, topology: Topology) -> NDArray[np.float64]:
    header = read_header(content)
    if header is None or header.dtype.kind not in "iuf":
        raise InputError("not an array of numbers in NumPy's format, expected a traffic matrix")
    num_nodes = topology.num_nodes
    if header.shape != (num_nodes, num_nodes):
        raise InputError(f"array of shape {header.shape}, expected ({num_nodes}, {num_nodes}) for {topology.name}")
    if len(content) - header.offset < header.size:
        raise InputError("file ends within the array")
    return header.array(content).astype(np.float64)
