"""The coordinator's side of the conversation with the agents, without I/O: it is fed messages and the time.

The rules:

1. There is one episode at a time. A request waits until all agents are online and ready, and no episode runs.
2. A newer request supersedes: the running episode is cancelled, and the new one starts when the old one has ended. Of
   the requests that wait, only the newest is kept.
3. An episode ends when every router's result is in, or when nothing was heard of it for `silence_s`. If only offline
   agents are missing, or the episode was cancelled, `grace_s` is enough.
4. Time stands still while the broker is away: the episode runs on among the routers. After the reconnection the
   coordinator waits at least `grace_s`, in which the agents return and publish their results again.
5. Episode numbers grow, also over restarts of the coordinator: they begin with a clock (`first_episode`) and stay
   above every number that an agent has seen.
6. An agent that comes back without having seen the running episode gets its `Start` again.

States::

    IDLE --request, all ready--> RUNNING --results, silence--> IDLE
                                    | newer request, cancel()
                                    v
                                CANCELLING --results, grace--> IDLE
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agent.control import Cancel, Progress, Result, Start, Status
from coordinator import events
from coordinator.events import Event
from coordinator.outcome import listed, summarise

MAX_EPISODE = 2**31
_EPOCH = 1_577_836_800  # 2020-01-01 in Unix seconds: MAX_EPISODE lasts until 2088
_REASON = 1000  # longest reason, as in `Cancel`


class Phase(enum.Enum):
    """What the coordinator is about; see the module's docstring."""

    IDLE = enum.auto()
    RUNNING = enum.auto()
    CANCELLING = enum.auto()


@dataclass(frozen=True)
class Request:
    """An episode to run: what to call it, and its `Start`, whose number the protocol sets."""

    name: str
    start: Start


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes
    ----------
    silence_s : for the next sign of a running episode (a step or a result) before it is given up
    grace_s : for results that may not come: of offline agents, after a cancellation, after a reconnection
    """

    silence_s: float = 30.0
    grace_s: float = 5.0


def first_episode(unix_time: float) -> int:
    """Return where episode numbers begin for a coordinator started at `unix_time` (s): the seconds since 2020."""
    return min(max(int(unix_time) - _EPOCH, 1), MAX_EPISODE)


class CoordinatorProtocol:
    """Waits for agents, starts episodes, collects results.

    Parameters
    ----------
    routers : names of all routers, each of which runs an agent
    first : number of the first episode, see `first_episode`
    patience : how long to wait
    """

    def __init__(self, routers: Sequence[str], *, first: int, patience: Patience | None = None) -> None:
        self.phase = Phase.IDLE
        self._routers = tuple(routers)
        self._patience = patience or Patience()
        self._next_number = first
        self._agents: dict[str, Status] = {}  # those online
        self._strangers: set[str] = set()
        self._connected = False
        self._not_before = 0.0  # no episode is given up before
        self._was_ready = False
        self._waiting: Request | None = None
        self._running: Request | None = None
        self._start: Start | None = None
        self._results: dict[str, Result] = {}  # of the running episode
        self._last: dict[str, Result] = {}  # of the one before
        self._step = -1
        self._heard = self._moved = 0.0  # last sign of the episode; last time an agent came or went
        self._cancelled = ""
        self._ended = 0
        self._outbox: deque[Start | Cancel] = deque()
        self._events: deque[Event] = deque()

    def waiting_for(self) -> dict[str, str]:
        """Return what is wrong with each router that keeps a request from being started; empty if nothing is."""
        wanted = self._waiting.start if self._waiting else None
        found = {router: self._fault(self._agents.get(router), wanted) for router in self._routers}
        return {router: fault for router, fault in found.items() if fault}

    def _fault(self, agent: Status | None, wanted: Start | None) -> str:
        if agent is None:
            return "no agent" if self._connected else "no broker"
        if wanted and agent.topology not in ("", wanted.topology):
            return f"its agent has another topology ({agent.topology[:8]}, expected {wanted.topology[:8]})"
        if wanted and agent.checkpoint not in ("", wanted.checkpoint):
            return f"its agent has another checkpoint ({agent.checkpoint[:8]}, expected {wanted.checkpoint[:8]})"
        if not agent.ready:
            return f"not heard from {listed(agent.waiting_for)} yet" if agent.waiting_for else "not ready"
        return ""

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
        return tuple(router for router in self._routers if router not in self._results) if self._start else ()

    def connection_made(self, now: float) -> None:
        """Subscriptions stand; retained statuses follow."""
        self._connected = True
        self._not_before = now + self._patience.grace_s if self._start else now
        self._events.append(events.BrokerConnected())

    def connection_lost(self) -> None:
        """Forget who is online: the broker will say it again, or a new one will hear it from the agents."""
        if self._connected:
            self._connected = False
            self._agents.clear()
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
            self._receive_result(message, now)
        else:
            self._receive_progress(message, now)
        self._turn(now)

    def _is_ours(self, router: str) -> bool:
        if router in self._routers:
            return True
        if router not in self._strangers:
            self._strangers.add(router)
            self._events.append(events.UnknownAgent(router))
        return False

    def _receive_status(self, status: Status, now: float) -> None:
        router = status.router
        if not self._is_ours(router):
            return
        if not status.online:
            if self._agents.pop(router, None):
                self._moved = now  # the others need a moment to notice
                self._events.append(events.AgentLost(router))
            return
        if router not in self._agents:
            self._moved = now
            self._events.append(events.AgentJoined(router))
        self._agents[router] = status
        self._next_number = max(self._next_number, min(status.episode + 1, MAX_EPISODE))
        start = self._start if self.phase is Phase.RUNNING else None
        if start and status.episode < start.episode and router not in self._results and start not in self._outbox:
            self._outbox.append(start)

    def _receive_progress(self, progress: Progress, now: float) -> None:
        if self._start is None or progress.episode != self._start.episode or progress.step <= self._step:
            return
        self._step = progress.step
        if self.phase is Phase.RUNNING:
            self._heard = now
            links = tuple(progress.links)
            self._events.append(events.StepDone(progress.episode, progress.step, links, progress.mlu))

    def _receive_result(self, result: Result, now: float) -> None:
        if not self._is_ours(result.router):
            return
        if self._start is not None and result.episode == self._start.episode:
            self._heard = now
            self._results[result.router] = result
        elif result.episode == self._ended and self._last.get(result.router) != result:
            self._last[result.router] = result
            self._events.append(events.LateResult(result))

    def get_timer(self) -> float | None:
        """Return when to call `handle_timer`, on the clock of the other calls; None: not at all."""
        if self._start is None or not self._connected:
            return None
        silence, grace = self._patience.silence_s, self._patience.grace_s
        hopeless = self.phase is Phase.CANCELLING or not any(router in self._agents for router in self.missing)
        over = max(self._heard, self._moved) + grace if hopeless else self._heard + silence
        return max(over, self._not_before)

    def handle_timer(self, now: float) -> None:
        """Give up the episode if its time is over."""
        timer = self.get_timer()
        if timer is not None and now >= timer:
            self._give_up()
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
            self._end()
        ready = not self.waiting_for()
        if ready and not self._was_ready:
            self._events.append(events.AllReady(len(self._routers)))
        self._was_ready = ready
        if self.phase is Phase.IDLE and self._waiting is not None and ready and self._connected:
            self._begin(self._waiting, now)

    def _begin(self, request: Request, now: float) -> None:
        number = self._next_number
        self._next_number = min(number + 1, MAX_EPISODE)
        self.phase = Phase.RUNNING
        self._waiting, self._running = None, request
        self._start = msgspec.structs.replace(request.start, episode=number)
        self._results, self._step, self._cancelled, self._heard = {}, -1, "", now
        self._outbox.append(self._start)
        self._events.append(events.EpisodeStarted(number, request.name, request.start.steps))

    def _give_up(self) -> None:
        """Count what is missing as missing, and tell the agents."""
        assert self._start is not None
        if self.phase is Phase.RUNNING:
            reason = f"the coordinator has no result from {listed(self.missing)}"
            self._outbox.append(Cancel(episode=self._start.episode, reason=reason[:_REASON]))
        self._end()

    def _end(self) -> None:
        assert self._start is not None and self._running is not None
        number, name = self._start.episode, self._running.name
        superseded = self.phase is Phase.CANCELLING and self._waiting is not None
        outcome = summarise(number, name, self._routers, self._results, self._cancelled, superseded=superseded)
        self._events.append(events.EpisodeEnded(outcome))
        self.phase = Phase.IDLE
        self._start, self._running, self._ended, self._last = None, None, number, self._results
