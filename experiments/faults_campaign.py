"""Many trials of many faults, and what they say together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from experiments.faults_journal import Journal
from experiments.faults_plants import PLANTS
from experiments.faults_points import count_points, run_point
from experiments.faults_scenarios import FAULTS
from experiments.faults_trial import Trial, run_trial

_SHOWN = 5  # violations of a row that are shown with the command that replays them
_PERCENTS = (50, 90, 99, 100)
_Task = tuple[str, int, str]  # fault, seed, plant


@dataclass
class Row:
    """One fault's trials together. Times are seconds: the median and the longest of those trials that have one."""

    fault: str
    about: str
    trials: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    detection_s: list[float] = field(default_factory=list)
    next_s: list[float] = field(default_factory=list)
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
        if trial.next_s is not None:
            self.next_s.append(trial.next_s)
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
            "percentiles": {
                name: {str(percent): float(np.percentile(values, percent)) for percent in _PERCENTS}
                for name in ("detection_s", "next_s", "recovery_s")
                if (values := getattr(self, name))
            },
            "outcomes": dict(self.outcomes),
            "remembered_bytes": self.remembered,
        }


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _one(task: _Task) -> Trial:
    name, seed, plant = task
    fault, planted = FAULTS[name], PLANTS[plant] if plant else None
    if fault.during.startswith("point"):
        return run_point(name, seed, together=fault.during == "point of all", plant=planted)
    return run_trial(name, fault, seed, planted)


def full_trials(name: str, plant: str = "") -> int:
    """Return how many trials a fault has in the full campaign."""
    return FAULTS[name].trials or count_points(PLANTS[plant] if plant else None)


def run_campaign(
    names: Iterable[str],
    trials: Callable[[str], int],
    seed: int,
    *,
    plant: str = "",
    workers: int = 1,
    journal: Journal | None = None,
) -> Iterator[Row]:
    """Run the trials of each fault; yield its row again after every trial, and last when it is complete.

    Parameters
    ----------
    names : of faults
    trials : how many of each
    seed : of the first trial; the others follow
    plant : name of a faulty component, or empty
    workers : processes
    journal : what has been run already, to which is added what is run
    """
    journal = journal or Journal(None, False, plant)
    with _mapping(workers) as mapped:
        for name in names:
            row = Row(name, FAULTS[name].about)
            seeds = range(seed, seed + trials(name))
            for trial in (journal.trials[name, one] for one in seeds if (name, one) in journal.trials):
                row.add(trial, plant)
                yield row
            for trial in mapped(_one, [(name, one, plant) for one in seeds if (name, one) not in journal.trials]):
                journal.add(trial)
                row.add(trial, plant)
                yield row


_Map = Callable[[Callable[[_Task], Trial], list[_Task]], Iterable[Trial]]


@contextmanager
def _mapping(workers: int) -> Iterator[_Map]:
    """`map` in this process, or in several."""
    if workers == 1:
        yield map
        return
    pool = ProcessPoolExecutor(workers, initializer=partial(os.nice, 5))
    try:
        yield partial(pool.map, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)
