"""The published data set that the tests may read where it is at hand: matrices and reference figures."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routing.formats import load_topology
from routing.topology import Topology
from routing.traffic import TrafficMatrix

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "marl-gnn-te"
MBIT = 1e6  # the data's unit, see topologies/README.md
CELLS = [(name, profile) for name in ("nsfnet", "gbn", "geant2") for profile in ("uniform", "gravity")]


class Cell:
    """One network with one traffic profile."""

    def __init__(self, name: str, profile: str) -> None:
        self.topology: Topology = load_topology(name, profile)
        with np.load(DATA / f"{name}_{profile}.npz") as archive:
            self.matrices = archive["tm"]
            self.defo: NDArray[np.int8] = archive["defo_middlepoints"]
        with (DATA / "reference_mlu.csv").open(newline="") as file:
            self.rows = [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (name, profile)]

    def stored(self, column: str) -> Iterator[tuple[int, TrafficMatrix, float]]:
        """Yield index, matrix and figure of every row that has one in `column`."""
        for row in self.rows:
            if row[column]:
                number = int(row["tm"])
                yield number, TrafficMatrix(self.matrices[number] * MBIT, row["tm"]), float(row[column])
