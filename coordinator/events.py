"""What the coordinator tells its user. All are facts of the past; acting on them is up to the program."""

from __future__ import annotations

from dataclasses import dataclass

from agent.control import Result
from coordinator.outcome import Outcome


@dataclass(frozen=True)
class BrokerConnected:
    """The broker is there."""


@dataclass(frozen=True)
class BrokerLost:
    """The broker is gone; a running episode goes on without it."""


@dataclass(frozen=True)
class AgentJoined:
    """An agent is online."""

    router: str


@dataclass(frozen=True)
class AgentLost:
    """An agent went offline, or its connection broke."""

    router: str


@dataclass(frozen=True)
class UnknownAgent:
    """An agent answers that is not in the topology (reported once)."""

    router: str


@dataclass(frozen=True)
class AllReady:
    """All agents are online and have met their neighbours."""

    routers: int


@dataclass(frozen=True)
class EpochFormed:
    """Episodes run on another epoch from now on: `epoch` describes its links and members."""

    epoch: str


@dataclass(frozen=True)
class HalfCommitted:
    """A commit was left half done: these `links` have wrong costs; "" once all are right again."""

    episode: int
    links: str


@dataclass(frozen=True)
class MoreThanPredicted:
    """The links carry more than the last commit promised, for too long: it is taken back."""

    episode: int
    measured: float
    limit: float


@dataclass(frozen=True)
class RequestDropped:
    """A waiting request gave way to a newer one before it was started."""

    name: str
    newer: str


@dataclass(frozen=True)
class EpisodeStarted:
    """The start of an episode goes out to all agents."""

    episode: int
    name: str
    steps: int


@dataclass(frozen=True)
class StepDone:
    """The links whose weight changed and the MLU (a fraction) after it; step 0 is the start."""

    episode: int
    step: int
    links: tuple[int, ...]
    mlu: float


@dataclass(frozen=True)
class EpisodeCancelled:
    """The cancellation of an episode goes out to all agents; `EpisodeEnded` follows."""

    episode: int
    reason: str


@dataclass(frozen=True)
class EpisodeEnded:
    """All results are in, or no more are expected."""

    outcome: Outcome


@dataclass(frozen=True)
class LateResult:
    """A router reports on the last episode after it was given up: its costs may differ from what was said."""

    result: Result


@dataclass(frozen=True)
class OutdatedResult:
    """A router that was restarted tells of a commit that was settled long ago."""

    result: Result


Event = (
    BrokerConnected
    | BrokerLost
    | AgentJoined
    | AgentLost
    | UnknownAgent
    | AllReady
    | EpochFormed
    | HalfCommitted
    | MoreThanPredicted
    | RequestDropped
    | EpisodeStarted
    | StepDone
    | EpisodeCancelled
    | EpisodeEnded
    | LateResult
    | OutdatedResult
)
