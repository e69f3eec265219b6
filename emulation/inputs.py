"""``inputs.npz``: the network, the traffic and the weights of a run, exactly as the decisions saw them.

Arrays: ``nodes (N,)`` names, ``positions (N, 2)`` longitude and latitude in degrees (just x and y where ``geographic``
is false) or NaN, ``links (L, 2)`` node indices (src, dst) in canonical order, ``capacity (L,)`` and ``traffic (N, N)``
in bit/s, and ``live_weights``, ``start_weights`` and ``best_weights``, each ``(L,)`` and 1..65535.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from emulation.atomic import write_atomic
from routing.errors import InputError
from routing.npy import read_header

INPUTS_FILE = "inputs.npz"
_DTYPES = {
    "positions": np.float64,
    "links": np.int32,
    "capacity": np.float64,
    "traffic": np.float64,
    "live_weights": np.int64,
    "start_weights": np.int64,
    "best_weights": np.int64,
}
# What zipfile, zlib and numpy raise for one damaged byte or another.
_DAMAGED = (ValueError, EOFError, KeyError, RuntimeError, OverflowError, OSError, struct.error, zlib.error, BadZipFile)
_LARGEST = 1 << 28  # bytes of an array: a traffic matrix of 5800 nodes
_WEIGHTS = ("live_weights", "start_weights", "best_weights")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a run started from and the best weights it found; shapes and units as in the module's docstring.

    Raises
    ------
    ValueError
        If an array has the wrong shape or a value is out of range; the message names the array.
    """

    nodes: tuple[str, ...]
    positions: NDArray[np.float64]
    links: NDArray[np.int32]
    capacity: NDArray[np.float64]
    traffic: NDArray[np.float64]
    live_weights: NDArray[np.int64]
    start_weights: NDArray[np.int64]
    best_weights: NDArray[np.int64]
    geographic: bool = True

    def __post_init__(self) -> None:
        """Check every array."""
        num_nodes, num_links = len(self.nodes), len(self.links)
        shapes = {"positions": (num_nodes, 2), "links": (num_links, 2), "capacity": (num_links,)}
        shapes |= {"traffic": (num_nodes, num_nodes)} | dict.fromkeys(_WEIGHTS, (num_links,))
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            _require(found == shape, f"{name} has shape {found}, expected {shape}")
        _require(len(set(self.nodes)) == num_nodes, "nodes: a name occurs twice")
        src, dst = self.links[:, 0].astype(np.int64), self.links[:, 1].astype(np.int64)
        in_range = bool(((self.links >= 0) & (self.links < num_nodes)).all())
        _require(in_range and not (src == dst).any(), f"links: expected pairs of different nodes below {num_nodes}")
        _require(bool((np.diff(src * num_nodes + dst) > 0).all()), "links: expected ascending (src, dst), no repeats")
        _require(bool((np.isfinite(self.capacity) & (self.capacity > 0)).all()), "capacity: expected numbers above 0")
        _require(bool((np.isfinite(self.traffic) & (self.traffic >= 0)).all()), "traffic: expected numbers >= 0")
        _require(not self.traffic.diagonal().any(), "traffic: expected zeros on the diagonal")
        for name in _WEIGHTS:
            weights = getattr(self, name)
            _require(bool(((weights >= 1) & (weights <= 65535)).all()), f"{name}: expected 1..65535")


def write_inputs(folder: Path, inputs: Inputs) -> None:
    """Write ``inputs.npz`` atomically."""
    arrays = {name: getattr(inputs, name) for name in _DTYPES}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, nodes=np.array(inputs.nodes, dtype=np.str_), geographic=inputs.geographic, **arrays)
    write_atomic(folder / INPUTS_FILE, buffer.getvalue())


def read_inputs(folder: Path) -> Inputs:
    """Read and validate ``inputs.npz``; `InputError` if it is not one."""
    path = folder / INPUTS_FILE
    try:
        data = path.read_bytes()
    except OSError as err:
        raise InputError(f"{err.strerror}; expected a file of a run folder", path) from err
    names = ("nodes", "geographic", *_DTYPES)
    try:
        # Not np.load: a run folder may come from somebody else. No pickles, and no memory beyond what the file holds.
        with ZipFile(io.BytesIO(data)) as stored:
            missing = [name for name in names if f"{name}.npy" not in stored.namelist()]
            if missing:
                raise InputError(f"no array {missing[0]!r}; expected {', '.join(names)}", path)
            found = {name: _member(stored, f"{name}.npy") for name in names}
    except _DAMAGED as err:
        raise InputError(f"not a numpy archive of plain arrays ({err})", path) from err
    if found["nodes"].dtype.kind != "U" or found["nodes"].ndim != 1:
        raise InputError("nodes: expected a list of names", path)
    if found["geographic"].dtype != np.bool_ or found["geographic"].shape:
        raise InputError("geographic: expected one truth value", path)
    for name, dtype in _DTYPES.items():
        if not np.can_cast(found[name].dtype, dtype, "safe"):
            raise InputError(f"{name} is {found[name].dtype}, expected {np.dtype(dtype)}", path)
    arrays = {name: found[name].astype(dtype) for name, dtype in _DTYPES.items()}
    try:
        return Inputs(nodes=tuple(found["nodes"].tolist()), geographic=bool(found["geographic"]), **arrays)
    except (ValueError, IndexError) as err:
        raise InputError(str(err), path) from err


def _member(stored: ZipFile, name: str) -> NDArray[np.generic]:
    """Return an array of an archive; ValueError if it is none of numbers, truth values or text."""
    size = stored.getinfo(name).file_size
    if size > _LARGEST:
        raise ValueError(f"{name} has {size} bytes, expected at most {_LARGEST}")
    content = stored.read(name)
    header = read_header(content)
    if header is None or header.size != len(content) - header.offset:
        raise ValueError(f"{name} is no array, or not as long as it says")
    return header.array(content)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
