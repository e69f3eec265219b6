"""An episode's order: the coordinator's `Start`, checked against what the router knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.control import Start
from policy.digest import DecisionDigest
from routing.errors import InputError
from routing.state import checked_weights, quantise, quantum_of
from routing.topology import Topology
from routing.traffic import TrafficMatrix


class Refused(Exception):
    """The router cannot take part in the episode; `str()` says why."""


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
            temperature_milli=start.temperature_milli,
            share=start.share,
            ecmp=start.ecmp,
            margin_milli=start.margin_milli,
            checkpoint=checkpoint,
            traffic=traffic,
            start=weights,
        )

    def digest(self, topology: Topology, live: NDArray[np.int64]) -> DecisionDigest:
        """Return the digest before the first step.

        What does not change decisions is left out: how logits are shared, and the episode's number.
        """
        return DecisionDigest(
            [topology.digest(), bytes.fromhex(self.checkpoint)],
            [self.seed, self.steps, self.increments, self.temperature_milli, int(self.ecmp), self.margin_milli],
            quantise(self.traffic, quantum_of(self.traffic)),
            self.start,
            live,
        )
