"""Bytes against MLU against seconds: what fewer rounds, more links per decision and an early end save and cost.

    python -m experiments.cost_tradeoff --data DIR --out OUT

Every setting plays the same instances with the central engine, which decides as agents would; what agents would send is
calculated. With ``--data`` the matrices are those that the trainer validates on (80-99), so that a setting may be
chosen by the result; else they are generated.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from baselines.greedy import greedy
from baselines.result import Budget
from emulation.atomic import write_atomic
from experiments.batch import Parser, command, natural
from experiments.cost import PAPER_MB
from experiments.cost_model import calculated, delays, propagation
from experiments.quality_instances import PROFILES, Instance, Source
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import EpisodeTrace, default_steps, run_episode
from routing.errors import InputError

NETWORKS = ("nsfnet", "geant2")
SHARES = ("candidate", "logits")
_VALIDATION = 80  # the first matrix
_GENERATED = 1_000_000  # seeds as far from the trainer's as its own validation's


@dataclass(frozen=True)
class Setting:
    """What is varied.

    Parameters
    ----------
    checkpoint : name or file
    rounds : K; other than the checkpoint's own, the same parameters are used more or less often
    increments : links per decision; there are T / increments decisions
    opening : links in the first decisions, fewer later (`policy.schedule`)
    patience : an episode ends when so large a part of T brought nothing better; 1: never
    share : candidate or logits; the decisions are the same
    """

    checkpoint: str
    rounds: int
    increments: int
    opening: int
    patience: float
    share: str

    @property
    def label(self) -> str:
        """For tables and figures."""
        words = [self.checkpoint, f"K={self.rounds}"]
        words += [f"{self.increments} links"] if self.increments > 1 else []
        words += [f"opening {self.opening}"] if self.opening > 1 else []
        words += [f"patience T/{1 / self.patience:g}"] if self.patience < 1 else []
        return ", ".join([*words, *(["logits"] if self.share == "logits" else [])])


@dataclass(frozen=True)
class Point:
    """One setting over all instances; bytes are means per directed link and optimisation, networks weighed alike.

    `mlu` is relative to greedy +1 with T steps on the same instance, `deviation` that of its mean. `of_paper` is wire
    bytes over the paper's. `cpu_s`: central engine, processor time; `light_s`: if only light took time.
    """

    label: str
    checkpoint: str
    rounds: int
    increments: int
    opening: int
    patience: float
    share: str
    instances: int
    mlu: float
    deviation: float
    decisions: float
    hidden_bytes: float
    sharing_bytes: float
    wire_bytes: float
    of_paper: float
    cpu_s: float
    light_s: float


def ended(mlu: Sequence[float], patience: int) -> int:
    """Return after how many decisions an episode ends when `patience` of them brought nothing better than before."""
    best, at = mlu[0], 0
    for step, value in enumerate(mlu):
        if value < best:
            best, at = value, step
        elif step - at >= patience:
            return step
    return len(mlu) - 1


def settings_of(checkpoints: Sequence[str], increments: Sequence[int], patience: Sequence[float]) -> list[Setting]:
    """Return all combinations: K from 0 to the checkpoint's own, unless that is many; logits only for the usual."""
    found = []
    for name in checkpoints:
        checkpoint = load_checkpoint(name)
        own, opening = checkpoint.preset.rounds, checkpoint.opening
        for rounds in range(own, -1, -1) if own <= 3 else (own,):
            for links in increments:
                # An opening goes with one link per decision: otherwise there are several anyway.
                for first in sorted({1, opening}) if links == 1 else (1,):
                    found += [Setting(name, rounds, links, first, part, "candidate") for part in patience]
        found.append(Setting(name, own, 1, opening, 1.0, "logits"))
    return found


def play(
    instance: Instance, checkpoint: Checkpoint, rounds: int, increments: int, opening: int
) -> tuple[EpisodeTrace, float]:
    """Play one episode, and return the seconds of processor time that it took."""
    changed = replace(checkpoint, preset=replace(checkpoint.preset, rounds=rounds))
    decisions = -(-default_steps(instance.topology) // increments)
    began = time.process_time()
    trace = run_episode(
        instance.topology,
        instance.traffic,
        instance.weights,
        changed,
        steps=decisions,
        seed=0,
        increments=increments,
        opening=opening,
    )
    return trace, time.process_time() - began


def measure(source: Source, settings: Sequence[Setting]) -> list[Point]:
    """Return a point for each setting; raises InputError."""
    instances = [source.load(key) for key in source.keys]
    baseline = [
        greedy(one.topology, one.traffic, one.weights, Budget(steps=default_steps(one.topology))).mlu
        for one in instances
    ]
    played: dict[tuple[str, int, int, int], list[tuple[EpisodeTrace, float]]] = {}
    points = []
    for setting in settings:
        key = (setting.checkpoint, setting.rounds, setting.increments, setting.opening)
        if key not in played:
            checkpoint = load_checkpoint(setting.checkpoint)
            play(instances[0], checkpoint, *key[1:])  # whatever is compiled or loaded at first use
            played[key] = [play(one, checkpoint, *key[1:]) for one in instances]
            print(setting.label, file=sys.stderr)
        points.append(_point(setting, instances, baseline, played[key]))
    return points


_FIGURES = ("mlu", "decisions", "hidden_bytes", "sharing_bytes", "wire_bytes", "of_paper", "cpu_s", "light_s")


def _point(
    setting: Setting,
    instances: Sequence[Instance],
    baseline: Sequence[float],
    played: Sequence[tuple[EpisodeTrace, float]],
) -> Point:
    hidden = load_checkpoint(setting.checkpoint).preset.hidden
    rows = []
    for one, bar, (trace, seconds) in zip(instances, baseline, played, strict=True):
        topology, planned = one.topology, len(trace.actions)
        steps = ended(trace.mlu.tolist(), max(1, round(setting.patience * planned)))
        chosen = [len(trace.chosen(step)) for step in range(steps)]
        sent = calculated(topology, chosen, setting.rounds, hidden, setting.share)
        rows.append(
            (
                trace.mlu[: steps + 1].min() / bar,
                steps,
                sent.hidden_bytes,
                sent.sharing_bytes,
                sent.wire_bytes,
                sent.wire_bytes / 1e6 / PAPER_MB[topology.name],
                seconds * steps / planned,
                propagation(topology, delays(topology), steps, setting.rounds),
            )
        )
    means = np.mean(np.array(rows, dtype=np.float64), axis=0).tolist()
    deviation = float(np.std([row[0] for row in rows]) / np.sqrt(len(rows)))
    figures = dict(zip(_FIGURES, means, strict=True))
    return Point(label=setting.label, **asdict(setting), instances=len(rows), deviation=deviation, **figures)


def best(points: Sequence[Point], of: str = "of_paper") -> list[Point]:
    """Return the settings that no other beats in both bytes (or `of`) and MLU, cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (getattr(point, of), point.mlu)):
        if not front or point.mlu < front[-1].mlu:
            front.append(point)
    return front


def markdown(points: Sequence[Point]) -> str:
    """Return the points as a table, the undominated in bold."""
    front = {point.label for point in best(points)}
    lines = [
        "| setting | MLU to greedy's | decisions | hidden kB | sharing kB | wire kB | of the paper's | CPU ms "
        "| light s |",
        "|---" + "|--:" * 8 + "|",
    ]
    for point in sorted(points, key=lambda point: point.of_paper):
        name = f"**{point.label}**" if point.label in front else point.label
        cells = [
            name,
            f"{point.mlu:.4f} ± {point.deviation:.4f}",
            f"{point.decisions:.0f}",
            *(f"{amount / 1e3:.1f}" for amount in (point.hidden_bytes, point.sharing_bytes, point.wire_bytes)),
            f"{point.of_paper:.1%}",
            f"{1e3 * point.cpu_s:.1f}",
            f"{point.light_s:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _run(argv: Sequence[str] | None) -> int:
    arguments = Parser(prog="python -m experiments.cost_tradeoff", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--data", type=Path, metavar="DIR", help="the published data set [else generated matrices]")
    add("--matrices", type=natural, default=10, metavar="N", help="of each network and kind of traffic [10]")
    add("--checkpoints", default="default,lookahead", metavar="NAME,...", help="policies [%(default)s]")
    add("--increments", default="1,2,4", metavar="N,...", help="links per decision [%(default)s]")
    add("--patience", default="1,2,4", metavar="N,...", help="end after T/N without a better state [%(default)s]")
    add("--quick", action="store_true", help="2 matrices, and only the default policy")
    add("--out", type=Path, metavar="DIR", help="write tradeoff.csv, tradeoff.md and tradeoff.png there")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}')
    options = arguments.parse_args(argv)
    if options.out is not None and find_spec("matplotlib") is None:
        raise InputError("--out draws a figure and needs matplotlib, expected `scripts/setup experiments`")
    matrices = 2 if options.quick else options.matrices
    if matrices < 1:
        raise InputError("--matrices 0, expected at least 1")
    first = _VALIDATION if options.data else _GENERATED
    cells = tuple((name, profile) for name in NETWORKS for profile in PROFILES)
    initial = "paper" if options.data else "random:1"
    source = Source(cells, tuple(range(first, first + matrices)), data=options.data, initial=initial)
    checkpoints = ["default"] if options.quick else options.checkpoints.split(",")
    patience = [1 / number for number in _numbers("--patience", options.patience)]
    points = measure(source, settings_of(checkpoints, _numbers("--increments", options.increments), patience))
    print(json.dumps({"rows": [asdict(point) for point in points]}) if options.json else markdown(points))
    if options.out is not None:
        _write(points, options.out)
    return 0


def _numbers(option: str, text: str) -> list[int]:
    if not all(part.isascii() and part.isdigit() and int(part) for part in text.split(",")):
        raise InputError(f"{option} {text!r}, expected whole numbers from 1 as in 1,2,4")
    return [int(part) for part in text.split(",")]


def _write(points: Sequence[Point], folder: Path) -> None:
    from experiments.cost_tradeoff_figure import draw  # matplotlib: only where a figure is wanted

    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    names = [field.name for field in fields(Point)]
    csv.writer(text, lineterminator="\n").writerows([names, *([getattr(p, name) for name in names] for p in points)])
    write_atomic(folder / "tradeoff.csv", text.getvalue().encode())
    write_atomic(folder / "tradeoff.md", (markdown(points) + "\n").encode())
    draw(points, best(points), best(points, "light_s"), folder / "tradeoff.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 bad input, 130 or 143 when interrupted."""
    return command("cost_tradeoff", _run, argv)


if __name__ == "__main__":
    sys.exit(main())
