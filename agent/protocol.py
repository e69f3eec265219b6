"""The agent of one router, sans-IO: feed it datagrams, time and orders; send what it has to send; act on its events.

It keeps one authenticated session with the agent at the other end of each link (`agent.session`), says hello when it
has nothing else to say, and runs one episode at a time (`agent.run`). All time is an argument in seconds of any
monotonic clock.

Waiting and repeating: while an episode waits for a neighbour, the newest frame is repeated after a time that is
learned from the waits (`agent.patience`). A neighbour from which nothing valid came for `dead_s` is silent: the
session ends, and so does a running episode of which it is a member. An episode in which nothing moves for `stall_s` is
aborted as well, naming whom it waits for. That an episode was aborted reaches everybody (`agent.aborts`).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from agent.aborts import Aborts
from agent.ending import ending_of, refusal
from agent.epoch import Epoch, NoEpoch
from agent.events import Event, NeighborSilent, NeighborUp, StepDone
from agent.messages import Abort, EpisodeFrame, Frame, MalformedFrame
from agent.neighbour import Neighbour, neighbours_of
from agent.order import Order
from agent.overhead import Overhead, purpose_of
from agent.phase import Phase
from agent.run import EpisodeRun
from agent.waiting import Timing, Waiting
from agent.wakefulness import Wakefulness
from policy.mpnn import Network
from routing.topology import Topology


class AgentProtocol:
    """One router's agent.

    Parameters
    ----------
    topology, network : what all routers share; `network` holds the policy's parameters
    router : this router's number
    key : the domain key, 16..32 bytes
    boot_nonce : random bytes, new in every process
    now, timing : the clock when the agent starts; periods
    remembered : an episode that is over because this router's agent died in its commit; 0: none
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
        remembered: int = 0,
    ) -> None:
        self.topology = topology
        self.router = router
        self.name = topology.nodes[router]
        self.timing = timing or Timing()
        self._network = network
        self._epoch = Epoch.of(topology)
        self._aborts = Aborts({remembered: f"the agent of {self.name} was restarted"} if remembered else {})
        out = topology.out_links(router)
        self.links = range(out.start, out.stop)
        self._outbox: list[tuple[int, bytes]] = []
        self._neighbours = neighbours_of(
            topology, router, key=key, secret=boot_nonce, outbox=self._outbox, now=now, timing=self.timing
        )
        self._wakefulness = Wakefulness(self.timing.dead_s, now)
        self._neighbours_due = now  # nothing is due with a neighbour before; what happens meanwhile only puts it off
        self._events: deque[Event] = deque()
        self._run: EpisodeRun | None = None
        self._ended = True  # whether the end of `_run` has been told
        self._trace: list[StepDone] = []
        self._waiting = Waiting(self.timing, now)

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
        return int(self._epoch.part.nodes[self._epoch.tree.root]) == self.router

    @property
    def running(self) -> int:
        """Number of the running episode, 0 if there is none."""
        return 0 if self._run is None or self._ended else self._run.order.episode

    def next_event(self) -> Event | None:
        """Return the oldest event that was not read yet."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[tuple[int, bytes]]:
        """Return (neighbour router, datagram) and forget them."""
        datagrams, self._outbox[:] = self._outbox.copy(), []
        return datagrams

    def overhead(self) -> dict[int, Overhead]:
        """Return what was sent over each of the router's links since the process began, as copies."""
        return {link: self._neighbours[int(self.topology.dst[link])].overhead.copy() for link in self.links}

    def refused_frames(self) -> int:
        """How many datagrams were not accepted."""
        return sum(neighbour.session.refused for neighbour in self._neighbours.values())

    def awake(self, now: float) -> bool:
        """Whether this process was not stopped for so long that its orders to OSPF are not to be carried out."""
        return self._wakefulness.lasts(now)

    # ---- what the adapter feeds

    def receive_datagram(self, data: bytes, sender: int, now: float) -> None:
        """Take a datagram that came over the link from router `sender`. What is not valid is counted and dropped."""
        self._notice(now)
        neighbour = self._neighbours[sender]
        frame, began = neighbour.receive(data, now)
        if began:
            self._events.append(NeighborUp(neighbour.name))
            if self._run is not None:
                self._run.reborn(sender)
                self._flush(now)
        if frame is not None:
            self._dispatch(neighbour, frame, now)

    def start_episode(self, order: Order, live: NDArray[np.int64], now: float) -> None:
        """Run an episode; one that still runs is aborted.

        `live` is (L,) int64, the weights in OSPF now, 0 for links that are down. An order of another epoch is refused.
        Raises ValueError while an episode commits or restores costs: `abort` it and wait for its end.
        """
        if self.running:
            self.abort(f"episode {order.episode} supersedes it", now)
        if self.running:
            raise ValueError(f"episode {self.running} has costs to set or to restore")
        try:
            self._epoch = order.epoch(self.topology)
        except NoEpoch as error:
            return self.refuse_episode(order.episode, str(error), now)
        if obstacle := self._epoch.obstacle(self.router, live):
            return self.refuse_episode(order.episode, obstacle, now)
        self._run = run = EpisodeRun(order, self._epoch, self._network, self.router, live)
        self._ended, self._trace = False, []
        run.begin(lossy=any(neighbour.session.lossy for neighbour in self._neighbours.values()))
        self._waiting.begin(run, max(neighbour.trip_s for neighbour in self._neighbours.values()), now)
        run.ospf_shows(live)
        if called_off := self._aborts.reason(order.episode):
            run.abort(called_off)
        for neighbour in self._neighbours.values():
            early = [frame for frame in neighbour.early if getattr(frame, "episode", 0) == order.episode]
            neighbour.early.clear()
            for frame in early:
                self._feed(run, neighbour, frame)
        strangers = sorted(set(run.neighbours) - set(self._sessions()))
        if strangers:
            run.abort(f"{self.name} has no session with {', '.join(self.topology.nodes[one] for one in strangers)}")
        self._flush(now)

    def refuse_episode(self, episode: int, reason: str, now: float) -> None:
        """Tell the neighbours that this router takes no part in an episode, so that none waits for it."""
        reason = f"{self.name} refuses: {reason}"
        abort = Abort.because(episode, reason)
        for neighbour in self._neighbours.values():
            neighbour.send(abort, "control", again=False, now=now)
        self._aborts.told(abort, self._sessions(), now)
        self._events.append(refusal(episode, reason, np.ones(self.topology.num_links, dtype=np.int64)))

    def ospf_shows(self, weights: NDArray[np.int64], now: float) -> None:
        """Take what the LSDB shows: (L,) int64, 0 for links over which OSPF does not route."""
        self._notice(now)
        if self._run is not None and self.running:
            self._run.ospf_shows(weights)
            self._flush(now)

    def link_lost(self, neighbour: int, now: float) -> None:
        """Take the device's word that the link to a neighbour router is down; OSPF will say so, too."""
        ends = " and ".join(self.topology.nodes[end] for end in (self.router, neighbour))
        self._lose(neighbour, f"the link between {ends} is down", now)

    def costs_set(self, problem: str, changed: int, now: float) -> None:
        """Answer a `SetCosts` event: the problem ("" if there is none) and how many costs were changed."""
        self._notice(now)
        if self._run is not None:
            self._run.costs_set(problem, changed)
            self._flush(now)

    def abort(self, reason: str, now: float) -> None:
        """End the running episode with OSPF as it was."""
        self._notice(now)
        if self._run is not None and not self._ended:
            self._run.abort(reason)
            self._flush(now)

    def get_timer(self) -> float:
        """Return when `handle_timer` is due."""
        due = min(self._neighbours_due, self._aborts.due())
        if self._run is None or self._ended or self._run.phase is Phase.UNDOING:
            return due
        return min(due, self._waiting.repeat_at, self._waiting.stalls_at(self._run))

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._notice(now)
        for router, neighbour in self._neighbours.items():
            silent_s = neighbour.keep_alive(now)
            if silent_s is not None:
                self._events.append(NeighborSilent(neighbour.name, silent_s))
                self._lose(router, f"{neighbour.name} was silent for {silent_s:.1f} s", now)
        self._neighbours_due = min(neighbour.due() for neighbour in self._neighbours.values())
        for router, abort in self._aborts.repeat(now):
            self._neighbours[router].send(abort, "control", again=True, now=now)
        run = self._run
        if run is not None and self.running and run.phase is not Phase.UNDOING:
            if now >= self._waiting.stalls_at(run):
                waiting, waited_s = ", ".join(run.waiting_for()) or "OSPF", round(self._waiting.waited_s(now), 1)
                run.stall(f"{self.name} waited {waited_s:g} s for {waiting} ({run.phase.value})")
            elif now >= self._waiting.repeat_at:
                run.repeat()
                self._waiting.repeated(run, now)
            self._flush(now)

    def _notice(self, now: float) -> None:
        """End the running episode if this process was stopped for so long that the others have gone on without it."""
        slept_s = self._wakefulness.slept_s(now)
        if slept_s and self._run is not None and self.running:
            reason = f"{self.name} did not run for {slept_s:.1f} s"
            if not self._run.conclusion.leave(reason):
                self._run.abort(reason)
            self._flush(now)

    def _sessions(self) -> list[int]:
        return [router for router, neighbour in self._neighbours.items() if neighbour.session.established]

    def _lose(self, router: int, reason: str, now: float) -> None:
        """Abort the running episode if a router is in it."""
        if self._run is not None and router in self._run.neighbours:
            self.abort(reason, now)

    def _dispatch(self, neighbour: Neighbour, frame: Frame, now: float) -> None:
        """Give an episode's frame to its run, keep it if the run is still to come, answer if the run is over."""
        assert isinstance(frame, EpisodeFrame)  # Init and Hello end in the session
        run = self._run
        mine = run is not None and frame.episode == run.order.episode
        if isinstance(frame, Abort):
            answer = self._aborts.heard(frame, neighbour.router)
            if answer is None:
                return
            neighbour.send(answer, "control", again=False, now=now)
            if not mine:
                self._aborts.call_off(frame.episode, frame.reason)
                return
        if run is not None and mine:
            self._feed(run, neighbour, frame)
            self._flush(now)
        elif reason := self._aborts.reason(frame.episode):
            if getattr(frame, "want", False):
                neighbour.send(Abort.because(frame.episode, reason), "control", again=False, now=now)
        elif run is None or frame.episode > run.order.episode:
            neighbour.early.append(frame)
        elif getattr(frame, "want", False):
            neighbour.send(Abort(frame.episode, "superseded"), "control", again=False, now=now)

    def _feed(self, run: EpisodeRun, neighbour: Neighbour, frame: Frame) -> None:
        try:
            run.receive(neighbour.router, frame, lossy=neighbour.session.lossy)
        except MalformedFrame:
            neighbour.session.refused += 1

    def _flush(self, now: float) -> None:
        """Send and tell what the run has produced, and set its timer."""
        run = self._run
        if run is None:
            return
        outbox, run.outbox = run.outbox, []
        for router, frame, again in outbox:
            if isinstance(frame, Abort) and not again:
                self._aborts.told(frame, set(run.neighbours) & set(self._sessions()), now)
            self._neighbours[router].send(frame, purpose_of(frame, run.sharing_passes), again=again, now=now)
        steps = [event for event in run.events if isinstance(event, StepDone)] if run.events else []
        self._trace += steps
        self._events.extend(run.events)
        run.events.clear()
        self._waiting.update(run, now, stepped=bool(steps))
        if run.phase is Phase.ENDED and not self._ended:
            self._ended = True
            self._events.append(ending_of(run, self._waiting.episode_s, self._waiting.commit_s, tuple(self._trace)))
