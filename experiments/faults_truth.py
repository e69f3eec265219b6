"""Who watches the lab: the invariants, checked against what has really happened and not against what agents say.

====  ==================================================================================================================
I1    no two routers ever act differently in the same (epoch, episode, step)
I2    nothing is committed unless all routers of the epoch hold the same digest
I3    the MLU (model, current topology and matrix) never rises through a commit
I4    a failing agent starts no route change, and a begun commit ends all-old or all-new once the fault heals
I5    memory and queues are bounded
I6    every abort has a reason that reaches the user, and the next episode starts by itself
auth  no frame is accepted that no agent has sent (damaged or forged), and none twice (repeated)
====  ==================================================================================================================

Decisions are taken from the stream of events of each agent, costs from the OSPF area itself, MLUs from a fresh
`RoutingState`, sizes from the objects in memory. A router that lies (`liars`) is held to nothing; of the others a
decision counts as acted on only when the router goes on from it, because it takes a neighbour's next frame to find out
that the two were told different things. Which costs a commit may leave, and what an order that comes late may do,
`faults_commits` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.control import Start
from agent.epoch import Epoch
from agent.events import EpisodeEnded, Event, NeighborSilent, SetCosts, StepDone
from agent.session import COUNTER_BYTES, TAG_BYTES
from coordinator.outcome import Outcome
from experiments.faults_commits import Commit, Commits
from experiments.virtual_ospf import Area
from experiments.virtual_time import World
from routing.state import RoutingState
from routing.subnetwork import without
from routing.traffic import TrafficMatrix

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "auth")


@dataclass(frozen=True)
class Violation:
    """Which invariant, when, and what was seen."""

    invariant: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:.4f} s: {self.what}"


class Truth:
    """The watcher.

    Parameters
    ----------
    world, area : clock and costs
    fakes : datagrams that no agent has sent

    Attributes
    ----------
    violations : what was seen, in order; of each invariant only the first few
    commits : those that were begun, by episode
    liars : routers that do not follow the protocol
    noticed : times at which something was noticed: silence, an abort, a report
    listeners : told every event of a router's agent
    """

    def __init__(self, world: World, area: Area, fakes: set[bytes]) -> None:
        self.violations: list[Violation] = []
        self.liars: set[int] = set()
        self.noticed: list[tuple[float, str]] = []
        self.ended: dict[tuple[int, int], EpisodeEnded] = {}
        self._world = world
        self._area = area
        self._fakes = fakes
        self._accepted: set[bytes] = set()  # tags of the datagrams of sessions
        self._seen: Counter[str] = Counter()
        self._decisions: dict[tuple[object, int, int], tuple[int, tuple[int, ...]]] = {}
        self._taken: dict[tuple[int, object, int], list[tuple[int, ...]]] = {}
        self._traffic: dict[int, TrafficMatrix] = {}
        self._starts: dict[int, Start] = {}
        self.commit_began_at = 0  # how much had happened in the world when the newest commit was begun
        self.listeners: list[Callable[[Event], None]] = []
        self._commits = Commits(area, lambda what: self.violated("I4", what))
        self._by_lab = False
        area.observers.append(self._cost_changed)

    @property
    def commits(self) -> list[Commit]:
        """The commits that were begun."""
        return self._commits.begun

    # ---- what the lab tells

    def violated(self, invariant: str, what: str) -> None:
        """Note a violation."""
        self._seen[invariant] += 1
        if self._seen[invariant] <= 3:
            self.violations.append(Violation(invariant, self._world.now, what))

    def requested(self, seed: int, traffic: TrafficMatrix) -> None:
        """Note what an episode of this seed is to route."""
        self._traffic[seed] = traffic

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Let costs change that no agent has set: an operator's change, or a daemon that lost its configuration."""
        self._by_lab = True
        try:
            yield
        finally:
            self._by_lab = False

    def accepted(self, data: bytes) -> None:
        """Note that a session has accepted a datagram.

        None of a session may be accepted twice, by whatever process of its receiver: every session has keys of its own,
        and every frame in it a counter. That asks for a session may come again; it is answered, and no more.
        """
        if data in self._fakes:
            self.violated("auth", f"a frame of {len(data)} bytes was accepted that no agent has sent")
        elif any(data[:COUNTER_BYTES]):
            if (tag := data[-TAG_BYTES:]) in self._accepted:
                self.violated("auth", f"a frame of {len(data)} bytes was accepted twice")
            self._accepted.add(tag)

    def told(self, router: int, event: Event) -> None:
        """Note what a router's agent has decided, or found out."""
        for listener in self.listeners:
            listener(event)
        if isinstance(event, NeighborSilent):
            self.noticed.append((self._world.now, "silence"))
        if router in self.liars:
            if isinstance(event, SetCosts):
                self._order(event, trusted=False)
            return
        epoch = getattr(event, "epoch", None)
        if isinstance(event, StepDone):
            self._step(router, epoch, event)
        elif isinstance(event, SetCosts):
            self._set_costs(router, epoch, event)
        elif isinstance(event, EpisodeEnded):
            self.ended[router, event.episode] = event
            if event.began:
                self._commits.ended(event)
            if event.status == "aborted":
                self.noticed.append((self._world.now, "abort"))
                if not event.reason.strip():
                    self.violated("I6", f"{self._name(router)} aborted episode {event.episode} without a reason")

    def started(self, start: Start) -> None:
        """Note what the coordinator has sent to all; a number that an agent has heard is refused when it comes again.

        An order that died with the broker before anybody heard it counts for nothing: a coordinator that was restarted
        gives its number to another one.
        """
        if all(episode != start.episode for _, _, episode in self._taken):
            self._starts[start.episode] = start

    def reported(self, outcome: Outcome) -> None:
        """Note what the coordinator tells its user."""
        if outcome.verdict in ("aborted", "partial"):
            self.noticed.append((self._world.now, "report"))
            if not outcome.reason.strip():
                self.violated("I6", f"episode {outcome.episode} is {outcome.verdict} without a reason")
        if outcome.verdict in ("committed", "kept"):
            done = [result for result in outcome.results.values() if result.status in ("committed", "kept")]
            digests = {result.digest for result in done}
            if len(digests) != 1:
                self.violated("I2", f"episode {outcome.episode} is {outcome.verdict} with {len(digests)} digests")
        if outcome.verdict == "committed" and (commit := self._commits.find(outcome.episode)) is not None:
            self._check_mlu(commit)

    def forget(self) -> None:
        """Forget what is over: of very many episodes nobody could keep everything."""
        del self.commits[:-1], self.noticed[:]
        self._accepted.clear()
        last = max(self._starts, default=0)
        for episode in [number for number in self._starts if number < last]:
            self._traffic.pop(self._starts.pop(episode).seed, None)
        self._decisions.clear()
        self._taken.clear()
        self.ended.clear()

    # ---- I1

    def _step(self, router: int, epoch: object, event: StepDone) -> None:
        taken = self._taken.setdefault((router, epoch, event.episode), [])
        del taken[event.step :]  # a restarted agent, or a restarted episode, begins again
        taken.append(event.links)
        acted = event.step - 1 if self.liars else event.step
        if 0 <= acted < len(taken):
            self._act(router, epoch, event.episode, acted, taken[acted])

    def _act(self, router: int, epoch: object, episode: int, step: int, links: tuple[int, ...]) -> None:
        other, theirs = self._decisions.setdefault((epoch, episode, step), (router, links))
        if theirs != links:
            a, b = self._name(router), self._name(other)
            self.violated("I1", f"step {step} of episode {episode}: {a} chose {links}, {b} {theirs}")

    def decided_by_all(self) -> Iterator[tuple[Start, list[list[int]]]]:
        """Return (start, links of each step) of the episodes that all routers took to the end on the whole network."""
        routers = range(self._area.topology.num_nodes)
        for episode, start in self._starts.items():
            taken = [self._taken.get((router, None, episode), []) for router in routers]
            whole = not (start.down or start.absent or start.restore)
            if whole and all(len(one) == start.steps + 1 for one in taken):
                yield start, [list(links) for links in taken[0][1:]]

    # ---- I2

    def _set_costs(self, router: int, epoch: object, event: SetCosts) -> None:
        self._order(event)
        if event.undo:
            return
        start = self._starts[event.episode]
        if start.restore:
            return
        mine = self._taken.get((router, epoch, event.episode), [])
        # A router that lost links cut off is no member.
        for other in Epoch.of(self._area.topology, start.down, start.absent).members:
            theirs = self._taken.get((other, epoch, event.episode), [])
            if other in self.liars:
                continue
            if len(theirs) != start.steps + 1 or theirs != mine:
                how = "differently" if len(theirs) == start.steps + 1 else f"{len(theirs)} times, not {start.steps + 1}"
                who, whom = self._name(router), self._name(other)
                self.violated("I2", f"{who} commits episode {event.episode}; {whom} decided {how}")

    def _order(self, event: SetCosts, *, trusted: bool = True) -> None:
        self._commits.order(self._commits.find(event.episode) or self._begin(event), event, trusted=trusted)

    def _begin(self, event: SetCosts) -> Commit:
        start = self._starts[event.episode]
        commit = self._commits.begin(event, start)
        if commit is self.commits[-1]:
            self.commit_began_at = self._world.happened
            if not start.restore:
                for what in self._commits.half_done(~commit.own, before=commit):
                    self.violated("I4", f"episode {event.episode} commits and {what}")
        return commit

    # ---- I3, I4

    def _cost_changed(self, router: int, link: int, _old: int, new: int) -> None:
        if self._by_lab:
            self._commits.set_by_hand(link)
        else:
            self._commits.set_by(router, link, new)

    def all_old_or_new(self, gone: Collection[int] = ()) -> bool:
        """Whether every commit is carried out everywhere, or (unless it restores costs) nowhere.

        gone : routers whose agents are away; a link of theirs may stand at a cost between, which nobody else can set
        """
        return not any(self._commits.half_done(gone=gone))

    def check_commits(self, moment: str, gone: Collection[int] = ()) -> None:
        """Check when nothing is under way, and no fault is at work but that agents are `gone`."""
        for what in self._commits.half_done(gone=gone):
            self.violated("I4", f"{moment} {what}")

    def _check_mlu(self, commit: Commit) -> None:
        """Compare the model's MLU, on the links that are there, before a commit and with the costs of now."""
        start = self._starts[commit.episode]
        if start.restore or commit.foreign.any():
            return
        left = without(self._area.topology, start.down)
        newest = commit is self.commits[-1]  # else others have begun on it
        traffic, both = (
            left.traffic(self._traffic[start.seed]),
            (commit.old, self._area.costs if newest else commit.new),
        )
        before, after = (RoutingState(left.network, traffic, weights[left.links]).mlu for weights in both)
        if after > before:
            self.violated("I3", f"episode {commit.episode} took the MLU from {before:.6f} to {after:.6f}")

    def first_noticed(self, since: float) -> float | None:
        """Return when anything was noticed first."""
        return next((at for at, _ in self.noticed if at >= since), None)

    def counts(self) -> dict[str, int]:
        """Return how many violations of each invariant there were."""
        return dict(self._seen)

    def _name(self, router: int) -> str:
        return self._area.topology.nodes[router]
