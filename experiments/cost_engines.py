"""The central engine's row of Table I: one optimisation, timed; what agents would send is calculated."""

from __future__ import annotations

import time

import numpy as np

from baselines.result import Budget, Result
from experiments.cost_case import Case
from experiments.cost_model import calculated, delays, propagation
from experiments.cost_row import Row
from policy.checkpoint import Checkpoint
from policy.episode import Episode, run_episode
from policy.mpnn import Network
from policy.trace import EpisodeTrace
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_CALIBRATION = 2_000_000
_WARM_UP = 5  # decisions; a whole optimisation would double the time on large networks for nothing


def calibration() -> float:
    """Return the seconds that a fixed loop of plain Python takes now: how busy, and how fast, the machine is."""
    began = time.perf_counter()
    total = 0
    for number in range(_CALIBRATION):
        total += number & 3
    return time.perf_counter() - began


def central(case: Case, full: Result, repeats: int) -> Row:
    """Measure the central engine, the best of so many `repeats`; `full` is what greedy reaches at T."""
    topology, policy = case.problem.topology, case.policy
    _play(case, min(case.decisions, _WARM_UP))
    seconds = busy = float("inf")
    before = calibration()
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.process_time()
        trace = _play(case, case.decisions)
        seconds = min(seconds, time.perf_counter() - began)
        busy = min(busy, time.process_time() - worked)
    chosen = [len(trace.chosen(step)) for step in range(len(trace.actions))]
    sent = calculated(topology, chosen, policy.preset.rounds, 2 * policy.preset.hidden)
    return Row(
        topology=topology.name,
        engine="central",
        steps=case.steps,
        increments=case.increments,
        opening=case.opening,
        patience=case.patience,
        temperature=case.temperature,
        decisions=len(chosen),
        seconds=seconds,
        cpu_seconds=busy,
        threads=case.threads,
        calibration_s=min(before, calibration()),
        repeats=repeats,
        mlu=trace.best_mlu,
        greedy_mlu=full.mlu,
        greedy_seconds=full.seconds,
        greedy_same_time_mlu=case.greedy(Budget(seconds=seconds)).mlu,
        frames_per_link=sent.frames,
        bytes_per_link=sent.bytes,
        wire_bytes_per_link=sent.wire_bytes,
        hidden_state_bytes_per_link=sent.hidden_bytes,
        sharing_bytes_per_link=sent.sharing_bytes,
        compute_s_per_router=min(busiest(topology, case.problem.traffic, policy, trace) for _ in range(repeats)),
        propagation_s=propagation(topology, delays(topology), len(chosen), policy.preset.rounds),
        calculated=True,
    )


def _play(case: Case, decisions: int) -> EpisodeTrace:
    topology = case.problem.topology
    return run_episode(
        topology,
        case.problem.traffic,
        inverse_capacity(topology),
        case.policy,
        steps=decisions,
        seed=case.seed,
        temperature=case.temperature,
        increments=case.increments,
        opening=case.opening,
        patience=case.patience,
        threads=case.threads,
    )


def busiest(topology: Topology, traffic: TrafficMatrix, checkpoint: Checkpoint, trace: EpisodeTrace) -> float:
    """Return the seconds that all decisions of an episode take the router with most links.

    Processor time of one thread for what is computed: the global state, and the network for its own links. What its
    neighbours say is at hand; messages, sockets and the choice are left out.
    """
    router = int(np.argmax(np.diff(topology.out_ptr)))
    span = topology.out_links(router)
    own, heard = np.arange(span.start, span.stop, dtype=np.int32), topology.incoming(router)
    network = Network(checkpoint.preset, checkpoint.parameters)
    steps = len(trace.actions)
    state = Episode(topology, traffic, inverse_capacity(topology), steps, checkpoint.preset.features)
    decisions = [trace.chosen(step) for step in range(steps)]
    began = time.thread_time()
    for links in decisions:
        x = state.features(own)
        hidden = network.initial(x)
        incoming = np.resize(hidden, (len(heard), hidden.shape[1]))
        for _ in range(checkpoint.preset.rounds):
            hidden = network.round(hidden, incoming)
        network.readout(hidden, x)
        state.apply(links)
    return time.thread_time() - began
