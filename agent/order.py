"""An episode's order: the coordinator's `Start`, checked against what the router knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.control import Start
from agent.epoch import Epoch
from policy.digest import DecisionDigest
from routing.errors import InputError
from routing.state import checked_weights, quantise, quantum_of
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_OTHER_FIELDS = 1 << 16  # bytes, with their names


class Refused(Exception):
    """The router cannot take part in the episode; `str()` says why."""


def largest_start(topology: Topology) -> int:
    """Return how many bytes the longest `Start` for a topology has."""
    nodes, links = topology.num_nodes, topology.num_links
    return 8 * nodes**2 + 2 * links + 16 * (nodes + links) + _OTHER_FIELDS


@dataclass(frozen=True)
class Order:
    """One episode to run. Weights are (L,) int64; see `agent.control.Start` for the rest."""

    episode: int
    seed: int
    steps: int
    increments: int
    temperature_milli: int
    share: str
    ecmp: bool
    margin_milli: int
    checkpoint: str
    traffic: TrafficMatrix
    start: NDArray[np.int64]
    down: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    restore: bool = False
    ordered: bool = True
    watch_s: float = 0.0
    opening: int = 1
    patience: int = 0

    @classmethod
    def from_message(cls, start: Start, topology: Topology, checkpoint: str) -> Order:
        """Check a `Start` against this router's topology and checkpoint hash; raise `Refused`."""
        if start.topology != topology.digest().hex():
            raise Refused(f"the coordinator's topology is {start.topology[:8]}, mine is {topology.digest().hex()[:8]}")
        if start.checkpoint != checkpoint:
            raise Refused(f"the coordinator's checkpoint is {start.checkpoint[:8]}, mine is {checkpoint[:8]}")
        nodes = topology.num_nodes
        if len(start.traffic) != 8 * nodes * nodes:
            raise Refused(f"a traffic matrix of {len(start.traffic)} bytes, expected {8 * nodes * nodes}")
        if len(start.start_weights) != 2 * topology.num_links:
            raise Refused(f"start weights of {len(start.start_weights)} bytes, expected {2 * topology.num_links}")
        if (start.steps == 0) != start.restore:
            raise Refused(f"{start.steps} steps, expected none to restore weights and some to decide")
        if any(link >= topology.num_links for link in start.down) or any(node >= nodes for node in start.absent):
            raise Refused(f"down {start.down}, absent {start.absent}: expected links and nodes of {topology.name}")
        try:
            demand = np.frombuffer(start.traffic, dtype="<f8").reshape(nodes, nodes).astype(np.float64)
            traffic = TrafficMatrix(demand, f"episode {start.episode}")
            weights = checked_weights(topology, np.frombuffer(start.start_weights, dtype="<u2"))
        except InputError as error:
            raise Refused(str(error)) from error
        return cls(
            episode=start.episode,
            seed=start.seed,
            steps=start.steps,
            increments=start.increments,
            opening=start.opening,
            patience=start.patience,
            temperature_milli=start.temperature_milli,
            share=start.share,
            ecmp=start.ecmp,
            margin_milli=start.margin_milli,
            checkpoint=checkpoint,
            traffic=traffic,
            start=weights,
            down=tuple(start.down),
            absent=tuple(start.absent),
            restore=start.restore,
            ordered=start.ordered,
            watch_s=start.watch_s,
        )

    def epoch(self, topology: Topology) -> Epoch:
        """Return the epoch of the order; raise `NoEpoch`."""
        return Epoch.of(topology, self.down, self.absent)

    def first_weights(self, epoch: Epoch, live: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the weights of the epoch's links at the start, (l,) int64: those without a member keep the live ones.

        live : (l,) int64
        """
        start = self.start[epoch.part.links]
        frozen = np.isin(epoch.part.network.src, list(epoch.absent))
        return np.where(frozen, live, start)

    def digest(self, topology: Topology, live: NDArray[np.int64], epoch: Epoch | None = None) -> DecisionDigest:
        """Return the digest before the first step; `live` (L,) are the weights of all links of the topology.

        What does not change decisions is left out: how logits are shared, in which order costs are set, and the
        episode's number.
        """
        epoch = epoch or self.epoch(topology)
        part = epoch.part
        traffic = part.traffic(self.traffic)
        return DecisionDigest(
            [epoch.id, bytes.fromhex(self.checkpoint)],
            [
                self.seed, self.steps, self.increments, self.opening, self.patience, self.temperature_milli,
                int(self.ecmp), self.margin_milli, int(self.restore),
            ],
            quantise(traffic, quantum_of(traffic)),
            self.first_weights(epoch, live[part.links]),
            live[part.links],
        )  # fmt: skip
