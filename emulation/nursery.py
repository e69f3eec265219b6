"""The process that agents are forked from: it has what they need in memory and nothing else.

A forked agent shares its parent's pages until one of the two writes to them, and counting references writes to nearly
every page that holds a used object. So the parent's size is part of the child's: the run itself, with Mininet, reports
and progress bars in it, would add a megabyte and a half to each agent. `python -m emulation.nursery` is started by
`Nursery`, which speaks to it in lines of JSON: a `Birth` in, a `Born` out; a `Death` out when an agent has ended.
It ends its agents when its input ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from agent.config import AgentConfig, load_config
from agent.program import Shared, load_shared, run_agent
from emulation.namespaces import die_with_parent
from emulation.processes import EmulationError
from emulation.spawn import Child, Spawner
from policy.warm import warm

_POLL_S = 0.05
_START_S = 60.0
_STOP_S = 10.0
_GONE = "the parent of the agents has ended"


class Birth(msgspec.Struct):
    """Start an agent: in the network namespace of a process (None: ours), by its configuration."""

    namespace: int | None
    config: str
    folder: str
    log: str


class Born(msgspec.Struct, tag=True):
    """An agent has started."""

    pid: int


class Death(msgspec.Struct, tag=True):
    """An agent has ended."""

    pid: int
    code: int


class Nursery:
    """The parent of agents, seen from the run.

    Attributes
    ----------
    children : in the order of their start

    Raises
    ------
    OSError : it cannot be started
    """

    def __init__(self) -> None:
        self.children: list[Child] = []
        # A session of its own: what the terminal signals is for the run, which ends it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "emulation.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
        )
        self._unread = b""
        self._ended: list[Child] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fork(self, name: str, namespace_pid: int | None, config: Path, folder: Path, log: Path) -> Child:
        """Fork an agent. Raises EmulationError if the nursery has failed."""
        assert self._process.stdin is not None
        birth = Birth(namespace_pid, *(str(path.resolve()) for path in (config, folder, log)))
        try:
            self._process.stdin.write(msgspec.json.encode(birth) + b"\n")
        except BrokenPipeError as error:
            raise EmulationError(_GONE) from error
        count = len(self.children)
        while len(self.children) == count:
            self._read(_START_S, name, log)
        return self.children[-1]

    def poll(self) -> list[Child]:
        """Return the agents that have ended since the last call. Raises EmulationError if the nursery has failed."""
        self._read(0.0)
        ended, self._ended = self._ended, []
        return ended

    def end(self) -> None:
        """Ask all agents to end, kill those that do not, and collect the nursery."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # and the kernel its children
            self._process.wait()
        self._process.stdout.close()

    def _read(self, timeout_s: float, name: str = "", log: Path = Path()) -> None:
        """Read what it says: agents that have started (the next is `name`) or ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], timeout_s)[0]:
            if timeout_s:
                raise EmulationError(f"the parent of the agents does not answer after {timeout_s:g} s")
            return
        data = os.read(descriptor, 65536)
        if not data:
            raise EmulationError(_GONE)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            news = msgspec.json.decode(line, type=Born | Death)
            if isinstance(news, Born):
                self.children.append(Child(name, news.pid, log))
            else:
                (child,) = (child for child in self.children if child.pid == news.pid)
                child.exit_code = news.code
                self._ended.append(child)


def live(config: AgentConfig, shared: Shared, folder: Path) -> int:
    """Life of a forked agent."""
    format_ = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=format_, stream=sys.stderr, force=True)
    return run_agent(config, shared, folder)


def _say(news: Born | Death) -> None:
    os.write(1, msgspec.json.encode(news) + b"\n")


def main() -> int:
    """Fork agents as they are asked for, and tell of their ends."""
    die_with_parent()
    # What has run once before the fork writes less after it: bytecode is specialised, names of attributes are cached.
    warm()
    uvloop.run(asyncio.sleep(0))
    spawner = Spawner()
    shared: Shared | None = None
    unread = b""
    while True:
        if select.select([0], [], [], _POLL_S)[0]:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                birth = msgspec.json.decode(line, type=Birth)
                config = load_config(Path(birth.config))
                shared = shared or load_shared(config)
                target = partial(live, config, shared, Path(birth.folder))
                _say(Born(spawner.fork(config.router, birth.namespace, target, Path(birth.log)).pid))
        for child in spawner.poll():
            assert child.exit_code is not None
            _say(Death(child.pid, child.exit_code))
    spawner.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
