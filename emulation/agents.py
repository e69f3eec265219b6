"""The agents' processes of a run: one per router, forked from one warm process or started by command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from agent.config import AgentConfig
from agent.program import Shared
from emulation.agentconf import AGENT_FILE, Place, write_config
from emulation.nursery import Nursery, live
from emulation.processes import EmulationError
from emulation.spawn import Child, Spawner, processor_time, proportional_memory

LOG_FILE = "agent.log"


def command(folder: Path) -> list[str]:
    """Return the command that runs the agent whose configuration is in a router's folder."""
    return [sys.executable, "-m", "agent", "--config", str(folder / AGENT_FILE), "--folder", str(folder)]


class Agents:
    """The agents of all routers.

    Parameters
    ----------
    configs : one per router, in node order
    place : where they run
    folder : node -> the router's folder, which exists
    """

    def __init__(self, configs: Sequence[AgentConfig], place: Place, folder: Callable[[int], Path]) -> None:
        # What an agent must not forget is beside its log; a model of OSPF forgets its costs with the process.
        self._configs = [
            replace(config, state=str(folder(node).resolve())) if config.ospf else config
            for node, config in enumerate(configs)
        ]
        self._place = place
        self._folder = folder
        self._spawner: Spawner | Nursery | None = None
        self._killed: set[str] = set()
        for node, config in enumerate(self._configs):
            write_config(folder(node), config)

    @property
    def pids(self) -> list[int]:
        """Process ids, in node order."""
        return [child.pid for child in self._spawner.children] if self._spawner else []

    def fork(self, shared: Shared) -> None:
        """Start all from this process: at once, but with their share of all that it holds."""
        spawner = self._spawner = Spawner()
        for node, config in enumerate(self._configs):
            folder = self._folder(node)
            target = partial(live, config, shared, folder)
            spawner.fork(config.router, self._place.namespace(node), target, folder / LOG_FILE)

    def hatch(self) -> None:
        """Start all from one process that has only what agents need (`emulation.nursery`)."""
        nursery = self._spawner = Nursery()
        for node, config in enumerate(self._configs):
            folder = self._folder(node)
            nursery.fork(config.router, self._place.namespace(node), folder / AGENT_FILE, folder, log=folder / LOG_FILE)

    def execute(self) -> None:
        """Start all by their command line."""
        spawner = self._spawner = Spawner()
        for node, config in enumerate(self._configs):
            folder = self._folder(node)
            spawner.execute(config.router, self._place.namespace(node), command(folder), folder / LOG_FILE)

    def check_alive(self) -> None:
        """Raise `EmulationError` if an agent has ended, with the end of its log."""
        for child in self._spawner.poll() if self._spawner else ():
            if child.name in self._killed:
                continue
            raise EmulationError(f"the agent of {child.name} ended with code {child.exit_code}: {_last_words(child)}")

    def kill(self, node: int) -> None:
        """End a router's agent at once, as when its power fails."""
        self._killed.add(self._configs[node].router)
        os.kill(self.pids[node], signal.SIGKILL)

    def memory(self) -> float:
        """Return the mean memory in bytes of the agents not killed, shared pages counted in proportion (PSS)."""
        used = [
            proportional_memory(pid)
            for config, pid in zip(self._configs, self.pids, strict=True)
            if config.router not in self._killed
        ]
        return sum(used) / len(used)

    def processor_times(self) -> NDArray[np.float64]:
        """Return the seconds that each agent has computed so far, in node order, (N,) float64; NaN for a killed one."""
        times = [
            float("nan") if config.router in self._killed else processor_time(pid)
            for config, pid in zip(self._configs, self.pids, strict=True)
        ]
        return np.array(times, dtype=np.float64)

    def stop(self) -> None:
        """End all; each leaves the totals of its frames in its folder."""
        if self._spawner:
            self._spawner.end()


def _last_words(child: Child) -> str:
    lines = child.log.read_text(encoding="utf-8", errors="replace").splitlines() if child.log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
