"""Writing costs, one order after the other: replaced, abandoned, and never after the process was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from agent.events import SetCosts
from agent.ospf import ModelOspf, OspfProblem
from agent.wakefulness import Wakefulness
from agent.watch import CostWriter

pytestmark = pytest.mark.asyncio

LIVE = np.array([1, 1], dtype=np.int64)


class SlowOspf(ModelOspf):
    """Takes its time before it writes, and asks whether it still may, as FRR's adapter does."""

    def __init__(self) -> None:
        super().__init__(LIVE)
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.written: list[int] = []

    async def apply(self, order: SetCosts, awake: Callable[[], bool]) -> int:
        self.begun.set()
        await self.go_on.wait()
        if not awake():
            raise OspfProblem("too late")
        self.written.append(order.costs[0])
        return await super().apply(order, awake)


class Bench:
    """A writer at work, and what it has told."""

    def __init__(self) -> None:
        self.ospf = SlowOspf()
        self.awake = True
        self.told: list[tuple[str, int]] = []
        self.writer = CostWriter(self.ospf, lambda problem, changed: self.told.append((problem, changed)), self._awake)
        self.work = asyncio.create_task(self.writer.run())

    def _awake(self) -> bool:
        return self.awake

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.work.cancel()
        await asyncio.wait([self.work])


def order(cost: int, *, undo: bool = False) -> SetCosts:
    weights = np.array([cost, 1], dtype=np.int64)
    return SetCosts(1, {0: cost}, weights, undo, undo, {0: frozenset({1, cost})}, np.arange(2, dtype=np.int32), True)


async def test_orders_are_carried_out_and_told_in_their_order() -> None:
    bench = Bench()
    bench.ospf.go_on.set()
    bench.writer.put(order(5))
    await bench.settle()
    bench.writer.put(order(7))
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([5, 7], [("", 1), ("", 1)])
    await bench.close()


async def test_an_order_replaces_one_that_is_under_way() -> None:
    bench = Bench()
    bench.writer.put(order(5))
    await bench.ospf.begun.wait()
    bench.writer.put(order(1, undo=True))
    await bench.settle()
    bench.ospf.go_on.set()
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([1], [("interrupted", 0), ("", 0)])
    await bench.close()


async def test_what_is_abandoned_is_neither_done_nor_told_and_the_next_order_is() -> None:
    bench = Bench()
    bench.writer.put(order(5))
    await bench.ospf.begun.wait()
    bench.ospf.go_on.set()  # it could go on at once, and does not
    bench.writer.put(order(6))
    bench.writer.abandon()
    bench.writer.put(order(7))
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([7], [("", 1)])
    bench.writer.abandon()  # nothing is under way
    bench.writer.put(order(8))
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([7, 8], [("", 1), ("", 1)])
    await bench.close()


async def test_an_order_that_was_only_taken_is_abandoned_as_well() -> None:
    bench = Bench()
    bench.ospf.go_on.set()
    await bench.settle()
    bench.writer.put(order(5))
    await asyncio.sleep(0)  # it has left the queue, and nothing has begun
    assert not bench.ospf.begun.is_set()
    bench.writer.abandon()
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([], [])
    assert not bench.ospf.begun.is_set()
    await bench.close()


async def test_who_is_not_awake_says_so_instead_of_writing() -> None:
    bench = Bench()
    bench.writer.put(order(5))
    await bench.ospf.begun.wait()
    bench.awake = False
    bench.ospf.go_on.set()
    await bench.settle()
    assert (bench.ospf.written, bench.told) == ([], [("too late", 0)])
    await bench.close()


async def test_a_pause_is_told_once_and_only_if_it_was_long() -> None:
    wakefulness = Wakefulness(1.5, 10.0)
    assert wakefulness.slept_s(11.5) == 0.0
    assert wakefulness.lasts(13.0)
    assert not wakefulness.lasts(13.1)
    assert wakefulness.slept_s(14.5) == 3.0
    assert wakefulness.lasts(14.5)
    assert wakefulness.slept_s(14.5) == 0.0
