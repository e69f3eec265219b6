"""One trial: an undisturbed episode, a fault at some moment of the next, the healing, and a good episode after it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.random import Generator, Philox

from agent.events import Event, SetCosts
from coordinator.events import EpisodeStarted
from experiments.faults_lab import COORDINATOR, GOOD, Lab, Setting
from experiments.faults_plants import Plant
from experiments.faults_scenarios import Fault, Heal, nothing
from experiments.faults_sizes import remembered
from experiments.faults_truth import Violation
from experiments.virtual_time import Storm
from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.mpnn import Network
from policy.preset import PRESETS
from routing.initial import initial_weights
from routing.topology import Topology

READY_S = 30.0
RECOVERED_S = 150.0  # after which nobody is waited for any more; what is measured is in the table
SETTLE_S = 8.0  # at most, for what is still under way when the last episode has been reported
QUIET_S = 3.0  # after that, in which what was left half done is restored (1.5 s after it was seen), and no more happens
_COMMIT = 300  # happenings in one, where the first episode had nothing to commit
MAX_REMEMBERED = 1 << 20  # bytes of one agent's or the coordinator's memory
Healing = tuple[Heal, float]  # how, and after how many seconds


@dataclass
class Trial:
    """What came of it. Times are None where nothing was to be noticed, or to recover from.

    Attributes
    ----------
    detection_s : from the strike to the first sign of it
    next_s : from the strike to the beginning of the next episode that ends well
    recovery_s : from the healing to the beginning of the next episode that ends well
    remembered : bytes, at most, of one agent's or the coordinator's memory; a few differ from run to run with the
        numbers that the interpreter happens to share, so trials are compared without it
    """

    fault: str
    seed: int
    violations: list[Violation] = field(default_factory=list)
    detection_s: float | None = None
    next_s: float | None = None
    recovery_s: float | None = None
    remembered: int = field(default=0, compare=False)
    outcomes: dict[str, int] = field(default_factory=dict)


def small_network(seed: int, nodes: int = 6, chords: int = 3) -> Topology:
    """Return a ring with chords and different capacities."""
    random = Generator(Philox(key=[seed, 0x6E6574]))
    pairs = {(node, (node + 1) % nodes) for node in range(nodes)}
    while len(pairs) < nodes + chords:
        a, b = random.choice(nodes, 2, replace=False).tolist()
        if (a, b) not in pairs and (b, a) not in pairs:
            pairs.add((a, b))
    links = sorted(pairs | {(b, a) for a, b in pairs})
    capacity = random.choice([1e9, 2.5e9, 1e10], len(links))
    return Topology.from_links(f"ring{seed}", [f"n{node}" for node in range(nodes)], links, capacity)


def make_setting(seed: int, share: str = "candidate") -> Setting:
    """Return a small installation; the policy is untrained, which matters to nobody here."""
    preset = replace(PRESETS["default"], rounds=2)  # more to go wrong in a step than with one
    checkpoint = make_checkpoint(preset, random_parameters(preset, 1))
    network = Network(checkpoint.preset, checkpoint.parameters)
    return Setting(small_network(seed % 4), checkpoint, network, share=share)


def run_trial(name: str, fault: Fault, seed: int, plant: Plant | None = None) -> Trial:
    """Run one trial; the same arguments give the same trial."""
    random = Generator(Philox(key=[seed, zlib.crc32(name.encode())]))
    setting = make_setting(seed, plant.share if plant else "candidate")
    trial = Trial(name, seed)
    parts = plant.parts if plant else ()
    with Lab(setting, int(random.integers(2**62)), impairment=fault.impairment, plant=parts) as lab, noted(lab, trial):
        length = first_episode(lab)
        if length is not None:
            arm = _in_commit if fault.during == "commit" else _in_episode
            after = int(random.integers(max(1, length[fault.during])))
            disturb(lab, partial(arm, lab, after), partial(_strike, lab, fault, random), trial)
            if fault.same:
                check_decisions(lab)
            if fault.harmless:
                _check_endings(lab)
            if fault.strike is nothing:
                trial.detection_s = trial.recovery_s = trial.next_s = None
    return trial


def _in_episode(lab: Lab, after: int, strike: Callable[[], None]) -> None:
    lab.world.when_happened(lab.world.happened + after, strike)


def _in_commit(lab: Lab, after: int, strike: Callable[[], None]) -> None:
    """Wait for a commit: not every episode has something to commit."""
    waiting = [strike]

    def told(event: Event) -> None:
        if waiting and isinstance(event, SetCosts):
            _in_episode(lab, after, waiting.pop())

    lab.truth.listeners.append(told)


def _strike(lab: Lab, fault: Fault, random: Generator) -> Healing | None:
    heal = fault.strike(lab, random)
    if heal is None:
        return None
    low, high = fault.lasts_s
    return heal, float(np.exp(random.uniform(np.log(low), np.log(high))))


@contextmanager
def noted(lab: Lab, trial: Trial) -> Iterator[None]:
    """Note in a trial what is violated in the block, and how its episodes end."""
    try:
        yield
    except Storm as storm:
        lab.truth.violated("I5", f"{storm}: {_state(lab)}")
    trial.violations = lab.truth.violations
    for _, outcome in lab.outcomes():
        trial.outcomes[outcome.verdict] = trial.outcomes.get(outcome.verdict, 0) + 1


def first_episode(lab: Lab) -> dict[str, int] | None:
    """Run an undisturbed episode; return how much happens in an episode, and in its commit; None: it has not ended."""
    truth, world = lab.truth, lab.world
    lab.submit()
    if not lab.wait(lambda: bool(lab.outcomes()), READY_S):
        truth.violated("I6", f"the first episode has not ended after {READY_S:g} s")
        return None
    end, commit = world.happened, truth.commit_began_at
    _settle(lab)  # where frames are lost it may have been aborted, and tried again at once
    world.run_for(0.2)
    _check_quiet(lab, "before the fault")
    # The next one has about as many happenings as the first had since the agents were ready.
    start = next(number for number, event in lab.happenings if isinstance(event, EpisodeStarted))
    return {"episode": end - start, "commit": end - commit if commit else _COMMIT}


def disturb(
    lab: Lab, arm: Callable[[Callable[[], None]], None], strike: Callable[[], Healing | None], trial: Trial
) -> None:
    """Run an episode in which something strikes, heal it, and demand a good episode after that.

    Parameters
    ----------
    arm : is given what strikes, and sees to it that it is called when it is to happen
    strike : breaks something; returns how and after how many seconds it heals, if anything has to
    """
    truth, world = lab.truth, lab.world
    struck: list[float] = []
    healed: list[float] = []

    def break_it() -> None:
        struck.append(world.now)
        healing = strike()
        if healing is None:
            healed.append(world.now)
            return
        heal, after_s = healing

        def heal_it() -> None:
            heal()
            healed.append(world.now)
            lab.again()

        world.after(after_s, heal_it)

    lab.auto = True
    lab.submit()
    arm(break_it)
    if not lab.wait(good_episode_since(lab, healed), RECOVERED_S):
        truth.violated("I6", f"no episode succeeded within {RECOVERED_S:g} s: {_state(lab)}")
    lab.auto = False
    _settle(lab)
    world.run_for(QUIET_S)
    _check_quiet(lab, "after the healing")
    _measure(lab, struck, healed, trial)


def _settle(lab: Lab) -> None:
    """Wait until nobody is at work."""
    lab.wait(lambda: lab.processes[COORDINATOR].program.protocol.idle, RECOVERED_S)
    lab.wait(lambda: not _running(lab), SETTLE_S)


def good_episode_since(lab: Lab, healed: list[float]) -> Callable[[], bool]:
    """Whether an episode that began after the healing was committed or kept; looks at what is new only."""
    begun: dict[int, float] = {}
    at = 0
    good = [False]

    def look() -> bool:
        nonlocal at
        while at < len(lab.user):
            when, event = lab.user[at]
            at += 1
            if isinstance(event, EpisodeStarted):
                begun[event.episode] = when
            outcome = getattr(event, "outcome", None)
            if outcome is not None and healed and outcome.verdict in GOOD:
                good[0] |= begun.get(outcome.episode, -1.0) >= healed[0]
        return good[0]

    return look


def _check_quiet(lab: Lab, moment: str) -> None:
    """Check what has to hold when nothing is under way."""
    truth = lab.truth
    truth.check_commits(moment, [r for r in range(lab.topology.num_nodes) if lab.protocol(r) is None])
    for failure in lab.failures():
        truth.violated("I6", failure)
    for process in lab.processes.values():
        if process.dead or process.program is None:
            continue
        size = remembered([process.program])
        lab.largest = max(lab.largest, size)
        if size > MAX_REMEMBERED:
            truth.violated("I5", f"{process.loop.name} remembers {size} bytes")


def check_decisions(lab: Lab) -> None:
    """Compare what was decided by all routers with what one engine decides alone."""
    setting = lab.setting
    start = initial_weights("inverse-capacity", setting.topology)
    for order, decided in lab.truth.decided_by_all():
        traffic = lab.traffic(order.seed)
        trace = run_episode(
            setting.topology,
            traffic,
            start,
            setting.checkpoint,
            steps=setting.steps,
            seed=order.seed,
            temperature=1.0,
            opening=order.opening,
            patience=order.patience,
        )
        if trace.actions.tolist() != decided:
            lab.truth.violated("I1", f"episode {order.episode} decided {decided}, undisturbed {trace.actions.tolist()}")


def _check_endings(lab: Lab) -> None:
    """Check that every episode ended well, with every router's result."""
    for _, outcome in lab.outcomes():
        if outcome.verdict not in GOOD or len(outcome.results) != lab.topology.num_nodes:
            what = f"{outcome.verdict} ({outcome.reason}), {len(outcome.results)} results"
            lab.truth.violated("I6", f"episode {outcome.episode} suffered: {what}")


def _measure(lab: Lab, struck: list[float], healed: list[float], trial: Trial) -> None:
    trial.remembered = lab.largest
    if not struck:
        return
    noticed = lab.truth.first_noticed(struck[0])
    trial.detection_s = None if noticed is None else noticed - struck[0]
    good = {outcome.episode for _, outcome in lab.outcomes() if outcome.verdict in GOOD}
    begun = [at for at, event in lab.user if isinstance(event, EpisodeStarted) and event.episode in good]
    trial.next_s = next((at - struck[0] for at in begun if at >= struck[0]), None)
    trial.recovery_s = next((at - healed[0] for at in begun if healed and at >= healed[0]), None)


def _state(lab: Lab) -> str:
    """Say what everybody is doing."""
    coordinator = lab.processes[COORDINATOR].program.protocol
    waiting = coordinator.waiting_for()
    return f"coordinator {coordinator.phase.name}, waits for {waiting}; agents run {_running(lab)}"


def _running(lab: Lab) -> dict[str, int]:
    """Return the episodes that agents run, by router."""
    agents = {node: lab.protocol(router) for router, node in enumerate(lab.topology.nodes)}
    return {node: agent.running for node, agent in agents.items() if agent is not None and agent.running}
