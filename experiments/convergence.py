"""Figure 7 of paper 003: the lowest MLU so far against the step of an episode, from random start weights.

    python -m experiments.convergence --data DIR --out OUT

runs the policy and greedy +1 on each network, every run with another traffic matrix and other random weights in 1..4,
for twice the usual T, and writes mean and standard deviation over the runs as ``convergence.csv`` and
``convergence.png``. The MLU is divided by the multicommodity-flow bound of each matrix, so that runs can be averaged.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.optimum import optimum
from baselines.result import Budget
from emulation.atomic import write_atomic
from experiments.batch import Parser, command, natural
from experiments.quality_instances import EVALUATION, PROFILES, Instance, Key, Source
from experiments.quality_policy import loaded
from policy.episode import default_steps, run_episode
from routing.errors import InputError
from routing.state import MAX_WEIGHT, RoutingState

_LENGTH = 2  # times T, so that one sees whether T is enough
GREEDY = "greedy"


class Curve(NamedTuple):
    """Mean and standard deviation over the runs, (T+1,) each, of the ratio to the bound after each step."""

    topology: str
    method: str
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def greedy_walk(instance: Instance, steps: int) -> NDArray[np.float64]:
    """Return the MLU before the first and after each of `steps` steps of greedy +1, (T+1,)."""
    state = RoutingState(instance.topology, instance.traffic, instance.weights)
    mlu = [state.mlu]
    for _ in range(steps):
        link = int(state.utilization.argmax())
        if state.weights[link] < MAX_WEIGHT:
            state.increment(link)
        mlu.append(state.mlu)
    return np.array(mlu)


def curves_of(topology: str, traffic: str, runs: int, checkpoints: Sequence[str], data: Path | None) -> list[Curve]:
    """Run everything on one network; raises InputError."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for run in range(runs):
        matrix = (EVALUATION.start if data else 0) + run
        instance = Source(((topology, traffic),), (matrix,), data=data, initial=f"random:{run}").load(
            Key(topology, traffic, matrix)
        )
        steps = _LENGTH * default_steps(instance.topology)
        bound = instance.bound or optimum(instance.topology, instance.traffic, instance.weights, Budget()).mlu
        walks = {GREEDY: greedy_walk(instance, steps)}
        for name in checkpoints:
            episode = run_episode(
                instance.topology, instance.traffic, instance.weights, loaded(name), steps=steps, seed=run, patience=0
            )
            walks[f"policy@{name}"] = episode.mlu
        for method, mlu in walks.items():
            found.setdefault(method, []).append(np.minimum.accumulate(mlu) / bound)
    return [
        Curve(topology, method, np.mean(walks, axis=0), np.std(walks, axis=0)) for method, walks in found.items()
    ]  # fmt: skip


def as_csv(curves: Sequence[Curve]) -> str:
    """Return one line for each step, network and method."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["topology", "method", "step", "mean_ratio", "deviation"])
    for curve in curves:
        for step, (mean, deviation) in enumerate(zip(curve.mean.tolist(), curve.deviation.tolist(), strict=True)):
            table.writerow([curve.topology, curve.method, step, f"{mean:.6f}", f"{deviation:.6f}"])
    return text.getvalue()


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write one panel for each network."""
    import matplotlib  # only where figures are wanted
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve.topology for curve in curves))
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.2 * len(names), 3.0), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for name, axes in zip(names, panels, strict=True):
            for number, curve in enumerate(own for own in curves if own.topology == name):
                steps = np.arange(len(curve.mean))
                axes.plot(steps, curve.mean, color=f"C{number}", label=curve.method, linewidth=1.3)
                low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
                axes.fill_between(steps, low, high, color=f"C{number}", alpha=0.2, linewidth=0)
            axes.axvline((len(curve.mean) - 1) / _LENGTH, color="0.6", linestyle=":", linewidth=1)
            axes.set(title=name, xlabel="step (dotted: T)", yscale="log")
        panels[0].set_ylabel("lowest MLU so far / bound")
        panels[-1].legend(frameon=False)
        figure.savefig(path, dpi=130)


def parser() -> Parser:
    """Return the command's arguments."""
    arguments = Parser(prog="python -m experiments.convergence", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--topology", default="nsfnet,gbn,geant2", metavar="NAME,...", help="networks [%(default)s]")
    add("--traffic", choices=PROFILES, default="uniform", help="kind of traffic [uniform]")
    add("--data", type=Path, metavar="DIR", help="matrices 100, 101, ... of the published data set; else drawn ones")
    add("--runs", type=natural, default=5, metavar="N", help="matrices and random starts [5]")
    add("--checkpoints", default="default", metavar="NAME,...", help="policies [default]")
    add("--out", type=Path, required=True, metavar="DIR", help="where convergence.csv and convergence.png go")
    return arguments


def _run(argv: Sequence[str] | None) -> int:
    options = parser().parse_args(argv)
    if options.runs < 1:
        raise InputError("--runs 0, expected at least 1")
    names = options.checkpoints.split(",")
    for name in names:
        loaded(name)
    curves = []
    for topology in options.topology.split(","):
        own = curves_of(topology, options.traffic, options.runs, names, options.data)
        curves += own
        for curve in own:
            middle = (len(curve.mean) - 1) // _LENGTH
            print(f"{topology:10} {curve.method:20} ratio to the bound at the start {curve.mean[0]:.3f},"
                  f" after T {curve.mean[middle]:.4f}, after {_LENGTH} T {curve.mean[-1]:.4f}")  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out / "convergence.csv", as_csv(curves).encode())
    draw(curves, options.out / "convergence.png")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 bad input, 130 or 143 when interrupted."""
    return command("convergence", _run, argv, hint="")


if __name__ == "__main__":
    sys.exit(main())
