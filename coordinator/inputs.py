"""The files behind the command line: all read and checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.config import Config
from coordinator.protocol import Request
from coordinator.request import make_request
from policy.checkpoint import load_checkpoint
from policy.episode import default_steps
from routing.errors import InputError
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, load_traffic, uniform

_MODELS = {"uniform": uniform, "gravity": gravity}
_SUFFIXES = (".csv", ".npy", ".npz", ".demands")
_LONGEST_NAME = 64  # `agent.control.Name`


@dataclass(frozen=True)
class Inputs:
    """What all episodes of one coordinator have in common. `start_weights`: (L,) int64; `checkpoint`: its hash."""

    config: Config
    topology: Topology
    checkpoint: str
    temperature_milli: int
    opening: int
    patience: int
    steps: int
    start_weights: NDArray[np.int64]

    def request(self, traffic: str) -> Request:
        """Return the request for a matrix as the user named it; raises `InputError`."""
        config = self.config
        return make_request(
            self.topology,
            traffic_matrix(traffic, self.topology, config.seed),
            self.start_weights,
            checkpoint=self.checkpoint,
            steps=self.steps,
            seed=config.seed,
            increments=config.increments,
            opening=self.opening,
            patience=self.patience,
            temperature_milli=self.temperature_milli,
            share=config.share,
            ecmp=config.ecmp,
            margin_milli=config.margin_milli,
            ordered=config.ordered,
            watch_s=config.watch_s,
        )


def load_inputs(config: Config) -> Inputs:
    """Read topology, checkpoint and start weights; raise `InputError`."""
    topology = load_topology(config.topology, config.profile)
    long = [name for name in topology.nodes if len(name) > _LONGEST_NAME]
    if long:
        raise InputError(f"{config.topology}: node {long[0]!r}, expected names of at most {_LONGEST_NAME} characters")
    checkpoint = load_checkpoint(config.checkpoint)
    temperature = config.temperature_milli or round(1000 * checkpoint.temperature)
    weights = initial_weights(config.initial, topology)
    opening = config.opening or checkpoint.opening
    steps = config.steps or default_steps(topology)
    patience = checkpoint.patience(steps) if config.patience is None else config.patience
    return Inputs(config, topology, checkpoint.hash, temperature, opening, patience, steps, weights)


def traffic_matrix(spec: str, topology: Topology, seed: int) -> TrafficMatrix:
    """Return the matrix of ``uniform``, ``gravity``, either with ``:SEED``, or of a file; raises `InputError`."""
    model, colon, text = spec.partition(":")
    if model in _MODELS:
        if colon and not (text.isascii() and text.isdigit() and len(text) <= 19):
            raise InputError(f"traffic {spec!r}: seed {text!r}, expected a whole number below 10**19")
        return _MODELS[model](topology, int(text) if colon else seed)
    if Path(spec).suffix not in _SUFFIXES:
        raise InputError(f"traffic {spec!r}, expected uniform, gravity, or a file in {', '.join(_SUFFIXES)}")
    return load_traffic(spec, topology)


class WatchedFolder:
    """Notices traffic matrices that appear or change in a folder.

    A file counts once it looked the same at two polls in a row, so that one that is being written is not read too soon.
    Hidden files and other suffixes are none of its business.

    Parameters
    ----------
    path : the folder
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._taken: dict[Path, tuple[int, int, int]] = {}

    def poll(self) -> list[Path]:
        """Return files that are new or changed since they were last returned, oldest first."""
        now = self._look()
        settled = {path: state for path, state in now.items() if self._seen.get(path) == state}
        fresh = [path for path, state in settled.items() if self._taken.get(path) != state]
        self._seen = now
        self._taken = {path: state for path, state in self._taken.items() if path in now}
        self._taken.update({path: settled[path] for path in fresh})
        return sorted(fresh, key=lambda path: (settled[path][0], path))

    def _look(self) -> dict[Path, tuple[int, int, int]]:
        """Return time of change (ns), size and inode of every file of interest."""
        found = {}
        for path in self._path.glob("*"):
            if path.suffix in _SUFFIXES and not path.name.startswith("."):
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue  # gone between the listing and the look
                if state.st_size:
                    found[path] = (state.st_mtime_ns, state.st_size, state.st_ino)
        return found
