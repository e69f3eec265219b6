"""One trial with a broker that goes away: what was broken when, and what became of the episode that ran."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from experiments.faults_live_programs import RECOVERED_S, STEPS, LivePrograms
from experiments.faults_live_truth import wrong_words

BACK_S = 5.0  # within which the coordinator has to be back
GOOD = ("committed", "kept")
_NEVER = float("nan")
_POLL_S = 0.02


class Missed(Exception):
    """The episode had ended before anything was broken."""


@dataclass
class Trial:
    """What came of a trial; times in seconds, NaN if it did not happen.

    Attributes
    ----------
    case, seed : what was broken, and how it was drawn
    step : the step of the episode after which it was broken
    status, reason : of the episode, as the user was told
    results, routers : results of it that reached the user, and how many there are to come
    in_the_dark : results that the agents had before the broker was there again
    agents_lost : agents that lost the broker in the trial
    moved : routers whose path to the broker the commit changed
    lost_s : from the break until the coordinator told that it has no broker
    reachable_s : from the healing until the coordinator's router reaches the broker
    back_s, told_s, next_s : from the healing until the coordinator is connected, the user knows all results, and the
        next episode of all agents that ends well has begun
    violations : of the invariants, and of what is promised of the broker
    """

    case: str
    seed: int
    step: int = 0
    status: str = ""
    reason: str = ""
    results: int = 0
    routers: int = 0
    in_the_dark: int = 0
    agents_lost: int = 0
    moved: int | None = None
    lost_s: float = _NEVER
    reachable_s: float = _NEVER
    back_s: float = _NEVER
    told_s: float = _NEVER
    next_s: float = _NEVER
    violations: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {key: None if value != value else value for key, value in asdict(self).items()}

    def filled(self, record: dict[str, Any]) -> Trial:
        """Return it with the values of a record."""
        values: dict[str, Any] = {
            key: _NEVER if value is None and key.endswith("_s") else value for key, value in record.items()
        }
        return replace(self, **values)


@dataclass(frozen=True)
class Break:
    """How to break something, and to heal it.

    Attributes
    ----------
    strike, heal : what is done
    in_commit : break it after the last step; else after a random one before
    within_s : longest pause between the last step and the break
    may_abort : the routers lose links, too: the episode may end with an abort
    """

    strike: Callable[[], None]
    heal: Callable[[], None]
    in_commit: bool = False
    within_s: float = 0.4
    may_abort: bool = False


def nothing() -> None:
    """Break nothing."""


def killed(live: LivePrograms, *, in_commit: bool = False) -> Break:
    """Kill the broker; start it again."""

    def strike() -> None:
        live.broker.process.send_signal(signal.SIGKILL)
        live.broker.process.wait()

    return Break(strike, live.broker.start, in_commit=in_commit)


def run_trial(
    live: LivePrograms,
    trial: Trial,
    fault: Break,
    down_s: float,
    random: Generator,
    reachable: Callable[[], bool],
) -> None:
    """Break something in the first episode for a while and note in `trial` what follows.

    `reachable` says whether the broker can be reached from where the coordinator is.

    Raises
    ------
    Missed : the episode had ended before
    EmulationError : no episode begins, or a program has ended
    """
    trial.routers = live.plan.topology.num_nodes
    live.expect(lambda record: record["event"] == "episode_started", 0)
    # What is heard of an episode is late: the second half might be over.
    trial.step = STEPS if fault.in_commit else int(random.integers(1, STEPS // 2))
    live.expect(lambda record: record["event"] == "step_done" and record["step"] >= trial.step, 0)
    if trial.step == STEPS:
        live.wait(float(random.uniform(0.0, fault.within_s)), until=lambda: bool(_endings(live)))
    episode = next(record["episode"] for _, record in live.records if record["event"] == "episode_started")
    if _endings(live):
        raise Missed(f"the episode ended before step {trial.step} was heard of")
    struck, since = time.monotonic(), len(live.records)
    fault.strike()
    live.wait(down_s)
    trial.in_the_dark = len(live.endings(episode))
    healed, mark = time.monotonic(), len(live.records)
    fault.heal()
    deadline = healed + RECOVERED_S
    while time.monotonic() < deadline and live.good_episode(mark, 0.0, whole=True) is None:
        live.wait(_POLL_S)
        if np.isnan(trial.reachable_s) and reachable():
            trial.reachable_s = time.monotonic() - healed
    note(live, trial, episode, struck, healed, since, mark)
    trial.violations += [str(violation) for violation in wrong_words(live, {}, 0, not np.isnan(trial.next_s))]
    trial.violations += _broken_promises(live, trial, episode, fault)


def _endings(live: LivePrograms) -> list[dict[str, Any]]:
    return [record for _, record in live.records if record["event"] == "episode_ended"]


def note(live: LivePrograms, trial: Trial, episode: int, struck: float, healed: float, since: int, mark: int) -> None:
    """Fill in what the coordinator told, and when."""

    def when(event: str, first: int) -> float:
        return next((at for at, record in live.records[first:] if record["event"] == event), _NEVER)

    trial.agents_lost = live.without_broker()
    trial.lost_s = when("broker_lost", since) - struck
    seen = [
        (at, record["event"]) for at, record in live.records if record["event"] in ("broker_lost", "broker_connected")
    ]
    # It may never have lost it, or have found another way to it before anything was healed.
    there = next((kind for at, kind in reversed(seen) if at < healed), "") == "broker_connected"
    found = (at - healed for at, kind in seen if at >= healed and kind == "broker_connected")
    trial.back_s = 0.0 if there else next(found, _NEVER)
    for at, record in live.records[since:]:
        if record["event"] == "episode_ended" and record["episode"] == episode:
            trial.status, trial.reason = record["status"], record["reason"]
            trial.results = len(record["routers"])
            trial.told_s = at - healed
            break
    good = live.good_episode(mark, 0.0, whole=True)
    trial.next_s = good[0] - healed if good is not None else _NEVER


def _broken_promises(live: LivePrograms, trial: Trial, episode: int, fault: Break) -> list[str]:
    """Return what was promised of a broker that dies and did not happen."""
    found = []
    way = trial.reachable_s if fault.may_abort and trial.reachable_s > 0 else 0.0  # which OSPF has to find again
    if not trial.back_s <= way + BACK_S:
        found.append(f"the coordinator was back after {trial.back_s:.1f} s, expected {BACK_S:g} s")
    if trial.status not in GOOD and not (fault.may_abort and trial.status == "aborted"):
        found.append(f"the episode ended {trial.status or 'never'}: {trial.reason}")
    if fault.strike is not nothing and not fault.may_abort and trial.in_the_dark != trial.routers:
        found.append(f"{trial.in_the_dark} of {trial.routers} agents ended the episode without the broker")
    if trial.results != trial.routers:
        found.append(f"{trial.results} of {trial.routers} results reached the user")
    told: dict[str, Any] = next((one["routers"] for one in _endings(live) if one["episode"] == episode), {})
    said = {router: result["status"] for router, result in told.items()}
    seen = live.endings(episode)
    if said != {router: seen.get(router) for router in said}:
        found.append(f"the user was told {said}, the agents say {seen}")
    return found
