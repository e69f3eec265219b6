"""The kernels against the numbers that the authors of paper 003 (and DEFO's run for it) left behind.

The data set is not part of the project. Where it is not at hand these tests are skipped, loudly; `test_routing_state`
compares the same kernels with networkx on random networks.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from routing.formats import load_topology
from routing.state import RoutingState, inverse_capacity
from routing.traffic import TrafficMatrix

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "marl-gnn-te"
MBIT = 1e6  # the data's unit, see topologies/README.md

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published data set is not at {DATA}")


def stored(topology: str, profile: str) -> list[dict[str, str]]:
    with (DATA / "reference_mlu.csv").open() as file:
        return [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (topology, profile)]


def paper_weights(topology: str) -> dict[tuple[int, int], int]:
    """The published start weights: drawn in the order of the authors' list of links."""
    with (DATA / "links.csv").open() as file:
        links = [(int(row["src"]), int(row["dst"])) for row in csv.DictReader(file) if row["topology"] == topology]
    drawn = np.random.RandomState(1).randint(1, 5, len(links))
    return dict(zip(links, drawn.tolist(), strict=True))


@pytest.mark.parametrize("profile", ["uniform", "gravity"])
@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_mlu_is_the_published_one(name: str, profile: str) -> None:
    topology = load_topology(name, profile)
    drawn = paper_weights(name)
    weights = {
        "ospf_inverse_capacity": inverse_capacity(topology),
        "paper_initial_weights": np.array(
            [drawn[ends] for ends in zip(topology.src.tolist(), topology.dst.tolist(), strict=True)]
        ),
    }
    matrices = np.load(DATA / f"{name}_{profile}.npz")["tm"]
    compared = 0
    for row in stored(name, profile):
        traffic = TrafficMatrix(matrices[int(row["tm"])] * MBIT, row["tm"])
        for column, values in weights.items():
            if row[column]:
                assert RoutingState(topology, traffic, values).mlu == pytest.approx(float(row[column]), abs=1e-5), row
                compared += 1
    assert compared >= 200
