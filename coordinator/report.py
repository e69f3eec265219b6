"""Events as lines for people, and as records for programs (``--json``: one object per line; keys only ever grow)."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from coordinator.events import (
    AgentJoined,
    AgentLost,
    AllReady,
    BrokerConnected,
    BrokerLost,
    EpisodeCancelled,
    EpisodeEnded,
    EpisodeStarted,
    EpochFormed,
    Event,
    HalfCommitted,
    LateResult,
    MoreThanPredicted,
    OutdatedResult,
    RequestDropped,
    StepDone,
    UnknownAgent,
)
from coordinator.outcome import Outcome
from routing.topology import Topology


def line(event: Event, topology: Topology) -> str:
    """Return one line of text."""
    match event:
        case BrokerConnected():
            return "connected to the broker"
        case BrokerLost():
            return "lost the broker; a running episode goes on without it"
        case AgentJoined(router):
            return f"agent {router} is online"
        case AgentLost(router):
            return f"agent {router} is offline"
        case UnknownAgent(router):
            return f"agent {router} is not a node of {topology.name}, ignored"
        case AllReady(routers):
            return f"all {routers} agents are ready"
        case EpochFormed(epoch):
            return f"epoch {epoch}"
        case HalfCommitted(episode, links):
            return (
                f"episode {episode} was left half done: wrong costs on {links}"
                if links
                else "all costs are right again"
            )
        case MoreThanPredicted(episode, measured, limit):
            return f"after episode {episode} the measured MLU is {measured:.4f}, above {limit:.4f}: it is taken back"
        case RequestDropped(name, newer):
            return f"{name} was not run: {newer} is newer"
        case EpisodeStarted(episode, name, steps):
            return f"episode {episode} started: {name}, {steps} steps"
        case StepDone(_, step, links, mlu):
            return f"step {step}: MLU {mlu:.4f}{', +1 on ' if links else ''}{_names(links, topology)}"
        case EpisodeCancelled(episode, reason):
            return f"episode {episode} cancelled: {reason}"
        case EpisodeEnded(outcome):
            return outcome_line(outcome)
        case LateResult(result):
            why = f": {result.reason}" if result.reason else ""
            return f"late result of episode {result.episode}: {result.status} on {result.router}{why}"
        case OutdatedResult(result):
            return f"{result.router} remembers the commit of episode {result.episode}, which is long over: ignored"


def _names(links: tuple[int, ...], topology: Topology) -> str:
    return ", ".join(topology.link_name(link) if link < topology.num_links else f"link {link}?" for link in links)


def outcome_line(outcome: Outcome) -> str:
    """Return how an episode ended, in one line of text."""
    head = f"episode {outcome.episode} {outcome.verdict}"
    if outcome.reason:
        return f"{head}: {outcome.reason}{'; it is tried again' if outcome.again else ''}"
    best = outcome.root or next(iter(outcome.results.values()))
    change = (
        f"MLU {best.mlu_live:.4f} -> {best.mlu_best:.4f} (best of {best.steps} steps: {best.best_step})"
        if outcome.verdict == "committed"
        else f"MLU stays {best.mlu_live:.4f}, the best of {best.steps} steps is {best.mlu_best:.4f}"
    )
    changed = f"{outcome.costs_changed} costs changed"
    agreed = f"{len(outcome.results)} routers agree on {(outcome.digest or 'nothing')[:8]}"
    return f"{head}: {change}, {changed}, {agreed}, {best.episode_s:.2f} s + {best.commit_s:.2f} s to commit"


def record(event: Event) -> dict[str, Any]:
    """Return an event as an object for JSON: `event` is its class in snake case."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    match event:
        case EpisodeEnded(outcome):
            return {"event": kind, **outcome_record(outcome)}
        case LateResult(result) | OutdatedResult(result):
            keys = ("router", "episode", "status", "reason", "digest", "costs_changed")
            return {"event": kind, **{key: getattr(result, key) for key in keys}}
        case _:
            return {"event": kind, **dataclasses.asdict(event)}


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as an object for JSON; the trace's keys are null if no router sent one."""
    root = outcome.root
    return {
        "episode": outcome.episode,
        "name": outcome.name,
        "status": outcome.verdict,
        "reason": outcome.reason,
        "superseded": outcome.superseded,
        "again": outcome.again,
        "missing": list(outcome.missing),
        "digest": outcome.digest,
        "costs_changed": outcome.costs_changed,
        "lsdb_verified": outcome.lsdb_verified,
        "steps": root and root.steps,
        "best_step": root and root.best_step,
        "mlu_live": root and root.mlu_live,
        "mlu_start": root and root.mlu_start,
        "mlu_best": root and root.mlu_best,
        "episode_s": root and root.episode_s,
        "commit_s": root and root.commit_s,
        "links": root and root.links,
        "mlu": root and root.mlu,
        "best_weights": root and np.frombuffer(root.best_weights, "<u2").tolist(),
        "routers": {
            router: {"status": result.status, "reason": result.reason, "digest": result.digest}
            for router, result in outcome.results.items()
        },
    }
