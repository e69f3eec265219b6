"""`python -m coordinator`: wait for the agents, run an episode for each traffic matrix, print what happens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence

from coordinator import keygen
from coordinator.config import Config, parse_config
from coordinator.events import EpisodeEnded, Event
from coordinator.inputs import Inputs, WatchedFolder, load_inputs
from coordinator.mqtt import Coordinator
from coordinator.outcome import listed
from coordinator.protocol import CoordinatorProtocol, Patience, Phase, Request, first_episode
from coordinator.report import line, record
from routing.errors import InputError

DONE, INTERNAL, BAD_INPUT, ABORTED = 0, 1, 2, 3
POLL_S = 0.25  # how often a watched folder is looked at
TELL_S = 1.0  # how often missing agents are told, if they changed
STOP_S = 10.0  # for the agents' answers after the first signal


class Program:
    """Feeds the coordinator with requests and prints its events.

    Parameters
    ----------
    config : what to do
    inputs : topology, start weights and so on
    requests : to be run one after the other
    """

    def __init__(self, config: Config, inputs: Inputs, requests: Sequence[Request]) -> None:
        self._config = config
        self._inputs = inputs
        self._requests = deque(requests)
        self._newest: Request | None = None
        self._stays = config.watch is not None or config.every_s is not None
        self._aborted = False
        self._stopped_by = 0
        self._follower: asyncio.Task[int] | None = None
        protocol = CoordinatorProtocol(
            inputs.topology,
            first=first_episode(time.time()),
            patience=Patience(silence_s=config.silence_s, attempts=config.attempts, hold_s=config.hold_s),
        )
        self._protocol = protocol
        self._coordinator = Coordinator(protocol, config.door.address, domain=config.domain, tls=config.door.tls)

    async def run(self) -> int:
        """Work until all is done or a signal comes; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        async with asyncio.TaskGroup() as tasks:
            self._follower = tasks.create_task(self._follow(), name="events")
            others = [
                tasks.create_task(self._coordinator.run(), name="coordinator"),
                tasks.create_task(self._tell_missing(), name="missing agents"),
            ]
            if self._config.watch is not None:
                others.append(tasks.create_task(self._watch(WatchedFolder(self._config.watch)), name="watch"))
            if self._config.every_s is not None:
                others.append(tasks.create_task(self._repeat(self._config.every_s), name="every"))
            await asyncio.wait([self._follower])
            for task in others:
                task.cancel()
        if self._stopped_by:
            return 128 + self._stopped_by
        return self._follower.result()

    def _stop(self, number: int) -> None:
        """Cancel the running episode and wait for its end; do not wait at the second signal."""
        assert self._follower is not None
        again = bool(self._stopped_by)
        self._stopped_by = self._stopped_by or number
        self._coordinator.cancel("the coordinator was stopped")
        if again or self._protocol.phase is Phase.IDLE:
            self._follower.cancel()
        else:
            asyncio.get_running_loop().call_later(STOP_S, self._follower.cancel)

    async def _follow(self) -> int:
        self._next()
        while True:
            event = await self._coordinator.events.get()
            self._print(event)
            if isinstance(event, EpisodeEnded):
                outcome = event.outcome
                self._aborted |= outcome.verdict in ("aborted", "partial") and not (outcome.superseded or outcome.again)
                if self._stopped_by or not (outcome.again or self._next() or self._stays):
                    return ABORTED if self._aborted else DONE

    def _next(self) -> bool:
        """Submit the next request in line, if nothing newer is under way; return whether there is one."""
        if self._requests and self._protocol.idle:
            self._submit(self._requests.popleft())
            return True
        return bool(self._requests)

    def _submit(self, request: Request) -> None:
        self._newest = request
        self._coordinator.submit(request)

    async def _watch(self, folder: WatchedFolder) -> None:
        """Run the newest matrix of a folder whenever there is one; a bad file is reported and left alone."""
        while True:
            for path in reversed(folder.poll()):
                try:
                    request = self._inputs.request(str(path))
                except InputError as error:
                    print(f"coordinator: {error}", file=sys.stderr, flush=True)
                    continue
                self._requests.clear()  # older than what has just come
                self._submit(request)
                break
            await asyncio.sleep(POLL_S)

    async def _repeat(self, period_s: float) -> None:
        """Run the newest matrix again and again, unless an episode runs or waits."""
        while True:
            await asyncio.sleep(period_s)
            if self._newest is not None and self._protocol.idle:
                self._submit(self._newest)

    async def _tell_missing(self) -> None:
        """Say which agents a request waits for; give up after the time that the user allows."""
        loop = asyncio.get_running_loop()
        told: dict[str, str] = {}
        since = loop.time()
        while True:
            await asyncio.sleep(TELL_S)
            missing = self._protocol.waiting_for() if self._protocol.waiting else {}
            if not missing:
                since = loop.time()
            elif missing != told:
                self._print_missing(missing)
            told = missing
            if self._config.wait_s is not None and loop.time() - since >= self._config.wait_s:
                raise AgentsMissing(f"after {self._config.wait_s:g} s {_summary(missing)}")

    def _print_missing(self, missing: dict[str, str]) -> None:
        if self._config.json:
            print(json.dumps({"event": "waiting", "for": missing}), flush=True)
        else:
            print(f"waiting for {len(missing)} of {self._inputs.topology.num_nodes}: {_summary(missing)}", flush=True)

    def _print(self, event: Event) -> None:
        text = json.dumps(record(event)) if self._config.json else line(event, self._inputs.topology)
        print(text, flush=True)


class AgentsMissing(Exception):
    """Agents did not come in the time allowed."""


def _summary(missing: dict[str, str]) -> str:
    """Return what is wrong with which routers, routers with the same fault together."""
    by_fault: dict[str, list[str]] = {}
    for router, fault in missing.items():
        by_fault.setdefault(fault, []).append(router)
    return "; ".join(f"{fault}: {listed(routers)}" for fault, routers in by_fault.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    match arguments[:1]:  # the coordinator itself takes options only, so no word can be meant for it
        case ["keygen"]:
            return keygen.main(arguments[1:])
        case ["broker"]:
            return _make_broker(arguments[1:])
        case _:
            return _coordinate(arguments)


def _make_broker(arguments: Sequence[str]) -> int:
    """Only this command needs `cryptography`, which a coordinator can do without."""
    try:
        from coordinator import broker
    except ModuleNotFoundError as error:
        print(f"coordinator: {error.name} is not installed, expected it after scripts/setup broker", file=sys.stderr)
        return BAD_INPUT
    return broker.main(arguments)


def _coordinate(arguments: Sequence[str]) -> int:
    try:
        config = parse_config(arguments)
        logging.basicConfig(
            level=logging.INFO if config.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
        )
        inputs = load_inputs(config)
        requests = [inputs.request(traffic) for traffic in config.traffic]
    except InputError as error:
        print(f"coordinator: {error}", file=sys.stderr)
        return BAD_INPUT
    code = INTERNAL
    try:
        code = asyncio.run(_run(config, inputs, requests))
    except* AgentsMissing as errors:
        print(f"coordinator: {errors.exceptions[0]}", file=sys.stderr)
        code = ABORTED
    except* BrokenPipeError:
        # Whoever read our lines (`| head`) has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


async def _run(config: Config, inputs: Inputs, requests: Sequence[Request]) -> int:
    return await Program(config, inputs, requests).run()


if __name__ == "__main__":
    sys.exit(main())
