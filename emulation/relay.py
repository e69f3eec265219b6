"""Unix sockets in a run's namespaces, each relayed to a broker outside: emulated routers have no route to one.

The relay is a process that stays in the network namespace from which the run was started, where names are resolved and
the broker is reached. Each program of the run has a socket of its own, behind which the relay shows the broker that
program's certificate: so the broker's rules hold for each router as if it were connected itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from agent.credentials import Door
from emulation.namespaces import CLONE_NEWNET, setns
from emulation.processes import EmulationError
from emulation.spawn import Spawner

logger = logging.getLogger(__name__)

READY_S = 15.0
_POLL_S = 0.01
_PIECE = 1 << 16


@dataclass(frozen=True)
class Line:
    """A unix socket, which is made, and the door behind it."""

    path: Path
    door: Door


class Relay:
    """A relay as a child process, for the time of a `with` block.

    Parameters
    ----------
    lines : what to relay
    network : descriptor of the network namespace in which the brokers are
    log : file for what it has to say

    Raises
    ------
    EmulationError : the first line's broker cannot be entered
    """

    def __init__(self, lines: Sequence[Line], network: int, log: Path) -> None:
        self._lines = lines
        self._network = network
        self._log = log
        self._spawner = Spawner()

    def __enter__(self) -> Relay:
        self._spawner.fork("relay", None, self._run, self._log)
        deadline = time.monotonic() + READY_S
        try:
            while not all(line.path.exists() for line in self._lines):
                if self._spawner.poll() or time.monotonic() >= deadline:
                    said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
                    raise EmulationError(said[-1] if said else f"the relay is not ready ({self._log})")
                time.sleep(_POLL_S)
        except BaseException:
            self._spawner.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spawner.end()
        for line in self._lines:
            line.path.unlink(missing_ok=True)

    def _run(self) -> int:
        """Life of the child."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True)
        setns(self._network, CLONE_NEWNET)
        return asyncio.run(_serve(self._lines))


async def _serve(lines: Sequence[Line]) -> int:
    """Relay until SIGTERM; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with asyncio.timeout(READY_S):
            _, writer = await _enter(lines[0].door)
        writer.close()
    except OSError as error:  # a time-out and TLS's complaints are such, too
        print(f"broker {lines[0].door.address} cannot be entered: {error or 'no answer'}", file=sys.stderr)
        return 1
    for line in lines:
        await asyncio.start_unix_server(lambda *ends, line=line: _relay(line.door, *ends), line.path)
        line.path.chmod(0o600)
    await stop.wait()
    return 0


async def _enter(door: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = door.address
    return await asyncio.open_connection(address.host, address.port, ssl=door.tls)


async def _relay(door: Door, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
    """Carry one connection until either end closes it."""
    try:
        far, far_writer = await _enter(door)
    except OSError as error:
        logger.warning("broker %s cannot be entered: %s", door.address, error)
        near_writer.close()
        return
    pumps = [asyncio.create_task(_pump(near, far_writer)), asyncio.create_task(_pump(far, near_writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        near_writer.close()
        far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
