"""An episode as numbers on one side, as the message to the agents on the other."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.control import Start
from coordinator.protocol import Request
from routing.state import checked_weights
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def make_request(
    topology: Topology,
    traffic: TrafficMatrix,
    start_weights: NDArray[np.int64],
    *,
    checkpoint: str,
    steps: int,
    seed: int,
    increments: int = 1,
    opening: int = 1,
    temperature_milli: int = 1000,
    share: Literal["candidate", "logits"] = "candidate",
    ecmp: bool = True,
    margin_milli: int = 10,
) -> Request:
    """Return the request for an episode, named after its traffic matrix.

    Parameters
    ----------
    topology, traffic : the network (N nodes, L links) and its (N, N) demands
    start_weights : (L,) int64, 1..65535, where the episode starts
    checkpoint : hash of the policy that the agents run, hex
    steps, seed, increments, opening, temperature_milli, share, ecmp, margin_milli : as in `agent.control.Start`

    Raises
    ------
    InputError : the weights do not fit the topology
    """
    start = Start(
        episode=1,  # the protocol sets it
        seed=seed,
        steps=steps,
        increments=increments,
        opening=opening,
        temperature_milli=temperature_milli,
        share=share,
        ecmp=ecmp,
        margin_milli=margin_milli,
        topology=topology.digest().hex(),
        checkpoint=checkpoint,
        traffic=traffic.demand.astype("<f8").tobytes(),
        start_weights=checked_weights(topology, start_weights).astype("<u2").tobytes(),
    )
    return Request(traffic.name, start)
