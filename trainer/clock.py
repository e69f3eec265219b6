"""Where the time goes: seconds by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

STAGES = ("features", "network", "sampling", "environment", "learning")


class Clock:
    """Adds up the seconds of each stage; `timer` is wall-clock time, or `time.process_time` on a busy machine."""

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer = timer
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside toward a stage."""
        started = self._timer()
        yield
        self.seconds[name] += self._timer() - started

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what another clock counted."""
        for name, spent in seconds.items():
            self.seconds[name] += spent
