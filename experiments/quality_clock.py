"""A budget of processor time: on a machine that others use, a second on the wall is not a second of work.

Methods measure wall-clock time and compare it with `Budget.seconds`. Here these grow with the waiting: they are the
wall-clock time at which the processor time will be used up, at the rate so far. So a method sees which share of its
budget it has used, whatever it cools or schedules by that, and stops when the processor time is over.
"""

from __future__ import annotations

import time

from baselines.result import Budget


class ProcessorBudget(Budget):
    """`Budget` whose `seconds` are processor time of this process (all threads), from now on; None is no limit."""

    def __init__(self, seconds: float | None = None, steps: int | None = None, enough: float | None = None) -> None:
        Budget(seconds, steps)  # checks the limits
        fields = {
            "processor_seconds": seconds,
            "steps": steps,
            "enough": enough,
            "_wall": time.perf_counter(),
            "_cpu": time.process_time(),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # as the frozen dataclass does itself

    processor_seconds: float | None
    _wall: float
    _cpu: float

    @property
    def seconds(self) -> float | None:
        """The wall-clock time from the start on that the processor seconds take at the rate so far."""
        if self.processor_seconds is None:
            return None
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return self.processor_seconds * (wall / cpu if cpu > 0 else 1.0)

    @property
    def nominal_seconds(self) -> float | None:
        """The processor seconds that were asked for."""
        return self.processor_seconds

    def part(self, share: float, steps: int | None) -> Budget:
        """Return a budget of a `share` of the processor seconds, from now on, and of `steps`."""
        seconds = self.processor_seconds
        return ProcessorBudget(None if seconds is None else share * seconds, steps, self.enough)


CLOCKS: dict[str, type[Budget]] = {"wall": Budget, "cpu": ProcessorBudget}
