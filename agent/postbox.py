"""What an agent has to tell the coordinator and what it has heard from it, apart from any connection.

- The newest `Status` and the newest `Result` are sent again on every new connection: a broker that died forgot them,
  and the coordinator may come back later than the agent. It may get a result twice.
- Everything is bounded; the oldest goes first.
- QoS 1 delivers at least once: a `Start` that was seen before is not new.
- What an agent remembers of before its restart comes before its status: once it is there, an episode may begin.
"""

from __future__ import annotations

import logging
from collections import deque

import msgspec

from agent.control import Progress, Result, Start, Status

logger = logging.getLogger(__name__)

MAX_RESULTS = 8
MAX_PROGRESS = 1000


class Postbox:
    """Messages of one agent that are due.

    Parameters
    ----------
    router : its name
    newest_start : number of the newest episode that it knows

    Attributes
    ----------
    dropped : messages that were dropped because there were too many
    """

    def __init__(self, router: str, newest_start: int = 0) -> None:
        self.dropped = 0
        self._router = router
        self._newest_start = newest_start
        self._status = Status(router=router, online=True)
        self._status_due = True
        self._last_result: Result | None = None
        self._results: deque[Result] = deque(maxlen=MAX_RESULTS)
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)

    def set_status(self, status: Status) -> None:
        """Make a status due, in place of the one before."""
        self._status = status
        self._status_due = True

    def put(self, message: Progress | Result) -> None:
        """Make a message due, after those of its kind."""
        unsent: deque[Progress] | deque[Result] = self._progress if isinstance(message, Progress) else self._results
        if len(unsent) == unsent.maxlen:
            self.dropped += 1
            logger.warning("[%s] too many unsent messages, dropped a %s", self._router, type(message).__name__)
        if isinstance(message, Result):
            self._results.append(message)
            self._last_result = message
        else:
            self._progress.append(message)

    def connection_made(self) -> None:
        """Make due again what a new broker or coordinator does not know."""
        self._status_due = True
        if not self._results and self._last_result is not None:
            self._results.append(self._last_result)

    def take(self) -> Status | Progress | Result | None:
        """Return the next message to send; None: nothing is due. A result stays due until `sent`."""
        if self._results and self._results[0].remembered:
            return self._results[0]
        if self._status_due:
            self._status_due = False
            return msgspec.structs.replace(self._status, episode=max(self._status.episode, self._newest_start))
        if self._progress:
            return self._progress.popleft()
        return self._results[0] if self._results else None

    def sent(self, message: Status | Progress | Result) -> None:
        """Note that the broker has a message of `take`."""
        if self._results and self._results[0] is message:  # it may have been pushed out by newer ones
            self._results.popleft()

    def goodbye(self) -> Status:
        """Return the status of an agent that is no more."""
        return Status(router=self._router, online=False, episode=self._newest_start)

    def is_new(self, start: Start) -> bool:
        """Whether an episode is newer than all before; remembers it."""
        if start.episode <= self._newest_start:
            level = logging.DEBUG if start.episode == self._newest_start else logging.WARNING
            text = "[%s] dropped the start of episode %d, episode %d came before"
            logger.log(level, text, self._router, start.episode, self._newest_start)
            return False
        self._newest_start = start.episode
        self._status_due = True  # the retained one tells a coordinator that restarts which numbers are used up
        return True
