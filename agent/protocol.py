"""The agent of one router, sans-IO: feed it datagrams, time and orders; send what it has to send; act on its events.

It keeps one authenticated session with the agent at the other end of each link (`agent.session`), says hello when it
has nothing else to say, and runs one episode at a time (`agent.run`). All time is an argument in seconds of any
monotonic clock.

Waiting and repeating: while an episode waits for a neighbour, the newest frame is repeated after a time that is
learned from the waits (`agent.patience`). A neighbour from which nothing valid came for `dead_s` is silent: the
session ends, and so does a running episode. An episode in which nothing moves for `stall_s` is aborted as well,
naming whom it waits for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.control import LinkCounters
from agent.events import EpisodeEnded, Event, NeighborSilent, NeighborUp, StepDone
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up
from agent.neighbour import Neighbour
from agent.order import Order
from agent.overhead import Overhead, purpose_of
from agent.patience import Patience
from agent.phase import Phase
from agent.run import EpisodeRun
from agent.session import Session
from agent.tree import spanning_tree
from policy.mpnn import Network
from routing.topology import Topology


@dataclass(frozen=True)
class Timing:
    """Periods in seconds. The defaults suit tens of Pythons on two cores, where scheduling gaps of 0.1 s happen."""

    hello_s: float = 0.33
    dead_s: float = 1.5
    repeat_first_s: float = 0.1
    repeat_min_s: float = 0.004
    repeat_max_s: float = 0.5
    stall_s: float = 10.0


class AgentProtocol:
    """One router's agent.

    Parameters
    ----------
    topology, network : what all routers share; `network` holds the policy's parameters
    router : this router's number
    key : the domain key, 16..32 bytes
    boot_nonce : random bytes, new in every process
    now : the clock when the agent starts
    timing : periods
    """

    def __init__(
        self,
        *,
        topology: Topology,
        network: Network,
        router: int,
        key: bytes,
        boot_nonce: bytes,
        now: float,
        timing: Timing | None = None,
    ) -> None:
        self.topology = topology
        self.router = router
        self.timing = timing or Timing()
        self._network = network
        self._tree = spanning_tree(topology)
        out = topology.out_links(router)
        self.links = range(out.start, out.stop)
        self._outbox: list[tuple[int, bytes]] = []
        self._neighbours: dict[int, Neighbour] = {}
        for peer in topology.dst[out].tolist():
            session = Session(key=key, secret=boot_nonce, local=router, remote=peer, context=topology.digest())
            self._neighbours[peer] = Neighbour(
                peer,
                topology.nodes[peer],
                session,
                self._outbox,
                now=now,
                hello_s=self.timing.hello_s,
                dead_s=self.timing.dead_s,
            )
        self._neighbours_due = now  # nothing is due with a neighbour before; what happens meanwhile only puts it off
        self._events: deque[Event] = deque()
        self._run: EpisodeRun | None = None
        self._ended = True  # whether the end of `_run` has been told
        self._trace: list[StepDone] = []
        self._began_at = self._prepared_at = self._moved_at = now
        self._moves = self._step = 0
        self._round_trips = 0  # that the present wait contains for sure
        self._repeat_at = now
        self._patience = Patience(self.timing.repeat_first_s, self.timing.repeat_min_s, self.timing.repeat_max_s)
        self._hops = 1  # to what the episode waits for: a neighbour, or up and down the tree

    # ---- what the adapter reads

    @property
    def ready(self) -> bool:
        """Whether all neighbours have answered."""
        return all(neighbour.session.established for neighbour in self._neighbours.values())

    @property
    def silent_neighbours(self) -> list[str]:
        """Names of neighbours without a session."""
        return [neighbour.name for neighbour in self._neighbours.values() if not neighbour.session.established]

    @property
    def is_root(self) -> bool:
        """Whether this router is the root of the tree, which reports for all."""
        return self._tree.root == self.router

    @property
    def running(self) -> int:
        """Number of the running episode, 0 if there is none."""
        return 0 if self._run is None or self._ended else self._run.order.episode

    def next_event(self) -> Event | None:
        """Return the oldest event that was not read yet."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[tuple[int, bytes]]:
        """Return (neighbour router, datagram) and forget them."""
        datagrams = self._outbox.copy()
        self._outbox.clear()
        return datagrams

    def overhead(self) -> dict[int, Overhead]:
        """Return what was sent over each of the router's links since the process began, as copies."""
        return {link: self._neighbours[int(self.topology.dst[link])].overhead.copy() for link in self.links}

    def counters_since(self, before: dict[int, Overhead]) -> list[LinkCounters]:
        """Return what was sent after an earlier `overhead()`."""
        return [now.since(before[link], link) for link, now in self.overhead().items()]

    def refused_frames(self) -> int:
        """How many datagrams were not accepted."""
        return sum(neighbour.session.refused for neighbour in self._neighbours.values())

    # ---- what the adapter feeds

    def receive_datagram(self, data: bytes, sender: int, now: float) -> None:
        """Take a datagram that came over the link from router `sender`. What is not valid is counted and dropped."""
        neighbour = self._neighbours[sender]
        frame, began = neighbour.receive(data, now)
        if began:
            self._events.append(NeighborUp(neighbour.name))
        if frame is not None:
            self._dispatch(neighbour, frame, now)

    def start_episode(self, order: Order, live: NDArray[np.int64], now: float) -> None:
        """Run an episode; one that still runs is aborted. `live` is (L,) int64, the weights in OSPF now.

        Raises ValueError while an episode commits or restores costs: `abort` it and wait for its end.
        """
        if self.running:
            self.abort(f"episode {order.episode} supersedes it", now)
        if self.running:
            raise ValueError(f"episode {self.running} has costs to set or to restore")
        self._run = run = EpisodeRun(order, self.topology, self._network, self._tree, self.router, live)
        self._ended = False
        self._trace = []
        self._began_at = self._prepared_at = now
        run.begin()
        for neighbour in self._neighbours.values():
            early = [frame for frame in neighbour.early if getattr(frame, "episode", 0) == order.episode]
            neighbour.early.clear()
            for frame in early:
                self._feed(run, neighbour, frame)
        if not self.ready:
            run.abort(f"{self.topology.nodes[self.router]} has no session with {', '.join(self.silent_neighbours)}")
        self._flush(now)

    def costs_set(self, problem: str, changed: int, now: float) -> None:
        """Answer a `SetCosts` event: the problem ("" if there is none) and how many costs were changed."""
        if self._run is not None:
            self._run.costs_set(problem, changed)
            self._flush(now)

    def abort(self, reason: str, now: float) -> None:
        """End the running episode with OSPF as it was."""
        if self._run is not None and not self._ended:
            self._run.abort(reason)
            self._flush(now)

    def get_timer(self) -> float:
        """Return when `handle_timer` is due."""
        if self._run is None or self._ended or self._run.phase is Phase.UNDOING:
            return self._neighbours_due
        return min(self._neighbours_due, self._repeat_at, self._moved_at + self._stall_s(self._run))

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for neighbour in self._neighbours.values():
            silent_s = neighbour.keep_alive(now)
            if silent_s is not None:
                self._events.append(NeighborSilent(neighbour.name, silent_s))
                self.abort(f"{neighbour.name} was silent for {silent_s:.1f} s", now)
        self._neighbours_due = min(neighbour.due() for neighbour in self._neighbours.values())
        run = self._run
        if run is not None and self.running and run.phase is not Phase.UNDOING:
            if now >= self._moved_at + self._stall_s(run):
                waiting = ", ".join(run.waiting_for()) or "OSPF"
                name, stall_s = self.topology.nodes[self.router], self._stall_s(run)
                run.abort(f"{name} waited {stall_s:g} s for {waiting} ({run.phase.value})", anyway=True)
            elif now >= self._repeat_at:
                run.repeat()
                self._patience.double()
                self._repeat_at = now + self._patience.limit_s(self._hops)
            self._flush(now)

    # ---- inside

    def _stall_s(self, run: EpisodeRun) -> float:
        """During a commit the root decides; the others wait longer, lest they undo what it completes."""
        patience = 3 if run.phase is Phase.COMMITTING and not self.is_root else 1
        return patience * self.timing.stall_s

    def _dispatch(self, neighbour: Neighbour, frame: Frame, now: float) -> None:
        """Give an episode's frame to its run, keep it if the run is still to come, answer if the run is over."""
        assert isinstance(frame, State | Up | Down | Abort)  # Init and Hello end in the session
        run = self._run
        if run is not None and frame.episode == run.order.episode:
            self._feed(run, neighbour, frame)
            self._flush(now)
        elif run is None or frame.episode > run.order.episode:
            neighbour.early.append(frame)
        elif getattr(frame, "want", False):
            neighbour.send(Abort(frame.episode, "superseded"), "control", again=False, now=now)

    def _feed(self, run: EpisodeRun, neighbour: Neighbour, frame: Frame) -> None:
        try:
            run.receive(neighbour.router, frame)
        except MalformedFrame:
            neighbour.session.refused += 1

    def _flush(self, now: float) -> None:
        """Send and tell what the run has produced, and set its timer."""
        run = self._run
        if run is None:
            return
        outbox, run.outbox = run.outbox, []
        for router, frame, again in outbox:
            self._neighbours[router].send(frame, purpose_of(frame, run.order.steps), again=again, now=now)
        while run.events:
            event = run.events.popleft()
            if isinstance(event, StepDone):
                self._trace.append(event)
                self._prepared_at = now
            self._events.append(event)
        if run.moves != self._moves or self._began_at == now:
            self._wait_again(run, now)
            self._moves = run.moves
        if run.phase is Phase.ENDED and not self._ended:
            self._ended = True
            self._events.append(self._ending(run, now))

    def _wait_again(self, run: EpisodeRun, now: float) -> None:
        """Something was completed: learn how long it took, and wait for the next."""
        if self._began_at == now:
            self._patience.expect(max(neighbour.trip_s for neighbour in self._neighbours.values()))
        else:
            self._patience.learn(now - self._moved_at, self._hops)
            if self._round_trips:
                self._patience.bound(now - self._moved_at, self._round_trips)
        self._moved_at = now
        self._hops = 1 if run.phase is Phase.EXCHANGING else self._tree.depth
        # What ends a round may have been on its way before it began. But the outcome of a pass goes through the root
        # and back, and what follows it needs the root's neighbours to hear of it.
        level = 0 if run.phase is Phase.EXCHANGING else self._tree.level(self.router)
        self._round_trips = int(run.state.step != self._step) if self.is_root else level
        self._step = run.state.step
        self._repeat_at = now + self._patience.limit_s(self._hops)

    def _ending(self, run: EpisodeRun, now: float) -> EpisodeEnded:
        return EpisodeEnded(
            episode=run.order.episode,
            status=run.status,
            reason=run.reason,
            digest=run.digest.value,
            steps=run.state.step,
            best_step=run.state.best_step,
            mlu_start=run.mlu_start,
            mlu_live=run.mlu_live,
            mlu_best=run.state.best_mlu,
            costs_changed=run.costs_changed,
            episode_s=self._prepared_at - self._began_at,
            commit_s=now - self._prepared_at,
            best_weights=run.state.best_weights.copy(),
            trace=tuple(self._trace),
        )
