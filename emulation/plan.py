"""From the command line to everything a run needs to know, checked, before anything is started."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulation.doors import users_doors
from emulation.failure import Failure, parse_failure
from emulation.options import Options
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import default_steps
from routing.errors import InputError
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, load_traffic, uniform

_KINDS = {"uniform": uniform, "gravity": gravity}


@dataclass(frozen=True, eq=False)
class Plan:
    """A run, before it starts.

    Attributes
    ----------
    options : what the user asked for
    topology : N nodes, L links, capacities in bit/s
    traffic : the matrix scaled to ``--load``, bit/s
    live_weights : (L,) int64, what OSPF starts with: the default weights
    start_weights : (L,) int64, where the episode starts
    live : routing and loads under the live weights; what "before" is predicted to be
    checkpoint : the policy
    steps : T
    patience : steps without anything better after which the episode ends; 0: never
    failure : what is to fail meanwhile
    """

    options: Options
    topology: Topology
    traffic: TrafficMatrix
    live_weights: NDArray[np.int64]
    start_weights: NDArray[np.int64]
    live: RoutingState
    checkpoint: Checkpoint
    steps: int
    patience: int = 0
    failure: Failure | None = None


def prepare(options: Options) -> Plan:
    """Load and check whatever the options name. Raises InputError."""
    if options.broker is None and (options.credentials is not None or options.insecure_broker):
        raise InputError("--credentials and --insecure-broker are for a broker that runs already, expected --broker")
    profile = options.profile or (options.traffic if options.traffic in _KINDS else "uniform")
    topology = load_topology(options.topology, profile)
    users_doors(options, topology)  # whether they open
    kind = _KINDS.get(options.traffic)
    traffic = kind(topology, options.seed) if kind else load_traffic(options.traffic, topology)
    live_weights = inverse_capacity(topology)
    live = RoutingState(topology, traffic, live_weights, ecmp=options.ecmp)
    if live.mlu == 0:
        raise InputError(f"traffic {options.traffic} is zero everywhere, expected at least one demand")
    if options.load > 0:
        traffic = traffic.scaled(options.load / live.mlu)
        live = RoutingState(topology, traffic, live_weights, ecmp=options.ecmp)
    steps = options.steps or default_steps(topology)
    checkpoint = load_checkpoint(options.checkpoint)
    return Plan(
        options=options,
        topology=topology,
        traffic=traffic,
        live_weights=live_weights,
        start_weights=initial_weights(options.initial, topology),
        live=live,
        checkpoint=checkpoint,
        steps=steps,
        patience=checkpoint.patience(steps) if options.patience is None else options.patience,
        failure=parse_failure(topology, options.fail, options.fail_router, steps),
    )


def run_folder(out: Path | None, topology_name: str) -> Path:
    """Make the run folder and return its absolute path.

    Parameters
    ----------
    out : what the user asked for; None: ``runs/<time>-<topology>`` in the current folder
    topology_name : for the default name

    Raises
    ------
    InputError
        If it is occupied or cannot be made.
    """
    folder = out or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{topology_name}"
    number = 1
    while out is None and folder.exists():
        number += 1
        folder = folder.with_name(f"{time.strftime('%Y%m%d-%H%M%S')}-{topology_name}-{number}")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError("occupied, expected a new or empty folder for --out", folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}, expected a folder for --out", folder) from error
    return folder.resolve()
