"""What `experiments.cost_tradeoff` varies, and what each setting is measured to cost and to reach."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from baselines.greedy import greedy
from baselines.result import Budget
from experiments.cost_int8 import HeardNetwork, Int8Network
from experiments.cost_model import calculated, delays, propagation
from experiments.cost_row import PAPER_MB
from experiments.quality_instances import Instance, Source
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import default_steps, run_episode
from policy.mpnn import Network
from policy.schedule import is_over, patience_of
from policy.trace import EpisodeTrace

SHARES = ("candidate", "logits")
WIRES = {"float16": 2, "int8": 1}  # bytes of one number of a hidden state


@dataclass(frozen=True)
class Setting:
    """What is varied.

    Parameters
    ----------
    checkpoint : name or file
    rounds : K; other than the checkpoint's own, the same parameters are used more or less often
    increments : links per decision; there are T / increments decisions
    opening : links in the first decisions, fewer later (`policy.schedule`)
    patience : an episode ends when T over this many decisions brought nothing better; 0: never
    share : candidate or logits; the decisions are the same
    wire : float16 or int8, what hidden states travel as
    """

    checkpoint: str
    rounds: int
    increments: int
    opening: int
    patience: int
    share: str = "candidate"
    wire: str = "float16"

    @property
    def label(self) -> str:
        """For tables and figures."""
        words = [short(self.checkpoint), f"K={self.rounds}"]
        words += [f"{self.increments} links"] if self.increments > 1 else []
        words += [f"opening {self.opening}"] if self.opening > 1 else []
        words += [f"patience T/{self.patience}"] if self.patience else []
        return ", ".join([*words, *(word for word in (self.share, self.wire) if word not in ("candidate", "float16"))])


@dataclass(frozen=True)
class Point:
    """One setting over all instances; bytes are means per directed link and optimisation, networks weighed alike.

    `mlu` is relative to greedy +1 with T steps on the same instance, `deviation` that of its mean. `of_paper` is wire
    bytes over the paper's. `cpu_s`: central engine, processor time; `light_s`: if only light took time. `shipped`: as
    the checkpoint recommends.
    """

    label: str
    checkpoint: str
    rounds: int
    increments: int
    opening: int
    patience: int
    share: str
    wire: str
    shipped: bool
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


def short(checkpoint: str) -> str:
    """Return a checkpoint's name for tables: of a file the last two parts of its path."""
    path = Path(checkpoint)
    return "/".join(path.with_suffix("").parts[-2:]) if path.suffix else checkpoint


def ended(mlu: Sequence[float], patience: int) -> int:
    """Return after how many decisions an episode of the MLUs `mlu` (T+1,) ends with that patience."""
    best, at = mlu[0], 0
    for step, value in enumerate(mlu):
        if value < best:
            best, at = value, step
        if is_over(step, len(mlu) - 1, at, patience):
            return step
    raise ValueError("no MLU, expected at least that of the start")


def settings_of(checkpoints: Sequence[str], increments: Sequence[int], patience: Sequence[int]) -> list[Setting]:
    """Return all combinations: K from 0 to the checkpoint's own, unless that is many; int8 and logits for the usual."""
    found = []
    for name in checkpoints:
        checkpoint = load_checkpoint(name)
        own, opening = checkpoint.preset.rounds, checkpoint.opening
        parts = sorted({*patience, checkpoint.patience_parts})
        counts = range(own, -1, -1) if own <= 3 else (own,)
        for rounds in counts:
            for links in increments:
                # An opening goes with one link per decision: otherwise there are several anyway.
                for first in sorted({1, opening}) if links == 1 else (1,):
                    found += [Setting(name, rounds, links, first, part) for part in parts]
        found += [Setting(name, k, 1, opening, part, wire="int8") for k in counts if k for part in parts]
        found.append(Setting(name, own, 1, opening, checkpoint.patience_parts, "logits"))
    return found


Play = tuple[EpisodeTrace, float]


def play(instance: Instance, checkpoint: Checkpoint, setting: Setting, network: Network | None = None) -> Play:
    """Play one episode to its end, and return the seconds of processor time that it took."""
    changed = replace(checkpoint, preset=replace(checkpoint.preset, rounds=setting.rounds))
    decisions = -(-default_steps(instance.topology) // setting.increments)
    began = time.process_time()
    trace = run_episode(
        instance.topology,
        instance.traffic,
        instance.weights,
        changed,
        steps=decisions,
        seed=0,
        increments=setting.increments,
        opening=setting.opening,
        patience=0,
        network=network,
    )
    return trace, time.process_time() - began


def int8_network(instance: Instance, checkpoint: Checkpoint, setting: Setting) -> Int8Network:
    """Return the checkpoint's network with scales for what a float16 episode on one instance showed."""
    preset = replace(checkpoint.preset, rounds=setting.rounds)
    observed = HeardNetwork(preset, checkpoint.parameters)
    play(instance, checkpoint, setting, observed)
    return Int8Network(preset, checkpoint.parameters, observed.largest)


def measure(source: Source, settings: Sequence[Setting]) -> list[Point]:
    """Return a point for each setting; raises InputError."""
    instances = [source.load(key) for key in source.keys]
    baseline = [
        greedy(one.topology, one.traffic, one.weights, Budget(steps=default_steps(one.topology))).mlu
        for one in instances
    ]
    played: dict[Setting, list[Play]] = {}
    points = []
    for setting in settings:
        key = replace(setting, patience=0, share="candidate")  # neither changes a decision
        if key not in played:
            checkpoint = load_checkpoint(setting.checkpoint)
            play(instances[0], checkpoint, key)  # whatever is compiled or loaded at first use
            network = int8_network(instances[0], checkpoint, key) if setting.wire == "int8" else None
            played[key] = [play(one, checkpoint, key, network) for one in instances]
            print(setting.label, file=sys.stderr)
        points.append(_point(setting, instances, baseline, played[key]))
    return points


_FIGURES = ("mlu", "decisions", "hidden_bytes", "sharing_bytes", "wire_bytes", "of_paper", "cpu_s", "light_s")


def _point(setting: Setting, instances: Sequence[Instance], baseline: Sequence[float], played: Sequence[Play]) -> Point:
    checkpoint = load_checkpoint(setting.checkpoint)
    own = Setting(setting.checkpoint, checkpoint.preset.rounds, 1, checkpoint.opening, checkpoint.patience_parts)
    rows = []
    for one, bar, (trace, seconds) in zip(instances, baseline, played, strict=True):
        topology, planned = one.topology, len(trace.actions)
        steps = ended(trace.mlu.tolist(), patience_of(planned, setting.patience))
        chosen = [len(trace.chosen(step)) for step in range(steps)]
        sent = calculated(
            topology, chosen, setting.rounds, WIRES[setting.wire] * checkpoint.preset.hidden, setting.share
        )
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
    return Point(
        label=setting.label,
        **asdict(setting),
        shipped=setting == own,
        instances=len(rows),
        deviation=deviation,
        **figures,
    )
