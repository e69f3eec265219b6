"""What the protocol tells its adapter: facts to act on or to report, never callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.control import Ending


@dataclass(frozen=True)
class NeighborUp:
    """A session with a neighbour's agent began (again)."""

    router: str


@dataclass(frozen=True)
class NeighborSilent:
    """Nothing valid came from a neighbour's agent for `for_s` seconds."""

    router: str
    for_s: float


@dataclass(frozen=True)
class StepDone:
    """All chose the same links; `mlu` is the MLU after the step (step 0: the start, no links)."""

    episode: int
    step: int
    links: tuple[int, ...]
    mlu: float


@dataclass(frozen=True)
class SetCosts:
    """Write these costs of the router's own links into OSPF, link -> weight, then call `costs_set`.

    `undo` marks a roll-back.
    `weights` (L,) is what all links will have once every router has done the same.
    """

    episode: int
    costs: Mapping[int, int]
    weights: NDArray[np.int64] = field(compare=False)
    undo: bool = False


@dataclass(frozen=True)
class EpisodeEnded:
    """The episode is over for this router. `weights` are those that are live now if it was committed."""

    episode: int
    status: Ending
    reason: str
    digest: bytes
    steps: int
    best_step: int
    mlu_start: float
    mlu_live: float
    mlu_best: float
    costs_changed: int
    episode_s: float
    commit_s: float
    best_weights: NDArray[np.int64] = field(compare=False)
    trace: tuple[StepDone, ...] = ()


Event = NeighborUp | NeighborSilent | StepDone | SetCosts | EpisodeEnded
