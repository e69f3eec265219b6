"""The problems of a comparison: networks, traffic matrices and start weights, from files, names or the data set.

`Source` is what the command line said; it is small and can be sent to another process, which loads an instance when it
needs it. Every instance has a digest, so that results of other problems are never taken for its own.
"""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.result import Budget, Result, Trace
from baselines.segment_paths import as_middle, as_segments, pair_shares
from routing.complete import Network
from routing.errors import InputError
from routing.formats import load_demands, load_network
from routing.initial import initial_weights
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, uniform
from trainer.instances import PublishedData

PROFILES = ("uniform", "gravity")
CELLS = tuple((name, profile) for name in ("nsfnet", "gbn", "geant2") for profile in PROFILES)
EVALUATION = range(100, 150)  # the matrices of the data set that nothing was ever trained or chosen by
GENERATED = 1000  # where the numbers of generated matrices beside the data set's begin
Segments = Mapping[tuple[int, int], tuple[int, ...]]


class Key(NamedTuple):
    """Names an instance: network, kind of traffic (or ``file``), number of the matrix (or its file's name)."""

    topology: str
    traffic: str
    matrix: int | str

    @property
    def cell(self) -> str:
        """The instances that are averaged together."""
        return f"{Path(self.topology).stem} {self.traffic}"


@dataclass(frozen=True, eq=False)
class Instance:
    """One problem.

    Parameters
    ----------
    weights : (L,) int64, the start weights
    bound : the data set's lower bound on the MLU, if it has one
    stored : the answer of DEFO in the data set, if it has one
    """

    key: Key
    topology: Topology
    traffic: TrafficMatrix
    weights: NDArray[np.int64]
    bound: float | None = None
    stored: Segments | None = None

    @property
    def digest(self) -> str:
        """16 hex digits over topology, demands and start weights."""
        content = self.topology.digest() + self.traffic.demand.tobytes() + self.weights.tobytes()
        return hashlib.blake2s(content, digest_size=8).hexdigest()


class Instances(Protocol):
    """Instances by their keys; picklable, so that another process can load one when it needs it."""

    @property
    def keys(self) -> list[Key]:
        """All instances, in the order in which they are worked on."""

    def load(self, key: Key) -> Instance:
        """Load an instance; raises InputError."""


@dataclass(frozen=True)
class Source:
    """Where instances come from.

    Parameters
    ----------
    cells : (network, profile); generated traffic, or that of the data set in `data`
    matrices : numbers of the matrices, for generated ones their seeds; empty: the network's own demands
    generated : with `data`, how many generated matrices to add; they are numbered, and seeded, from `GENERATED` on
    demands : files of demands instead, each a matrix
    initial : paper, unit, given (the network's file has them), or as in `routing.initial`
    """

    cells: tuple[tuple[str, str], ...]
    matrices: tuple[int, ...] = ()
    demands: tuple[str, ...] = ()
    data: Path | None = None
    initial: str = "inverse-capacity"
    generated: int = 0

    @property
    def keys(self) -> list[Key]:
        """All instances: the first matrix of every cell, then the second, so that an interrupted run is balanced."""
        if self.demands:
            return [Key(name, "file", path) for path in self.demands for name, _ in self.cells]
        if not self.matrices:
            return [Key(name, "file", "own") for name, _ in self.cells]
        matrices = [*self.matrices, *range(GENERATED, GENERATED + self.generated)]
        return [Key(name, profile, matrix) for matrix in matrices for name, profile in self.cells]

    def load(self, key: Key) -> Instance:
        """Load an instance; raises InputError."""
        profile = PROFILES[0] if key.traffic == "file" else key.traffic
        network = _network(key.topology, profile)
        topology = network.topology
        generated = isinstance(key.matrix, int) and GENERATED <= key.matrix < GENERATED + self.generated
        if self.data is not None and not generated:
            return _published(self.data, key, topology, self._weights(network))
        if isinstance(key.matrix, int):
            traffic = (gravity if profile == "gravity" else uniform)(topology, key.matrix)
        elif self.demands:
            traffic = load_demands(key.matrix, topology)
        elif network.traffic is not None:
            traffic = network.traffic
        else:
            raise InputError(f"{key.topology} has no demands of its own, expected --demands or --traffic")
        return Instance(key, topology, traffic, self._weights(network))

    def _weights(self, network: Network) -> NDArray[np.int64]:
        topology = network.topology
        if self.initial == "unit":
            return np.ones(topology.num_links, dtype=np.int64)
        if self.initial == "given":
            if network.weights is None:
                raise InputError(f"{topology.name} has no weights in its file, expected another --initial")
            return network.weights
        if self.initial == "paper":
            if self.data is None:
                raise InputError("--initial paper: the paper's weights are in the order of its links; expected --data")
            return _data(self.data).paper_weights(topology)
        return initial_weights(self.initial, topology)


def stored_defo(
    topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, budget: Budget, *, seed: int = 0, stored: Segments
) -> Result:
    """Evaluate the answer `stored` in the data set: DEFO's middlepoints over inverse-capacity weights."""
    trace = Trace()
    shares = pair_shares(topology, inverse_capacity(topology))
    trace.record(shares.mlu(traffic, as_middle(stored, topology.num_nodes)))
    return Result(trace.best, 1, trace.seconds, trace.entries, shares.weights, stored)


@lru_cache(maxsize=8)
def _network(name: str, profile: str) -> Network:
    return load_network(name, profile=profile)


@lru_cache(maxsize=1)
def _data(folder: Path) -> PublishedData:
    return PublishedData(folder)


def _published(folder: Path, key: Key, topology: Topology, weights: NDArray[np.int64]) -> Instance:
    if not isinstance(key.matrix, int):
        raise InputError("--data: expected --topology, --traffic and --matrices, which the data set has")
    known = _bounds(folder, topology.name, key.traffic)
    if key.matrix not in known:
        wanted = f"{min(known)}-{max(known)}" if known else "nsfnet, gbn or geant2"
        raise InputError(f"no {key.traffic} matrix {key.matrix} of {topology.name}, expected {wanted}", folder)
    try:
        traffic = _data(folder).matrix(topology, key.traffic, key.matrix)
        stored = as_segments(_middlepoints(folder, topology.name, key.traffic)[key.matrix])
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        path = folder / f"{topology.name}_{key.traffic}.npz"
        raise InputError(f"expected the data set's links, capacity, tm and defo_middlepoints: {error}", path) from error
    return Instance(key, topology, traffic, weights, known[key.matrix], stored)


@lru_cache(maxsize=8)
def _middlepoints(folder: Path, topology: str, profile: str) -> NDArray[np.int32]:
    """Return DEFO's middlepoints, (matrices, N, N, 4) int32 in the order of travel, -1 for none."""
    with np.load(folder / f"{topology}_{profile}.npz") as archive:
        middle: NDArray[np.int32] = archive["defo_middlepoints"].astype(np.int32)
    return middle


@lru_cache(maxsize=8)
def _bounds(folder: Path, topology: str, profile: str) -> dict[int, float | None]:
    """Return the matrices of the data set with their lower bounds, None where it has none."""
    path = folder / "reference_mlu.csv"
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (topology, profile)]
        return {int(row["tm"]): float(row["mcf_lower_bound"]) if row["mcf_lower_bound"] else None for row in rows}
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}, expected the data set's reference_mlu.csv", path
        ) from error
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"expected the columns topology, profile, tm, mcf_lower_bound: {error}", path) from error
