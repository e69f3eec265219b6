"""How good is a checkpoint: `python -m trainer.evaluate default --data DIR`.

Every episode is run by `policy.episode.run_episode`, the engine that decides as the routers do, so these figures are
those of a deployment. Each table cell is the mean over the named matrices of one network and traffic profile:

- `one`: the best MLU of an episode, mean over the episodes;
- `best`: the best MLU of all episodes on the same matrix;
- `/bound`: ratio to the multicommodity-flow bound, matrix by matrix, where the data set has it (100-149).
"""

from __future__ import annotations

import csv
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import default_steps, run_episode
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import RoutingState, inverse_capacity
from trainer.env import greedy_plus_one
from trainer.instances import PROFILES, Instance, PublishedData, generated_matrix, random_weights


@dataclass(frozen=True)
class Args:
    """Evaluate a checkpoint against greedy, inverse-capacity OSPF and the multicommodity-flow bound."""

    checkpoint: tyro.conf.Positional[str] = "default"
    """name in policy/pretrained/, or a file"""
    topologies: tuple[str, ...] = ("nsfnet", "gbn", "geant2")
    """networks"""
    data: Path | None = None
    """folder of the published data set; without it matrices are generated and there is no bound"""
    matrices: tuple[int, int] = (100, 149)
    """first and last matrix (100-149 are the test set; never choose anything by them)"""
    episodes: int = 8
    """parallel episodes per matrix"""
    stretch: float = 1.0
    """episode length in units of the default T"""
    temperature: float | None = None
    """instead of the checkpoint's"""
    opening: int | None = None
    """links in the first step, instead of the checkpoint's"""
    seed: int = 1
    """first seed of the samples"""
    json: Path | None = None
    """write the figures there too"""


@dataclass(frozen=True)
class Cell:
    """Means over the matrices of one network and profile; ratios to the bound (NaN without one), and to greedy."""

    topology: str
    profile: str
    matrices: int
    milliseconds: float
    start: float
    inverse_capacity: float
    greedy: float
    one: float
    best: float
    greedy_ratio: float
    one_ratio: float
    best_ratio: float
    one_greedy: float
    best_greedy: float


def bounds(data: Path, topology: str, profile: str) -> dict[int, float]:
    """Multicommodity-flow bounds by matrix, from the data set's reference_mlu.csv."""
    with (data / "reference_mlu.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (topology, profile)]
    return {int(row["tm"]): float(row["mcf_lower_bound"]) for row in rows if row["mcf_lower_bound"]}


def policy_mlus(instance: Instance, checkpoint: Checkpoint, args: Args) -> NDArray[np.float64]:
    """Best MLU of each of the episodes, (episodes,)."""
    traces = (
        run_episode(
            instance.topology, instance.traffic, instance.start_weights, checkpoint,
            steps=instance.steps, seed=args.seed, episode=episode, temperature=args.temperature,
            opening=args.opening,
        )
        for episode in range(args.episodes)
    )  # fmt: skip
    return np.array([trace.mlu.min() for trace in traces])


def evaluate_cell(checkpoint: Checkpoint, topology_name: str, profile: str, args: Args) -> Cell:
    """Run all episodes of one network and profile."""
    topology = load_topology(topology_name, profile)
    published = PublishedData(args.data) if args.data else None
    bound = bounds(args.data, topology_name, profile) if args.data else {}
    steps = max(1, round(args.stretch * default_steps(topology)))
    rows, seconds = [], 0.0
    for index in range(args.matrices[0], args.matrices[1] + 1):
        if published:
            traffic, start = published.matrix(topology, profile, index), published.paper_weights(topology)
        else:
            traffic = generated_matrix(topology, profile, index)
            start = random_weights(topology.num_links, args.seed, index)
        instance = Instance(topology, traffic, start, steps, profile)
        before = time.perf_counter()
        mlus = policy_mlus(instance, checkpoint, args)
        seconds += time.perf_counter() - before
        initial, ospf = (RoutingState(topology, traffic, w).mlu for w in (start, inverse_capacity(topology)))
        greedy, limit = greedy_plus_one(instance), bound.get(index, float("nan"))
        one, best = float(mlus.mean()), float(mlus.min())
        rows.append(
            (initial, ospf, greedy, one, best, greedy / limit, one / limit, best / limit, one / greedy, best / greedy)
        )
    means: list[float] = np.mean(rows, axis=0).tolist()
    milliseconds = 1e3 * seconds / len(rows) / args.episodes
    return Cell(topology_name, profile, len(rows), milliseconds, *means)


def show(cells: list[Cell], args: Args) -> None:
    """Print the table."""
    table = Table(title=f"{args.checkpoint}: matrices {args.matrices[0]}-{args.matrices[1]}, {args.stretch:g} T steps")
    for heading in ("network", "start", "1/capacity", "greedy", "one", f"best of {args.episodes}",
                    "greedy/bound", "one/bound", "best/bound", "one/greedy", "best/greedy", "ms/episode"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for c in cells:
        mlus = [f"{x:.3f}" for x in (c.start, c.inverse_capacity, c.greedy, c.one, c.best)]
        ratios = ["-" if np.isnan(x) else f"{x:.4f}" for x in (c.greedy_ratio, c.one_ratio, c.best_ratio)]
        ratios += [f"{x:.4f}" for x in (c.one_greedy, c.best_greedy)]
        table.add_row(f"{c.topology} {c.profile}", *mlus, *ratios, f"{c.milliseconds:.1f}")
    Console(width=140).print(table)
    one, best = (float(np.mean([getattr(c, name) for c in cells])) for name in ("one_greedy", "best_greedy"))
    print(f"mean of the cells, relative to greedy: one episode {one:.4f}, best of {args.episodes} {best:.4f}")


def markdown(cells: list[Cell], args: Args) -> str:
    """Return the ratios to the bound, one row per method, one column per network and profile, and their mean."""
    heads = [f"{c.topology} {c.profile[0]}" for c in cells]
    rows = {
        "greedy +1": [c.greedy_ratio for c in cells],
        f"{args.checkpoint}: one episode": [c.one_ratio for c in cells],
        f"{args.checkpoint}: best of {args.episodes}": [c.best_ratio for c in cells],
    }
    lines = ["| | " + " | ".join([*heads, "mean"]) + " |", "|---" * (len(heads) + 2) + "|"]
    for name, ratios in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{x:.3f}" for x in [*ratios, float(np.mean(ratios))]) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the command; return its exit code."""
    args = tyro.cli(Args, prog="python -m trainer.evaluate")
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        cells = [evaluate_cell(checkpoint, name, profile, args) for name in args.topologies for profile in PROFILES]
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    show(cells, args)
    if args.data:
        print(markdown(cells, args))
    if args.json:
        args.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
