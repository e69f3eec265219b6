"""The agents' rows of Table I: the main job, run on a fabric, and what its files say."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from baselines.result import Budget, Result
from emulation.records import Summary
from emulation.results import read_links
from experiments.cost_case import Case
from experiments.cost_engines import calibration
from experiments.cost_model import delays, propagation
from experiments.cost_row import Row
from experiments.main_job import RunFailed, run_main_job
from routing.errors import InputError
from routing.state import RoutingState, inverse_capacity
from routing.traffic import save_traffic

Kernel = tuple[float, float]  # frames and bytes per link


def distributed(case: Case, fabric: str, full: Result, repeats: int) -> Row:
    """Measure agents on a fabric, ``loopback`` or ``mininet``; `full` is what greedy reaches at T.

    Raises InputError if a run fails or its files lack the counters.
    """
    before = calibration()
    runs = [_run(case, fabric) for _ in range(repeats)]
    return agents_row(case, fabric, full, runs, min(before, calibration()))


def agents_row(
    case: Case, fabric: str, full: Result, runs: list[tuple[Summary, Kernel | None]], calibration_s: float
) -> Row:
    """Return the row of the fastest run. Raises InputError if nothing was counted in it."""
    summary, kernel = min(runs, key=lambda run: run[0].time_s.episode or float("inf"))
    topology, cost = case.problem.topology, summary.overhead

    def counted(amount: float | None) -> float:
        if amount is None:
            raise InputError(f"{topology.name} on {fabric}: {summary.status}, nothing counted: {summary.reason}")
        return amount

    seconds, wire = counted(summary.time_s.episode), counted(cost.wire_bytes_per_link)
    # Mininet's matrix is scaled to its slower links; ratios stay, and before the run OSPF has its default weights.
    ospf = RoutingState(topology, case.problem.traffic, inverse_capacity(topology)).mlu
    reached = min(summary.mlu.after.predicted, summary.mlu.before.predicted) / summary.mlu.before.predicted
    return Row(
        topology=topology.name,
        engine=fabric,
        steps=case.steps,
        increments=case.increments,
        opening=case.opening,
        patience=case.patience,
        temperature=case.temperature,
        decisions=summary.steps,
        seconds=seconds,
        calibration_s=calibration_s,
        repeats=len(runs),
        mlu=reached * ospf,
        greedy_mlu=full.mlu,
        greedy_seconds=full.seconds,
        greedy_same_time_mlu=case.greedy(Budget(seconds=seconds)).mlu,
        frames_per_link=counted(cost.frames_per_link),
        bytes_per_link=counted(cost.bytes_per_link),
        wire_bytes_per_link=wire,
        hidden_state_bytes_per_link=counted(cost.hidden_state_bytes_per_link),
        sharing_bytes_per_link=counted(cost.sharing_bytes_per_link),
        control_bytes_per_link=counted(cost.control_bytes_per_link),
        repeated_bytes_per_link=counted(cost.repeated_bytes_per_link),
        mqtt_bytes_per_router=counted(cost.mqtt_bytes_per_router),
        rate_mb_s=wire / seconds / 1e6,
        mean_compute_s_per_router=summary.computing.cpu_s_mean if summary.computing else None,
        compute_s_per_router=summary.computing.cpu_s_busiest if summary.computing else None,
        propagation_s=propagation(topology, delays(topology), summary.steps, case.policy.preset.rounds),
        calculated=False,
        kernel_frames_per_link=kernel[0] if kernel else None,
        kernel_bytes_per_link=kernel[1] if kernel else None,
        counts_apart=summary.counted.apart if summary.counted else None,
    )


def _run(case: Case, fabric: str) -> tuple[Summary, Kernel | None]:
    """Run the main job once; return its summary and what the kernel counted, if it did."""
    problem = case.problem
    with tempfile.TemporaryDirectory(prefix="lockstep-cost-") as folder:
        traffic, out = Path(folder) / "traffic.npy", Path(folder) / "run"
        if problem.own:
            save_traffic(traffic, problem.traffic, problem.topology)
        arguments = [problem.name, "--fabric", fabric, "--load", "0" if fabric == "loopback" else "0.9"]
        arguments += ["--traffic", str(traffic) if problem.own else "uniform", "--seed", str(case.seed)]
        arguments += ["--steps", str(case.steps), "--patience", str(case.patience), "--checkpoint", case.checkpoint]
        if fabric == "mininet":
            arguments += ["--window", "1"]
        try:
            summary = run_main_job(arguments, out)
        except RunFailed as error:
            raise InputError(f"{problem.topology.name} on {fabric}: {error}") from error
        rows = read_links(out)
    if any(row.kernel_frames is None for row in rows):
        return summary, None
    frames, octets = np.array([(row.kernel_frames, row.kernel_bytes) for row in rows], dtype=float).mean(axis=0)
    return summary, (float(frames), float(octets))
