"""``--replay DIR``: recompute a run's decisions from its folder, with the central engine, and compare every digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.order import Order
from emulation.results import MANIFEST_FILE, STEPS_FILE, SUMMARY_FILE, Run, read_run
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import run_episode
from policy.trace import EpisodeTrace
from routing.errors import InputError
from routing.subnetwork import Subnetwork, without
from routing.topology import Topology
from routing.traffic import TrafficMatrix


def replay(folder: Path) -> int:
    """Recompute and compare; print what was found, return 0, or raise `InputError` at the first difference."""
    run = read_run(folder)
    manifest = run.manifest
    checkpoint = _checkpoint(folder, run)
    topology = _topology(folder, run)
    traffic = TrafficMatrix(run.inputs.traffic, manifest.traffic)
    if not run.steps:
        raise InputError("the run has no steps to replay", folder / STEPS_FILE)
    part = _part(folder, run, topology)
    trace = run_episode(
        part.network,
        part.traffic(traffic),
        run.inputs.start_weights[part.links],
        checkpoint,
        steps=manifest.steps,
        seed=manifest.seed,
        temperature=manifest.temperature,
        increments=1,
        opening=manifest.opening,
        patience=manifest.patience,
        ecmp=manifest.ecmp,
    )
    _compare_steps(folder, run, trace, part.links)
    digest = _digest(run, topology, traffic, checkpoint, trace)
    if digest != run.summary.agreement.digest:
        raise InputError(f"digest {run.summary.agreement.digest}, recomputed {digest}", folder / SUMMARY_FILE)
    best = part.into(run.inputs.live_weights, trace.best_weights)
    if not np.array_equal(best, run.inputs.best_weights):
        link = int(np.flatnonzero(best != run.inputs.best_weights)[0])
        found, expected = run.inputs.best_weights[link], best[link]
        raise InputError(f"best weight of {topology.link_name(link)} is {found}, recomputed {expected}", folder)
    print(
        f"{folder}: {len(run.steps)} decisions recomputed, all equal; best MLU {trace.best_mlu:.6f} at step "
        f"{trace.best_step}, digest {digest}"
    )
    return 0


def _checkpoint(folder: Path, run: Run) -> Checkpoint:
    checkpoint = load_checkpoint(run.manifest.checkpoint)
    if checkpoint.hash != run.manifest.checkpoint_hash:
        raise InputError(
            f"the run's checkpoint has hash {run.manifest.checkpoint_hash}, "
            f"{run.manifest.checkpoint} has {checkpoint.hash}",
            folder / MANIFEST_FILE,
        )
    return checkpoint


def _topology(folder: Path, run: Run) -> Topology:
    stored = run.inputs
    topology = Topology.from_links(run.manifest.topology, stored.nodes, stored.links, stored.capacity, stored.positions)
    if topology.digest().hex() != run.manifest.topology_digest:
        raise InputError(
            f"topology digest {run.manifest.topology_digest}, recomputed {topology.digest().hex()}", folder
        )
    return topology


def _part(folder: Path, run: Run, topology: Topology) -> Subnetwork:
    """Return the part of the network that the episode ran on."""
    if any(link >= topology.num_links for link in run.manifest.down):
        raise InputError(f"down {run.manifest.down}, expected links below {topology.num_links}", folder / MANIFEST_FILE)
    return without(topology, run.manifest.down)


def _compare_steps(folder: Path, run: Run, trace: EpisodeTrace, names: NDArray[np.int32]) -> None:
    """Compare decision by decision; `names` (l,) are the whole network's indices of the part's links."""
    for row in run.steps:
        links, mlu = names[trace.chosen(row.step - 1)].tolist(), float(trace.mlu[row.step])
        if (row.links, row.mlu) != (links, mlu):
            expected = f'{{"step":{row.step},"links":{links},"mlu":{mlu!r}}}'
            raise InputError(
                f"links {row.links}, MLU {row.mlu!r}; recomputed {expected}", folder / STEPS_FILE, row.step
            )
    if len(run.steps) != len(trace.actions) and run.summary.status != "aborted":
        raise InputError(f"{len(run.steps)} steps, expected {len(trace.actions)}", folder / STEPS_FILE)


def _digest(run: Run, topology: Topology, traffic: TrafficMatrix, checkpoint: Checkpoint, trace: EpisodeTrace) -> str:
    """Return the digest that the routers agreed on."""
    manifest = run.manifest
    order = Order(
        episode=manifest.episode,
        seed=manifest.seed,
        steps=manifest.steps,
        increments=1,
        opening=manifest.opening,
        patience=manifest.patience,
        temperature_milli=round(1000 * manifest.temperature),
        share=manifest.share,
        ecmp=manifest.ecmp,
        margin_milli=round(1000 * manifest.margin),
        checkpoint=checkpoint.hash,
        traffic=traffic,
        start=run.inputs.start_weights,
        down=manifest.down,
    )
    chain = order.digest(topology, run.inputs.live_weights)
    for step in range(len(run.steps)):
        links = trace.chosen(step)
        chain.extend(links, trace.scores[step, : len(links)].tolist())
    return chain.value.hex()
