"""The coordinator's side of the conversation with the agents, without I/O: it is fed messages and the time.

The rules:

1. One episode at a time: a request waits until the agents allow an epoch (`coordinator.membership`) and none runs. Who
   was never there is waited for until nothing has changed for `gather_s`, agents that were lost only for `settle_s`.
2. A newer request supersedes: the running episode is cancelled, and the new one starts when the old one has ended. Of
   the requests that wait, only the newest is kept.
3. An episode ends when every member's result is in, or when nothing was heard of it for `silence_s`. If only agents are
   missing that are offline or silent, `settle_s` after they went is enough; if it was cancelled, `grace_s`.
4. An episode that was aborted is tried again, up to `attempts` times in all, unless a newer request waits.
5. Time stands still while the broker is away: the episode runs on among the routers. After the reconnection the
   coordinator waits at least `grace_s`, in which the agents return and publish their results again.
6. Episode numbers grow, also over restarts of the coordinator: they begin with a clock (`first_episode`) and stay
   above every number that an agent has seen.
7. An agent that comes back without having seen the running episode gets its `Start` again.
8. After a commit nothing is begun for `hold_s`, but what restores costs: a commit that was left half done, or one after
   which the links carry more than predicted (`coordinator.settlement`).
"""

from __future__ import annotations

from collections import deque

import msgspec

from agent.control import Cancel, Progress, Result, Start, Status
from coordinator import events
from coordinator.aftermath import Aftermath
from coordinator.events import Event
from coordinator.gathering import Gathering
from coordinator.outcome import fitting, listed, summarise
from coordinator.patience import Patience
from coordinator.phase import Phase
from coordinator.request import MAX_EPISODE, Request, first_episode
from routing.topology import Topology

__all__ = ["MAX_EPISODE", "CoordinatorProtocol", "Patience", "Phase", "Request", "first_episode"]

_REASON = 1000  # longest reason, as in `Cancel`


class CoordinatorProtocol:
    """Waits for agents, starts episodes, collects results.

    Parameters
    ----------
    topology : its nodes are the routers, each of which runs an agent
    first : number of the first episode, see `first_episode`
    patience : how long to wait
    scale : bit/s on the wire for each bit/s of the topology's capacities
    """

    def __init__(self, topology: Topology, *, first: int, patience: Patience | None = None, scale: float = 1.0) -> None:
        self.phase = Phase.IDLE
        self._topology = topology
        self._patience = patience or Patience()
        self._next_number = first
        self._gathering = Gathering(topology, self._patience)
        self.online = self._gathering.online
        self._aftermath = Aftermath(topology, self._patience, scale, first)
        self._connected = self._was_ready = self._blocked = False
        self._not_before = 0.0  # no episode is given up before
        self._told = ("", "")  # epoch and half done commit, as the user knows them
        self._waiting: Request | None = None
        self._running: Request | None = None
        self._start: Start | None = None
        self._members: tuple[str, ...] = ()
        self._results: dict[str, Result] = {}  # of the running episode
        self._last: dict[str, Result] = {}  # of the one before
        self._step = -1
        self._heard = 0.0  # last sign of the episode
        self._cancelled = ""
        self._ended = 0
        self._outbox: deque[Start | Cancel] = deque()
        self._events: deque[Event] = deque()

    def waiting_for(self) -> dict[str, str]:
        """Return what is wrong with each router that keeps a request from being started; empty if nothing is."""
        if not self._connected:
            return dict.fromkeys(self._topology.nodes, "no broker")
        return self._gathering.missing(self._waiting.start if self._waiting else None)

    @property
    def waiting(self) -> bool:
        """A request waits to be started."""
        return self._waiting is not None

    @property
    def idle(self) -> bool:
        """No episode runs and none waits."""
        return self.phase is Phase.IDLE and self._waiting is None

    @property
    def missing(self) -> tuple[str, ...]:
        """Routers whose result of the running episode has not come."""
        return tuple(router for router in self._members if router not in self._results) if self._start else ()

    def connection_made(self, now: float) -> None:
        """Subscriptions stand; retained statuses follow."""
        self._connected = True
        self._gathering.again(now)
        self._not_before = now + self._patience.grace_s if self._start else now
        self._events.append(events.BrokerConnected())

    def connection_lost(self) -> None:
        """Forget who is online: the broker will say it again, or a new one will hear it from the agents."""
        if self._connected:
            self._connected = False
            self._gathering.forget()
            self._was_ready = False
            self._events.append(events.BrokerLost())

    def submit(self, request: Request, now: float) -> None:
        """Run an episode as soon as possible; one that runs is cancelled, one that waits is dropped."""
        if self._waiting:
            self._events.append(events.RequestDropped(self._waiting.name, request.name))
        self._waiting = request
        self.cancel(f"superseded by {request.name}", now)
        self._turn(now)

    def cancel(self, reason: str, now: float) -> None:
        """End the running episode, if there is one; `EpisodeEnded` comes when the agents have answered."""
        if self.phase is not Phase.RUNNING or self._start is None:
            return
        self.phase = Phase.CANCELLING
        self._cancelled = reason[:_REASON]
        self._heard = now
        self._outbox.append(Cancel(episode=self._start.episode, reason=self._cancelled))
        self._events.append(events.EpisodeCancelled(self._start.episode, self._cancelled))

    def withdraw(self) -> None:
        """Forget the request that waits."""
        self._waiting = None

    def receive(self, message: Status | Progress | Result, now: float) -> None:
        """Take one decoded message of an agent."""
        if isinstance(message, Status):
            self._receive_status(message, now)
        elif isinstance(message, Result):
            self._receive_result(fitting(message, self._topology), now)
        else:
            self._receive_progress(message, now)
        self._turn(now)

    def _is_ours(self, router: str) -> bool:
        if router in self._topology.nodes:
            return True
        if self._gathering.strange(router):
            self._events.append(events.UnknownAgent(router))
        return False

    def _receive_status(self, status: Status, now: float) -> None:
        router = status.router
        if not self._is_ours(router):
            return
        if not status.online:
            if self._gathering.gone(router, now):
                self._events.append(events.AgentLost(router))
            return
        if self._gathering.here(status, now):
            self._events.append(events.AgentJoined(router))
        if self._aftermath.status(status, now):
            self._events.append(events.MoreThanPredicted(self._ended, self._aftermath.measured, self._aftermath.limit))
        self._next_number = max(self._next_number, min(status.episode + 1, MAX_EPISODE))
        start = self._start if self.phase is Phase.RUNNING else None
        missing = router in self.missing and start not in self._outbox
        if start and status.episode < start.episode and missing:
            self._outbox.append(start)

    def _receive_progress(self, progress: Progress, now: float) -> None:
        if self._start is None or progress.episode != self._start.episode or progress.step <= self._step:
            return
        self._step = progress.step
        if self.phase is Phase.RUNNING:
            self._heard = now
            self._events.append(events.StepDone(progress.episode, progress.step, tuple(progress.links), progress.mlu))

    def _receive_result(self, result: Result, now: float) -> None:
        if not self._is_ours(result.router):
            return
        running, router = self._start is not None and result.episode == self._start.episode, result.router
        said = self._results if running else self._last if result.episode == self._ended else {}
        if said.get(router) == result or (result.remembered and router in said):
            return
        said[router] = result
        if running:
            self._heard = now
        elif result.episode == self._ended:
            self._events.append(events.LateResult(result))
            self._aftermath.late(result, self._last, self._members, now)
        elif self._ended == 0 and self._start is None:
            self._aftermath.found(result, now)  # an episode of the coordinator before this one
        elif result.remembered and not self._aftermath.remembered(result, now) and result.began:
            self._events.append(events.OutdatedResult(result))

    def get_timer(self) -> float | None:
        """Return when to call `handle_timer`, on the clock of the other calls; None: not at all."""
        if not self._connected:
            return None
        if self._start is None:
            times = [self._aftermath.due()] if self._waiting or self._aftermath.template else []
            if self._waiting is not None and not self._blocked:
                times.append(self._aftermath.free_at(self._waiting.attempt))
            due = max(min(times, default=float("inf")), self._gathering.settled_at())
            return due if due < float("inf") else None
        patience, gathering = self._patience, self._gathering
        over = self._heard + patience.silence_s
        if self.phase is Phase.CANCELLING:
            over = max(self._heard, gathering.moved_at) + patience.grace_s
        return max(min(over, gathering.given_up_at(self.missing)), self._not_before)

    def handle_timer(self, now: float) -> None:
        """Give up the episode if its time is over; begin what has waited long enough."""
        if (timer := self.get_timer()) is not None and now >= timer:
            if self._start is not None:
                self._give_up(now)
            self._turn(now)

    def next_event(self) -> Event | None:
        """Return the oldest event not yet returned."""
        return self._events.popleft() if self._events else None

    def messages_to_publish(self) -> list[Start | Cancel]:
        """Return messages to be published in this order, each once; the broker is there, or will be."""
        messages = list(self._outbox)
        self._outbox.clear()
        return messages

    def _turn(self, now: float) -> None:
        """Take every step that is due."""
        if self._start is not None and not self.missing:
            self._end(now)
        ready = not self.waiting_for()
        if ready and not self._was_ready:
            self._events.append(events.AllReady(self._topology.num_nodes))
        self._was_ready = ready
        request = self._waiting
        proposal = self._gathering.proposal(request.start if request else self._start, now)
        if self.phase is not Phase.IDLE or not self._connected:
            return
        half = self._aftermath.half_done(proposal, self._topology)
        if half != self._told[1] and (not half or now >= self._aftermath.due()):
            self._told = self._told[0], half
            self._events.append(events.HalfCommitted(self._ended or self._aftermath.commit, half))
        blocked = self._blocked = bool(half) and now < self._aftermath.due()
        template = request.start if request else self._aftermath.template
        if template is not None and now >= self._gathering.settled_at():
            restoring = self._aftermath.restoring(proposal, template, now)
            if restoring is not None:
                self._begin(Request(self._aftermath.name, restoring), now)
            elif request is not None and not blocked and now >= self._aftermath.free_at(request.attempt):
                self._begin(request, now)

    def _begin(self, request: Request, now: float) -> None:
        number = self._next_number
        proposal = self._gathering.proposal(request.start, now)
        self._next_number = min(number + 1, MAX_EPISODE)
        self.phase = Phase.RUNNING
        if request is self._waiting:
            self._waiting = None
        self._running = request
        self._start = msgspec.structs.replace(
            request.start, episode=number, down=list(proposal.down), absent=list(proposal.absent)
        )
        self._members = proposal.members(self._topology)
        self._results, self._step, self._cancelled, self._heard = {}, -1, "", now
        self._outbox.append(self._start)
        epoch = self._gathering.describe(proposal)
        if epoch != self._told[0] and (self._told[0] or proposal.down or proposal.absent):
            self._events.append(events.EpochFormed(epoch))
        self._told = epoch, self._told[1]
        self._events.append(events.EpisodeStarted(number, request.name, request.start.steps))

    def _give_up(self, now: float) -> None:
        """Count what is missing as missing, and tell the agents."""
        assert self._start is not None
        if self.phase is Phase.RUNNING:
            reason = f"the coordinator has no result from {listed(self.missing)}"
            self._outbox.append(Cancel(episode=self._start.episode, reason=reason[:_REASON]))
        self._end(now)

    def _end(self, now: float) -> None:
        assert self._start is not None and self._running is not None
        number, request = self._start.episode, self._running
        superseded = self.phase is Phase.CANCELLING and self._waiting is not None
        failed = not self._cancelled and not all(
            router in self._results and self._results[router].status != "aborted" for router in self._members
        )
        again = failed and not self._start.restore and request.attempt < self._patience.attempts
        outcome = summarise(
            number, request.name, self._members, self._results, self._cancelled, superseded=superseded, again=again
        )
        self._events.append(events.EpisodeEnded(outcome))
        self.phase = Phase.IDLE
        self._aftermath.began(self._start)
        self._aftermath.ended(number, self._results, self._members, now)
        if again and self._waiting is None:
            self._waiting = Request(request.name, request.start, request.attempt + 1)
        self._start, self._running, self._ended, self._last = None, None, number, self._results
