"""Many trials of many faults, and what they say together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from experiments.faults_plants import PLANTS
from experiments.faults_scenarios import FAULTS
from experiments.faults_trial import Trial, run_trial

_SHOWN = 5  # violations of a row that are shown with the command that replays them


@dataclass
class Row:
    """One fault's trials together. Times are seconds: the median and the longest of those trials that have one."""

    fault: str
    about: str
    trials: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    detection_s: list[float] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    remembered: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, trial: Trial, plant: str = "") -> None:
        """Count a trial."""
        self.trials += 1
        self.violations.update(violation.invariant for violation in trial.violations)
        if trial.detection_s is not None:
            self.detection_s.append(trial.detection_s)
        if trial.recovery_s is not None:
            self.recovery_s.append(trial.recovery_s)
        self.outcomes.update(trial.outcomes)
        self.remembered = max(self.remembered, trial.remembered)
        if trial.violations and len(self.shown) < _SHOWN:
            planted = f" --plant {plant}" if plant else ""
            self.shown.append(
                f"{trial.violations[0]}\n    replay: python -m experiments.faults --fault {self.fault} "
                f"--trials 1 --seed {trial.seed}{planted}"
            )

    @property
    def violated(self) -> int:
        """Violations in all."""
        return sum(self.violations.values())

    def record(self) -> dict[str, object]:
        """Return the row for ``--json``."""
        return {
            "fault": self.fault,
            "trials": self.trials,
            "violations": self.violated,
            "by_invariant": dict(self.violations),
            "detection_s": _median(self.detection_s),
            "detection_max_s": max(self.detection_s, default=None),
            "recovery_s": _median(self.recovery_s),
            "recovery_max_s": max(self.recovery_s, default=None),
            "outcomes": dict(self.outcomes),
            "remembered_bytes": self.remembered,
        }


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _one(task: tuple[str, int, str]) -> Trial:
    name, seed, plant = task
    return run_trial(name, FAULTS[name], seed, PLANTS[plant] if plant else None)


def run_campaign(
    names: Iterable[str], trials: Callable[[str], int], seed: int, *, plant: str = "", workers: int = 1
) -> Iterator[Row]:
    """Run the trials of each fault; yield its row again after every trial, and last when it is complete.

    Parameters
    ----------
    names : of faults
    trials : how many of each
    seed : of the first trial; the others follow
    plant : name of a faulty component, or empty
    workers : processes
    """
    with _mapper(workers) as mapped:
        for name in names:
            row = Row(name, FAULTS[name].about)
            tasks = [(name, seed + number, plant) for number in range(trials(name))]
            for trial in mapped(_one, tasks):
                row.add(trial, plant)
                yield row


class _mapper:
    """`map` in this process, or in several."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, initializer=partial(os.nice, 5)) if workers > 1 else None

    def __enter__(
        self,
    ) -> Callable[[Callable[[tuple[str, int, str]], Trial], list[tuple[str, int, str]]], Iterable[Trial]]:
        return map if self._pool is None else partial(self._pool.map, chunksize=4)

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
