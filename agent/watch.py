"""The agent's dealings with its router that take time: costs are written, OSPF is watched, links are measured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from agent.events import SetCosts
from agent.ospf import Ospf, OspfProblem, rest

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # how often OSPF is asked without any news
SETTLE_S = 0.01  # between news and the question: one change brings many
WINDOW_S = 5.0  # of a measurement after a commit


class CostWriter:
    """Carries out what the protocol wants OSPF to do, one after the other; what is to be undone is not waited for.

    Parameters
    ----------
    ospf : which does it
    done : told (problem or "", costs changed), once for each order that is not abandoned, in their order
    awake : whether this process was not stopped for long; if it was, nothing is written any more
    """

    def __init__(self, ospf: Ospf, done: Callable[[str, int], None], awake: Callable[[], bool]) -> None:
        self._ospf = ospf
        self._done = done
        self._awake = awake
        self._orders: asyncio.Queue[tuple[int, SetCosts]] = asyncio.Queue()  # with their numbers, from 1 on
        self._newest = self._abandoned = 0  # numbers of orders
        self._work: asyncio.Task[tuple[str, int]] | None = None

    def put(self, order: SetCosts) -> None:
        """Carry an order out, in place of one that is under way."""
        self._newest += 1
        self._orders.put_nowait((self._newest, order))

    def abandon(self) -> None:
        """Leave what was ordered so far as it is, and tell nobody: the episode is over."""
        self._abandoned = self._newest
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        number, order = await self._orders.get()
        while True:
            work = self._work = asyncio.create_task(self._apply(order), name="apply costs")
            if number <= self._abandoned:
                work.cancel()  # before its first step
            following = asyncio.create_task(self._orders.get(), name="next costs")
            try:
                await asyncio.wait([work, following], return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    work.cancel()
                    await asyncio.wait([work])
                self._work = None
                if number > self._abandoned:
                    self._done(*(("interrupted", 0) if work.cancelled() else work.result()))
                number, order = await following
            finally:
                work.cancel()
                following.cancel()

    async def _apply(self, order: SetCosts) -> tuple[str, int]:
        try:
            return "", await self._ospf.apply(order, self._awake)
        except OspfProblem as error:
            logger.error("episode %d: %s", order.episode, error)
            return str(error), 0


class OspfWatch:
    """Knows what OSPF shows, and what the router's links carry.

    Parameters
    ----------
    ospf : to be asked
    shows : told all weights, (L,) int64, when they have changed, and None when OSPF has a problem
    lost : told the name of an interface that went down

    Attributes
    ----------
    weights : what OSPF shows, 0 for links over which it does not route; None: unknown
    problem : why, then
    carried, window : bit/s over each of the router's links in the last window of a measurement, and its number
    """

    def __init__(
        self, ospf: Ospf, shows: Callable[[NDArray[np.int64] | None], None], lost: Callable[[str], None]
    ) -> None:
        self.weights: NDArray[np.int64] | None = None
        self.problem = "OSPF has not been asked yet"
        self.carried: list[float] = []
        self.window = 0
        self._ospf = ospf
        self._shows = shows
        self._lost = lost
        self._news = asyncio.Event()
        self._windows_left = 0

    def look_now(self) -> None:
        """Ask OSPF again."""
        self._news.set()

    def lose(self, links: list[int]) -> None:
        """Take links for down until OSPF has been asked again: the device was sooner."""
        if self.weights is not None:
            self.weights = self.weights.copy()
            self.weights[links] = 0
        self._news.set()

    async def look(self) -> None:
        """Follow what OSPF shows: at once when the kernel has news, and now and then."""
        self._ospf.watch(self._news.set, self._lost)
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            asked = loop.time()
            try:
                weights = await self._ospf.live()
                if self.weights is None or np.any(weights != self.weights):
                    self.weights, self.problem = weights, ""
                    self._shows(weights)
            except OspfProblem as error:
                if str(error) != self.problem:
                    self.weights, self.problem = None, str(error)
                    self._shows(None)
            took = loop.time() - asked
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
                await asyncio.sleep(rest(took, SETTLE_S))

    def measure_for(self, seconds: float) -> None:
        """Measure for a while from now on; 0: no more."""
        self._windows_left = int(seconds // WINDOW_S)

    async def measure(self) -> None:
        """Count what the links carry, window by window, while that is wanted."""
        loop = asyncio.get_running_loop()
        before, began = self._ospf.carried(), loop.time()
        while True:
            await asyncio.sleep(WINDOW_S)
            now, ended = self._ospf.carried(), loop.time()
            if self._windows_left and before.keys() == now.keys() and now:
                self._windows_left -= 1
                self.carried = [8.0 * (now[link] - before[link]) / (ended - began) for link in sorted(now)]
                self.window += 1
                self._shows(None)
            before, began = now, ended
