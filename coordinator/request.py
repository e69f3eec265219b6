"""An episode as numbers on one side, as the message to the agents on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.control import Start
from routing.state import checked_weights
from routing.topology import Topology
from routing.traffic import TrafficMatrix

MAX_EPISODE = 2**31
_EPOCH = 1_577_836_800  # 2020-01-01 in Unix seconds: MAX_EPISODE lasts until 2088


def first_episode(unix_time: float) -> int:
    """Return where episode numbers begin for a coordinator started at `unix_time` (s): the seconds since 2020."""
    return min(max(int(unix_time) - _EPOCH, 1), MAX_EPISODE)


@dataclass(frozen=True)
class Request:
    """An episode to run: what to call it, its `Start`, whose number and epoch the protocol sets, and which attempt."""

    name: str
    start: Start
    attempt: int = 1


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
    patience: int = 0,
    temperature_milli: int = 1000,
    share: Literal["candidate", "logits"] = "candidate",
    ecmp: bool = True,
    margin_milli: int = 10,
    ordered: bool = True,
    watch_s: float = 0.0,
) -> Request:
    """Return the request for an episode, named after its traffic matrix.

    Parameters
    ----------
    topology, traffic : the network (N nodes, L links) and its (N, N) demands
    start_weights : (L,) int64, 1..65535, where the episode starts
    checkpoint : hash of the policy that the agents run, hex
    steps, seed, increments, opening, patience, temperature_milli, share, ecmp, margin_milli : as in
        `agent.control.Start`

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
        patience=patience,
        temperature_milli=temperature_milli,
        share=share,
        ecmp=ecmp,
        margin_milli=margin_milli,
        ordered=ordered,
        watch_s=watch_s,
        topology=topology.digest().hex(),
        checkpoint=checkpoint,
        traffic=traffic.demand.astype("<f8").tobytes(),
        start_weights=checked_weights(topology, start_weights).astype("<u2").tobytes(),
    )
    return Request(traffic.name, start)
