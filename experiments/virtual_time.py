"""Many programs under one virtual clock: each has an asyncio event loop, and no time passes but from event to event.

A `World` holds the clock, the seeded generator and the one queue of everything that will happen. A `VirtualLoop` is an
event loop whose handles go to that queue: the program on it is the one that users run, and cannot tell. Because a loop
is an object, its process can be stopped, continued or killed between any two of its callbacks, and a run can be
repeated exactly.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

from numpy.random import Generator, Philox

_FEW = 100  # cancelled handles that may stay in the queue
STORM = 100_000  # things that happen within one second; a small network needs a few thousand


class Storm(Exception):
    """Programs keep each other busy without end."""


class Timer(asyncio.TimerHandle):
    """A timer that knows whether it is in the world's queue."""

    queued = True


class World:
    """Clock, chance and what is to happen.

    Attributes
    ----------
    now : seconds since the beginning
    random : draws whatever is drawn in this world
    happened : how many things have happened so far; a moment between two of them is named by it
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random: Generator = Generator(Philox(key=seed))
        self.happened = 0
        self._second, self._before = 0.0, 0  # when the present second began, and what had happened before
        self._queue: list[tuple[float, int, Callable[[], None], Timer | None]] = []
        self._cancelled = 0  # of those in the queue
        self._order = itertools.count()
        self._moments: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, time: float, action: Callable[[], None], handle: Timer | None = None) -> None:
        """Do something at a time; at once, if that is over; not at all if its handle is cancelled until then."""
        heapq.heappush(self._queue, (max(time, self.now), next(self._order), action, handle))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self.at(self.now + delay_s, action)

    def when_happened(self, number: int, action: Callable[[], None]) -> None:
        """Do something as soon as `number` things have happened: between any two callbacks of any program."""
        heapq.heappush(self._moments, (number, next(self._order), action))

    def cancelled(self) -> None:
        """Note that a handle in the queue is about to be cancelled; forget those that are, when they are most."""
        self._cancelled += 1
        if self._cancelled > max(_FEW, len(self._queue) // 2):
            self._queue = [entry for entry in self._queue if entry[3] is None or not entry[3].cancelled()]
            heapq.heapify(self._queue)
            self._cancelled = 1

    def run_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Let things happen until a condition holds, or nothing is left before `limit_s` seconds are over.

        Returns whether the condition holds. If it does not, the clock stands at the limit. Raises `Storm`.
        """
        deadline = self.now + limit_s
        while not condition():
            while self._moments and self._moments[0][0] <= self.happened:
                heapq.heappop(self._moments)[2]()
            if not self._queue or self._queue[0][0] > deadline:
                self.now = deadline
                return False
            time, _, action, handle = heapq.heappop(self._queue)
            if handle is not None:
                handle.queued = False
                if handle.cancelled():
                    self._cancelled -= 1
                    continue
            self.now = time
            self.happened += 1
            if self.now >= self._second + 1.0:
                self._second, self._before = self.now, self.happened
            elif self.happened - self._before > STORM:
                raise Storm(f"more than {STORM} things happened within a second")
            action()
        return True

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)


class Readable(Protocol):
    """Something that a loop can watch for what comes in."""

    on_readable: Callable[[], None] | None

    def tell(self) -> None:
        """Call `on_readable` as long as there is something to read."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """The event loop of one process in a `World`.

    Attributes
    ----------
    name : of the process
    failures : exceptions that nobody caught
    paused, killed : see `pause` and `kill`
    watchers : called before each of its callbacks
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.failures: list[dict[str, Any]] = []
        self.paused = False
        self.killed = False
        self.watchers: list[Callable[[], None]] = []
        self._held: deque[asyncio.Handle] = deque()
        self._told = False  # that there is something to read

    # ---- from outside

    def start(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin the process with its main coroutine."""
        return self.create_task(main, name=self.name)

    def run(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call something as a callback of this loop, now."""
        asyncio._set_running_loop(self)
        try:
            callback(*arguments)
        finally:
            asyncio._set_running_loop(None)

    def pause(self) -> None:
        """Let none of its callbacks run, as SIGSTOP does."""
        self.paused = True

    def resume(self) -> None:
        """Let the callbacks that were held run now, in their order."""
        self.paused = False
        while self._held:
            handle = self._held.popleft()
            self.world.at(self.world.now, lambda handle=handle: self._run(handle))  # type: ignore[misc]

    def kill(self) -> None:
        """Let none of its callbacks run ever again."""
        self.killed = True
        self._held.clear()

    def _run(self, handle: asyncio.Handle) -> None:
        if self.killed or handle.cancelled():
            return
        if self.paused:
            self._held.append(handle)
            return
        for watcher in self.watchers:
            watcher()
        self.run(handle._run)

    # ---- what asyncio wants

    def time(self) -> float:
        """Return the world's time."""
        return self.world.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Put a callback into the queue."""
        handle = asyncio.Handle(callback, args, self, context)
        self.world.at(self.world.now, lambda: self._run(handle))
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Put a callback into the queue for later."""
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Put a callback into the queue for a time."""
        handle = Timer(when, callback, args, self, context)
        self.world.at(when, lambda: self._run(handle), handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Let the world forget it."""
        if isinstance(handle, Timer) and handle.queued:
            self.world.cancelled()

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Return a task of this loop."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        """Call back when one of the lab's descriptors has something to read; while the process is stopped, later."""
        watched: Readable = fd

        def read() -> None:
            self._told = False
            if watched.on_readable is not None:
                callback(*args)
                watched.tell()

        def on_readable() -> None:
            if not self._told:
                self._told = True
                self.call_soon(read)

        watched.on_readable = on_readable

    def remove_reader(self, fd: Any) -> bool:
        """Call back no more."""
        watched, fd.on_readable = fd.on_readable is not None, None
        return watched

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Do nothing: nobody signals a virtual process but by `kill` and `pause`."""

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Return whether the process lives."""
        return not self.killed

    def is_closed(self) -> bool:
        """Return whether the process was killed."""
        return self.killed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught; of a killed process it is nobody's business."""
        if not self.killed:
            self.failures.append(context)
