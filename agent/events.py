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
class CommitBegun:
    """A commit begins, from `live_weights` to `best_weights`, (L,) each: to be written down before a cost is set.

    `steps` are the episode's; 0 if it restores weights.
    """

    episode: int
    steps: int
    live_weights: NDArray[np.int64] = field(compare=False)
    best_weights: NDArray[np.int64] = field(compare=False)


@dataclass(frozen=True)
class SetCosts:
    """Write these costs of the router's own links into OSPF, link -> weight, then call `costs_set`.

    A cost that is none of `ours` (link -> what this commit may have set, the old cost included) is an operator's: it is
    a problem, and is left alone.
    `weights` (L,) is what all links will have once every member has done the same; unless `alone`, wait until OSPF
    shows that of the links `shown`, and the kernel forwards by it. A router alone looks at its own links only.
    `undo` marks a way back.
    """

    episode: int
    costs: Mapping[int, int]
    weights: NDArray[np.int64] = field(compare=False)
    undo: bool = False
    alone: bool = False
    ours: Mapping[int, frozenset[int]] = field(default_factory=dict, compare=False)
    shown: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32), compare=False)
    ecmp: bool = True


@dataclass(frozen=True)
class EpisodeEnded:
    """The episode is over for this router. `began`: a commit was begun, whatever became of it.

    `live_weights` (L,) are those before, `best_weights` (L,) those that are live now if it was committed.
    """

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
    live_weights: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64), compare=False)
    began: bool = False


Event = NeighborUp | NeighborSilent | StepDone | CommitBegun | SetCosts | EpisodeEnded
