"""From what a run has seen to the files of its folder: pure arithmetic on results, counters and measurements."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from coordinator.outcome import Outcome
from coordinator.overhead import MqttOverhead
from emulation.counters import IP_HEADERS, WIRE_HEADERS, counters_by_link, overhead
from emulation.inputs import Inputs
from emulation.measure import LinkLoads
from emulation.optimise import MARGIN_MILLI
from emulation.plan import Plan
from emulation.records import (
    Agreement,
    Computing,
    Counted,
    Level,
    LinkRow,
    Manifest,
    Mlu,
    Ospf,
    Outage,
    Status,
    Summary,
    Times,
)
from routing.state import RoutingState
from routing.subnetwork import Subnetwork
from routing.topology import Topology

_LIBRARIES = ("numpy", "numba", "msgspec", "uvloop", "aiomqtt", "safetensors")


@dataclass(frozen=True)
class Seen:
    """What a run has seen. None where nothing was measured.

    Attributes
    ----------
    outcome : of the episode
    mqtt : what it cost between coordinator and agents
    before, after : loads of all links
    kernel : frames and IP bytes per link that the kernel counted while the agents optimised, (L,) each
    routes : kernel routes as the model's, and all of them, after the commit
    bring_up_s, commit_s, total_s : wall-clock seconds; the commit ends when all routes are right
    left : of the network, at the end
    failure : what failed meanwhile
    computing : what the agents' processes took
    counted : what agents and kernels counted in all
    """

    outcome: Outcome
    mqtt: MqttOverhead
    before: LinkLoads | None
    after: LinkLoads | None
    kernel: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    routes: tuple[int, int] | None
    bring_up_s: float
    commit_s: float | None
    total_s: float
    left: Subnetwork
    failure: Outage | None = None
    computing: Computing | None = None
    counted: Counted | None = None


def status_of(outcome: Outcome) -> Status:
    """Return the run's status: a partial commit is no success."""
    return "aborted" if outcome.verdict == "partial" else outcome.verdict


def best_weights(outcome: Outcome, plan: Plan) -> NDArray[np.int64]:
    """Return the best weights of the episode, (L,) int64; the live ones if it did not get far enough to say."""
    root = outcome.root
    if root is None or len(root.best_weights) != 2 * plan.topology.num_links:
        return plan.live_weights
    found = np.frombuffer(root.best_weights, dtype="<u2").astype(np.int64)
    return np.where(found > 0, found, plan.live_weights)  # OSPF knows no weight of a link that is down


def down_links(outcome: Outcome) -> tuple[int, ...]:
    """Return the links that were down when the episode that counts ran."""
    best = outcome.root.best_weights if outcome.root else b""
    return tuple(np.flatnonzero(np.frombuffer(best, dtype="<u2") == 0).tolist())


def after_weights(outcome: Outcome, plan: Plan) -> NDArray[np.int64]:
    """Return the weights that the run has left behind."""
    return best_weights(outcome, plan) if outcome.verdict == "committed" else plan.live_weights


def state_after(plan: Plan, outcome: Outcome, left: Subnetwork) -> RoutingState:
    """Return how what is left of the network routes by the weights that the run has left behind."""
    weights = after_weights(outcome, plan)[left.links]
    return RoutingState(left.network, left.traffic(plan.traffic), weights, ecmp=plan.options.ecmp)


def summary(plan: Plan, seen: Seen) -> Summary:
    """Return ``summary.json``."""
    options, topology, outcome = plan.options, plan.topology, seen.outcome
    root = outcome.root
    after = state_after(plan, outcome, seen.left)
    agreeing = [result for result in outcome.results.values() if result.digest and result.digest == outcome.digest]
    emulated = seen.routes is not None
    return Summary(
        topology=topology.name,
        fabric=options.fabric,
        traffic=options.traffic,
        load=options.load or None,
        initial=options.initial,
        seed=options.seed,
        routers=topology.num_nodes,
        links=topology.num_links,
        status=status_of(outcome),
        reason=outcome.reason,
        steps=root.steps if root else 0,
        planned=plan.steps,
        patience=plan.patience,
        best_step=root.best_step if root else 0,
        mlu=Mlu(
            before=Level(predicted=plan.live.mlu, measured=_highest(seen.before)),
            after=Level(predicted=after.mlu, measured=_highest(seen.after)),
            start=Level(predicted=RoutingState(topology, plan.traffic, plan.start_weights, ecmp=options.ecmp).mlu),
        ),
        agreement=Agreement(digest=outcome.digest, routers=len(agreeing)),
        ospf=Ospf(
            costs_changed=int(np.count_nonzero(after_weights(outcome, plan) != plan.live_weights)),
            lsdb_verified=outcome.lsdb_verified if emulated and outcome.verdict == "committed" else None,
            routes_verified=seen.routes,
        ),
        overhead=overhead(counters_by_link(outcome.results, topology.num_links), seen.mqtt, topology.num_nodes),
        time_s=Times(
            bring_up=seen.bring_up_s,
            episode=max((result.episode_s for result in outcome.results.values()), default=None),
            commit=seen.commit_s,
            total=seen.total_s,
        ),
        failure=seen.failure,
        computing=seen.computing,
        counted=seen.counted,
    )


def link_rows(plan: Plan, seen: Seen) -> list[LinkRow]:
    """Return ``links.csv``."""
    topology = plan.topology
    weights = after_weights(seen.outcome, plan)
    predicted = np.zeros(topology.num_links)
    predicted[seen.left.links] = state_after(plan, seen.outcome, seen.left).utilization
    before = plan.live.utilization
    counters = counters_by_link(seen.outcome.results, topology.num_links)
    rows = []
    for link in range(topology.num_links):
        one = counters[link] if counters is not None else None
        rows.append(
            LinkRow(
                link=link,
                src=topology.nodes[int(topology.src[link])],
                dst=topology.nodes[int(topology.dst[link])],
                capacity_bps=float(topology.capacity[link]),
                weight_live=int(plan.live_weights[link]),
                weight_after=int(weights[link]),
                utilization_before_predicted=float(before[link]),
                utilization_before_measured=float(seen.before.utilization[link]) if seen.before else None,
                utilization_after_predicted=float(predicted[link]),
                utilization_after_measured=float(seen.after.utilization[link]) if seen.after else None,
                frames=one.frames if one else None,
                bytes=one.bytes if one else None,
                hidden_state_bytes=one.hidden_bytes if one else None,
                sharing_bytes=one.sharing_bytes if one else None,
                control_bytes=one.control_bytes if one else None,
                wire_bytes=one.bytes + WIRE_HEADERS * one.frames if one else None,
                repeated_frames=one.retransmitted_frames if one else None,
                repeated_bytes=one.retransmitted_bytes if one else None,
                kernel_frames=int(seen.kernel[0][link]) if seen.kernel else None,
                kernel_bytes=int(seen.kernel[1][link] - IP_HEADERS * seen.kernel[0][link]) if seen.kernel else None,
            )
        )
    return rows


def inputs(plan: Plan, outcome: Outcome) -> Inputs:
    """Return ``inputs.npz``."""
    topology: Topology = plan.topology
    return Inputs(
        nodes=topology.nodes,
        positions=topology.positions,
        links=np.stack([topology.src, topology.dst], axis=1),
        capacity=topology.capacity,
        traffic=plan.traffic.demand,
        live_weights=plan.live_weights,
        start_weights=plan.start_weights,
        best_weights=best_weights(outcome, plan),
        geographic=topology.geographic,
    )


def manifest(plan: Plan, outcome: Outcome, command: Sequence[str], started: str) -> Manifest:
    """Return ``manifest.json``."""
    options = plan.options
    return Manifest(
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        command=(sys.executable, *command),
        started=started,
        topology=plan.topology.name,
        topology_digest=plan.topology.digest().hex(),
        traffic=options.traffic,
        load=options.load or None,
        initial=options.initial,
        seed=options.seed,
        episode=outcome.episode,
        steps=plan.steps,
        opening=plan.checkpoint.opening,
        patience=plan.patience,
        temperature=plan.checkpoint.temperature,
        margin=MARGIN_MILLI / 1000,
        ecmp=options.ecmp,
        share=options.share,
        fabric=options.fabric,
        checkpoint=options.checkpoint,
        checkpoint_hash=plan.checkpoint.hash,
        down=down_links(outcome),
    )


def _highest(loads: LinkLoads | None) -> float | None:
    return float(loads.utilization.max()) if loads is not None else None
