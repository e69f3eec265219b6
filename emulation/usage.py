"""What the agents' processes take of the machine during an episode."""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from emulation.agents import Agents
from emulation.records import Computing


class AgentsUsage:
    """Looks at the agents' processes at the first step and at the end.

    Attributes
    ----------
    memory_bytes : mean of an agent's memory at the first step
    """

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self.memory_bytes = 0.0
        self._before: tuple[float, NDArray[np.float64]] | None = None

    def begin(self) -> None:
        """Note what the agents have used before the first step. Raises OSError if one is gone."""
        self.memory_bytes = self._agents.memory()
        self._before = time.monotonic(), self._agents.processor_times()

    def end(self, rounds: int) -> Computing | None:
        """Return what they took since then for `rounds` exchanges; None if there was no first step."""
        if self._before is None:
            return None
        seconds = time.monotonic() - self._before[0]
        used = self._agents.processor_times() - self._before[1]
        used = used[~np.isnan(used)]
        cores = len(os.sched_getaffinity(0))
        return Computing(
            cpu_s_mean=float(used.mean()),
            cpu_s_busiest=float(used.max()),
            cores=cores,
            share=float(used.sum()) / seconds / cores,
            memory_bytes=self._agents.memory(),
            rounds_per_s=rounds / seconds,
        )
