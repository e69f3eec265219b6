"""A crash at every point of a commit: what every process does in an undisturbed one is counted, then cut at each place.

A process does something when one of its callbacks runs and when it sends a frame; every command to ospfd and every
message of MQTT begins in a callback of its own. A trial repeats the undisturbed run, which is a function of its seed,
up to one of these doings and kills the process instead. So the trials of one commit are all the ways in which SIGKILL
can cut one process' part of it. It comes back after a time that all others hardly notice, or after they have given
it up. Instead of one process, all agents together can be killed at each of these moments. With a planted fault the run
is another one from where that shows, and the moments are those at which as much was done.

The commit begins when the first router has taken its last step (PREPARE follows), and ends when the coordinator tells
its user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from numpy.random import Generator, Philox

from agent.events import Event, SetCosts, StepDone
from experiments.faults_lab import Lab, Setting
from experiments.faults_plants import Plant, Share
from experiments.faults_scenarios import crash_all
from experiments.faults_trial import Healing, Trial, check_decisions, disturb, first_episode, make_setting, noted

WAVES = (1, 3)  # at least so many in each of the commits, each on a network of its own
AWAY_S = (0.05, 1.5)  # in turns
_FIRST_SEEDS = 100  # that are tried until one has something to commit


@dataclass(frozen=True)
class Point:
    """Process `victim` is killed instead of its doing number `doing` since the episode was asked for."""

    victim: int
    doing: int
    away_s: float


@dataclass(frozen=True)
class Case:
    """An undisturbed commit, and its points in the order of their trials."""

    setting: Setting
    seed: int
    points: tuple[Point, ...]


class _Doings:
    """Counts what each process does from now on.

    Parameters
    ----------
    lab : in which nothing is killed but by `at`
    at : called before a doing with the process and the number of that doing, from 0
    """

    def __init__(self, lab: Lab, at: Callable[[int, int], None]) -> None:
        self.done: Counter[int] = Counter()
        self._lab = lab
        self._at = at
        for number, process in lab.processes.items():
            process.loop.watchers.append(partial(self._does, number))
        lab.wires.taps.append(self._sends)

    def _does(self, number: int) -> None:
        self._at(number, self.done[number])
        self.done[number] += 1

    def _sends(self, sender: int, _receiver: int, data: bytes) -> bytes | None:
        self._does(sender)
        return None if self._lab.processes[sender].dead else data


@cache
def find_case(commit: int, share: Share = "candidate") -> Case:
    """Return an undisturbed commit by its number: that of the first seed of a network with enough waves.

    share : how the routers share their logits
    """
    setting = make_setting(commit, share)
    for seed in range(_FIRST_SEEDS):
        waves, ranges = _count(setting, seed)
        if waves >= WAVES[commit]:
            points = [
                Point(victim, doing, AWAY_S[doing % 2])
                for victim, (first, last) in ranges.items()
                for doing in range(first, last)
            ]
            Generator(Philox(key=[commit, 0x706F696E])).shuffle(points)  # so that a few trials are spread over all
            return Case(setting, seed, tuple(points))
    raise ValueError(f"none of {_FIRST_SEEDS} seeds has a commit of {WAVES[commit]} waves")


def _count(setting: Setting, seed: int) -> tuple[int, dict[int, tuple[int, int]]]:
    """Return the waves of the commit of a lab's second episode, and what each process does in it.

    That is the number of its first doing, and that after its last.
    """
    with Lab(setting, seed) as lab:
        first_episode(lab)
        lab.auto = True
        lab.submit()
        doings = _Doings(lab, lambda _process, _number: None)
        begun: list[Counter[int]] = []
        waves = 0

        def told(event: Event) -> None:
            nonlocal waves
            if isinstance(event, StepDone) and event.step == setting.steps:
                begun.append(doings.done.copy())
            waves += isinstance(event, SetCosts)

        lab.truth.listeners.append(told)
        lab.wait(lambda: len(lab.outcomes()) == 2, 30.0)
        doing = {number: (begun[0][number], doings.done[number]) for number in lab.processes}
        return waves // lab.topology.num_nodes, doing


def count_points(plant: Plant | None = None) -> int:
    """Return how many trials there are."""
    return sum(len(case.points) for case in _cases(plant))


def _cases(plant: Plant | None) -> list[Case]:
    return [find_case(commit, plant.share) if plant else find_case(commit) for commit in range(len(WAVES))]


def run_point(name: str, number: int, *, together: bool = False, plant: Plant | None = None) -> Trial:
    """Run the trial of a point; numbers count through the commits, and begin again after the last.

    together : kill all agents at that moment, not the victim
    """
    number %= count_points(plant)
    case, point = [(case, point) for case in _cases(plant) for point in case.points][number]
    trial = Trial(name, number)
    with Lab(case.setting, case.seed, plant=plant.parts if plant else ()) as lab, noted(lab, trial):
        first_episode(lab)
        disturb(lab, partial(_at_point, lab, point), partial(_kill_all if together else _kill, lab, point), trial)
        check_decisions(lab)
    return trial


def _at_point(lab: Lab, point: Point, strike: Callable[[], None]) -> None:
    def at(process: int, doing: int) -> None:
        if (process, doing) == (point.victim, point.doing):
            strike()

    _Doings(lab, at)


def _kill(lab: Lab, point: Point) -> Healing:
    """Kill the victim, and with it what it is about to do; bring it back later."""
    lab.kill(point.victim)
    return partial(lab.boot, point.victim), point.away_s


def _kill_all(lab: Lab, point: Point) -> Healing:
    """Kill all agents before the victim does what it is about to do; bring them back later."""
    return crash_all(lab), point.away_s
