"""Where an episode starts: weights by the name of a rule, or from a file.

- ``inverse-capacity``: the default OSPF weights (`routing.state.inverse_capacity`);
- ``random:SEED``: whole numbers 1..4 as in the paper's experiments, in link order:
  ``numpy.random.RandomState(SEED).randint(1, 5, L)``, from a generator whose stream NumPy promises never to
  change. (The authors drew theirs with seed 1 in the order of their data files: for exactly those weights, use a file.)
- ``FILE.csv``: header ``src,dst,weight``, one row for each directed link, in any order;
- ``FILE.npy``: (L,) whole numbers, in link order.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.errors import InputError
from routing.files import read_regular
from routing.npy import read_header
from routing.state import checked_weights, inverse_capacity
from routing.topology import Topology

_HEADER = ["src", "dst", "weight"]


def initial_weights(spec: str, topology: Topology) -> NDArray[np.int64]:
    """Return the weights that `spec` (see above) stands for, (L,) int64, 1..65535.

    Raises
    ------
    InputError : the rule is unknown, or the file is unreadable, incomplete or holds a weight outside the range
    """
    if spec == "inverse-capacity":
        return inverse_capacity(topology)
    if spec.startswith("random:"):
        seed = spec.removeprefix("random:")
        if not (seed.isascii() and seed.isdigit() and int(seed) < 2**32):
            raise InputError(f"initial weights {spec!r}: seed {seed!r}, expected a whole number 0..4294967295")
        return np.random.RandomState(int(seed)).randint(1, 5, topology.num_links).astype(np.int64)
    path = Path(spec)
    if path.suffix not in (".csv", ".npy"):
        raise InputError(f"initial weights {spec!r}, expected inverse-capacity, random:SEED, or a file in .csv or .npy")
    try:
        content = read_regular(path)
        values = _read_csv(content.decode("utf-8-sig"), topology) if path.suffix == ".csv" else _read_npy(content)
        return checked_weights(topology, values)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected weights", path) from error
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text, expected src,dst,weight in CSV", path) from error
    except InputError as error:
        raise InputError(error.message, path, error.line) from error


def _read_csv(text: str, topology: Topology) -> NDArray[np.int64]:
    index = {name: node for node, name in enumerate(topology.nodes)}
    weights = np.zeros(topology.num_links, dtype=np.int64)  # zero is no weight, so it marks what has not come yet
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if [cell.strip() for cell in next(rows, [])] != _HEADER:
            raise InputError("expected the header src,dst,weight", line=1)
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells):
                _read_row(cells, rows.line_num, index, topology, weights)
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", line=rows.line_num) from error
    missing = np.flatnonzero(weights == 0)
    if len(missing):
        name = topology.link_name(int(missing[0]))
        raise InputError(f"{len(missing)} links without a weight, the first is {name}; expected one for each link")
    return weights


def _read_row(
    cells: list[str], line: int, index: dict[str, int], topology: Topology, weights: NDArray[np.int64]
) -> None:
    """Enter one row's weight."""
    if len(cells) != len(_HEADER):
        raise InputError(f"{len(cells)} columns, expected src,dst,weight", line=line)
    src, dst, text = cells
    for name in (src, dst):
        if name not in index:
            raise InputError(f"unknown node {name!r}, expected a node of {topology.name}", line=line)
    try:
        link = topology.link_index(index[src], index[dst])
    except ValueError as error:
        raise InputError(f"no link {src}->{dst} in {topology.name}", line=line) from error
    if weights[link]:
        raise InputError(f"second weight of {src}->{dst}, expected one", line=line)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise InputError(f"weight {text!r} of {src}->{dst}, expected a whole number 1..65535", line=line)
    weights[link] = int(text)


def _read_npy(content: bytes) -> NDArray[np.generic]:
    """Return the array of numbers in a .npy file."""
    header = read_header(content)
    if header is None:
        raise InputError("not an array of numbers in NumPy's format, expected (L,) whole numbers")
    if len(header.shape) != 1 or header.dtype.kind not in "iuf":
        raise InputError(f"array of {header.dtype} and shape {header.shape}, expected (L,) whole numbers")
    held = len(content) - header.offset
    if held != header.size:
        raise InputError(f"{held} bytes of weights, the header announces {header.shape[0]} of {header.dtype}")
    return header.array(content)
