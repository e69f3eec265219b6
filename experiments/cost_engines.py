"""The engines of `experiments.cost`: one optimisation, timed and counted."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from baselines.greedy import greedy
from baselines.result import Budget
from emulation.records import Summary
from experiments.cost_model import calculated, delays, propagation
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import Episode, default_steps, default_threads, run_episode
from policy.mpnn import Network
from policy.trace import EpisodeTrace
from routing.errors import InputError
from routing.formats import load_network
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform

_RUN = Path(__file__).resolve().parent.parent / "emulation" / "run.py"
_TABLE_STEPS = {"synth500": 5250, "synth1000": 9600}  # paper 003, Table I
_CALIBRATION = 2_000_000
_TRIED = 500  # decisions of which a router's processor time is measured


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one network; bytes are UDP payload, means per directed link and optimisation, unless they say so.

    `seconds` is the best of `repeats` after a warm-up; `calibration_s` that of a fixed loop of Python beside it.
    `cpu_seconds` is the least processor time of the central engine, of all its `threads`: what an idle machine would
    take at most with one.
    A decision raises `increments` links, more in the first ones if it has an `opening` (`policy.schedule`); `steps`
    is T times `increments`, of which an episode that ends early (`patience`) takes only so many `decisions`.
    `propagation_s` is by calculation. `calculated`: frames and bytes
    are, too. `repeated_*` are retransmissions, of what was counted. `kernel_*` as the interfaces count meanwhile,
    greetings before and after included, None where nothing was counted; `counts_apart` is by which part their
    counts and the agents' differ, from the agents' start to their end. `compute_s_per_router` is the processor time
    of the busiest router, measured over the first decisions alone.
    """

    topology: str
    engine: str
    steps: int
    increments: int
    opening: int
    decisions: int
    seconds: float
    cpu_seconds: float | None
    threads: int
    calibration_s: float
    repeats: int
    mlu: float
    greedy_mlu: float
    greedy_seconds: float
    greedy_same_time_mlu: float
    frames_per_link: float
    bytes_per_link: float
    wire_bytes_per_link: float
    hidden_state_bytes_per_link: float
    sharing_bytes_per_link: float
    control_bytes_per_link: float
    repeated_bytes_per_link: float
    rate_mb_s: float
    compute_s_per_router: float
    propagation_s: float
    calculated: bool
    kernel_frames_per_link: float | None = None
    kernel_bytes_per_link: float | None = None
    counts_apart: float | None = None


def calibration() -> float:
    """Return the seconds that a fixed loop of plain Python takes now: how busy, and how fast, the machine is."""
    began = time.perf_counter()
    total = 0
    for number in range(_CALIBRATION):
        total += number & 3
    return time.perf_counter() - began


def problem(name: str, seed: int) -> tuple[Topology, TrafficMatrix, int]:
    """Return a network with its own traffic, else uniform traffic, and T; raises InputError."""
    network = load_network(name)
    traffic = uniform(network.topology, seed) if network.traffic is None else network.traffic
    return network.topology, traffic, _TABLE_STEPS.get(name, default_steps(network.topology))


def central(
    name: str,
    *,
    seed: int,
    steps: int | None,
    increments: int,
    repeats: int,
    checkpoint: str,
    temperature: float | None = None,
    threads: int | None = None,
    opening: int | None = None,
    patience: int | None = None,
) -> Row:
    """Measure the central engine; what agents would send is calculated. Raises InputError."""
    topology, traffic, usual = problem(name, seed)
    steps = usual if steps is None else steps
    decisions = -(-steps // increments)
    policy = load_checkpoint(checkpoint)
    start = inverse_capacity(topology)
    # A warm-up of a whole optimisation would double the time on large networks for nothing.
    threads = threads or default_threads(topology)
    opening = policy.opening if opening is None else opening
    options: Any = {"seed": seed, "increments": increments, "opening": opening}
    options |= {"temperature": temperature, "threads": threads, "patience": patience}
    run_episode(topology, traffic, start, policy, steps=min(decisions, 5), **options)
    seconds = busy = float("inf")
    before = calibration()
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.process_time()
        trace = run_episode(topology, traffic, start, policy, steps=decisions, **options)
        seconds = min(seconds, time.perf_counter() - began)
        busy = min(busy, time.process_time() - worked)
    full = greedy(topology, traffic, start, Budget(steps=steps))
    same = greedy(topology, traffic, start, Budget(seconds=seconds))
    chosen = [len(trace.chosen(step)) for step in range(len(trace.actions))]
    sent = calculated(topology, chosen, policy.preset.rounds, 2 * policy.preset.hidden)
    return Row(
        topology=name,
        engine="central",
        steps=steps,
        increments=increments,
        opening=opening,
        decisions=len(chosen),
        seconds=seconds,
        cpu_seconds=busy,
        threads=threads,
        calibration_s=min(before, calibration()),
        repeats=repeats,
        mlu=trace.best_mlu,
        greedy_mlu=full.mlu,
        greedy_seconds=full.seconds,
        greedy_same_time_mlu=same.mlu,
        frames_per_link=sent.frames,
        bytes_per_link=sent.bytes,
        wire_bytes_per_link=sent.wire_bytes,
        hidden_state_bytes_per_link=sent.hidden_bytes,
        sharing_bytes_per_link=sent.sharing_bytes,
        control_bytes_per_link=0.0,
        repeated_bytes_per_link=0.0,
        rate_mb_s=sent.wire_bytes / seconds / 1e6,
        compute_s_per_router=busiest(topology, traffic, policy, trace),
        propagation_s=propagation(topology, delays(topology), len(chosen), policy.preset.rounds),
        calculated=True,
    )


def busiest(topology: Topology, traffic: TrafficMatrix, checkpoint: Checkpoint, trace: EpisodeTrace) -> float:
    """Return the seconds of an episode for the router with most links: the global state, and its own links' network."""
    router = int(np.argmax(np.diff(topology.out_ptr)))
    span = topology.out_links(router)
    own, heard = np.arange(span.start, span.stop, dtype=np.int32), topology.incoming(router)
    network = Network(checkpoint.preset, checkpoint.parameters)
    steps = len(trace.actions)
    state = Episode(topology, traffic, inverse_capacity(topology), steps, checkpoint.preset.features)
    tried = [trace.chosen(step) for step in range(min(steps, _TRIED))]
    began = time.thread_time()
    for links in tried:
        x = state.features(own)
        hidden = network.initial(x)
        incoming = np.resize(hidden, (len(heard), hidden.shape[1]))  # as many as come; what they say takes no time
        for _ in range(checkpoint.preset.rounds):
            hidden = network.round(hidden, incoming)
        network.readout(hidden, x)
        state.apply(links)
    return (time.thread_time() - began) * steps / max(len(tried), 1)


def distributed(name: str, fabric: str, beside: Row, *, seed: int, repeats: int, checkpoint: str) -> Row:
    """Measure agents on a fabric, ``loopback`` or ``mininet``; `beside` is the central engine's row.

    Raises InputError if a run fails or its files lack the counters.
    """
    fastest: tuple[Summary, tuple[float, float] | None] | None = None
    before = calibration()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="lockstep-cost-") as folder:
            one = _run(name, fabric, Path(folder) / "run", seed, checkpoint)
        if fastest is None or (one[0].time_s.episode or 0.0) < (fastest[0].time_s.episode or 0.0):
            fastest = one
    if fastest is None:
        raise InputError("--repeats 0, expected at least 1")
    summary, kernel = fastest
    cost, seconds = summary.overhead, summary.time_s.episode
    if seconds is None or cost.frames_per_link is None or cost.bytes_per_link is None:
        raise InputError(f"{name} on {fabric}: {summary.status}, nothing counted: {summary.reason}")
    wire = cost.wire_bytes_per_link or 0.0
    topology, traffic, _ = problem(name, seed)
    # Mininet's matrix is scaled to its slower links; ratios stay, and before the run OSPF has its default weights.
    ospf = RoutingState(topology, traffic, inverse_capacity(topology)).mlu
    reached = min(summary.mlu.after.predicted, summary.mlu.before.predicted) / summary.mlu.before.predicted
    return msgspec.structs.replace(
        beside,
        engine=fabric,
        steps=summary.planned or summary.steps,
        increments=1,
        opening=load_checkpoint(checkpoint).opening,
        decisions=summary.steps,
        seconds=seconds,
        cpu_seconds=None,
        threads=1,
        calibration_s=min(before, calibration()),
        repeats=repeats,
        mlu=reached * ospf,
        frames_per_link=cost.frames_per_link,
        bytes_per_link=cost.bytes_per_link,
        wire_bytes_per_link=wire,
        hidden_state_bytes_per_link=cost.hidden_state_bytes_per_link or 0.0,
        sharing_bytes_per_link=cost.sharing_bytes_per_link or 0.0,
        control_bytes_per_link=cost.control_bytes_per_link or 0.0,
        repeated_bytes_per_link=cost.repeated_bytes_per_link or 0.0,
        rate_mb_s=wire / seconds / 1e6,
        calculated=False,
        kernel_frames_per_link=kernel[0] if kernel else None,
        kernel_bytes_per_link=kernel[1] if kernel else None,
        counts_apart=summary.counted.apart if summary.counted else None,
    )


def _run(name: str, fabric: str, out: Path, seed: int, checkpoint: str) -> tuple[Summary, tuple[float, float] | None]:
    """Run the main job once; return its summary and the kernel's frames and bytes per link, if it counted."""
    arguments = [name, "--fabric", fabric, "--load", "0" if fabric == "loopback" else "0.9", "--seed", str(seed)]
    command = [sys.executable, str(_RUN), *arguments, "--checkpoint", checkpoint, "--json", "--out", str(out)]
    if fabric == "mininet":
        command += ["--window", "1"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise InputError(f"{name} on {fabric}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    summary = msgspec.json.decode((out / "summary.json").read_bytes(), type=Summary)
    with (out / "links.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not all(row["kernel_frames"] for row in rows):
        return summary, None
    counts = np.array([[float(row["kernel_frames"]), float(row["kernel_bytes"])] for row in rows]).mean(axis=0)
    return summary, (float(counts[0]), float(counts[1]))
