"""Outside bytes that reach more than a parser: a coordinator at work, ospfd's stream, frames on an impaired link."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import msgspec

from agent.control import LinkCounters, MalformedMessage, Progress, Result, Status, encode
from agent.frr import FrrError, FrrRouter
from agent.messages import MalformedFrame
from coordinator.mqtt import read_message
from coordinator.protocol import CoordinatorProtocol, Patience
from coordinator.report import line, record
from coordinator.request import make_request
from emulation.fabric import AGENT_PORT
from emulation.impair import is_for, marked
from experiments.fuzz_network import CHECKPOINT, NET, Target
from routing.initial import initial_weights
from routing.traffic import uniform

_WEIGHTS = initial_weights("inverse-capacity", NET).astype("<u2").tobytes()
_CHANGED = (2 * initial_weights("inverse-capacity", NET)).astype("<u2").tobytes()
_REQUEST = make_request(
    NET, uniform(NET, 1), initial_weights("inverse-capacity", NET), checkpoint=CHECKPOINT, steps=2, seed=1, watch_s=9.0
)
_FIRST = 100  # episode
_HORIZON_S = 300.0


def _status(router: str, **more: Any) -> Status:
    digest = NET.digest().hex()
    plain = Status(router=router, online=True, ready=True, topology=digest, checkpoint=CHECKPOINT, weights=_WEIGHTS)
    return msgspec.structs.replace(plain, **more)


def _result(router: str, **more: Any) -> Result:
    plain = Result(
        router=router, episode=_FIRST, status="committed", digest="5" * 32, steps=2, best_step=1,
        mlu_start=0.9, mlu_live=0.9, mlu_best=0.5,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **more)


def _reports() -> list[bytes]:
    """Return what router `a` may say, with its topic: statuses, steps, results, of the episode that runs and others."""
    counters = [LinkCounters(link=0, frames=3, bytes=90, hidden_bytes=90)]
    trace: dict[str, Any] = {"links": [[], [1], [2]], "mlu": [0.9, 0.5, 0.6], "best_weights": _CHANGED}
    messages: list[Status | Progress | Result] = [
        _status("a", episode=_FIRST),
        _status("a", waiting_for=["b"], episode=_FIRST, carried=[1e9], window=2),
        Status(router="a", online=False),
        Progress(episode=_FIRST, step=1, links=[2], mlu=0.5),
        _result("a", counters=counters, costs_changed=1, began=True, live_weights=_WEIGHTS, **trace),
        _result("a", status="aborted", reason="x", began=True, live_weights=_WEIGHTS, best_weights=_CHANGED),
        _result("a", status="kept", **trace),
    ]
    return [
        f"lockstep/default/agents/a/{type(message).__name__.lower()}".encode() + b"\0" + encode(message)
        for message in messages
    ]


class _Coordinator:
    """A coordinator in the middle of an episode, the clock in hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.protocol = CoordinatorProtocol(NET, first=_FIRST, patience=Patience())
        self.protocol.connection_made(self.now)
        self.protocol.submit(_REQUEST, self.now)
        for router in NET.nodes:
            self.protocol.receive(_status(router), self.now)
        self.wait(3.0)

    def say(self) -> None:
        """Do what the program does with whatever the protocol wants."""
        while (event := self.protocol.next_event()) is not None:
            line(event, NET)
            json.dumps(record(event))
        for message in self.protocol.messages_to_publish():
            encode(message)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (due := self.protocol.get_timer()) is not None and due <= end:
            self.now = max(due, self.now)
            self.protocol.handle_timer(self.now)
            self.say()
            if self.protocol.get_timer() == due:
                break
        self.now = end
        self.say()


def _coordinator(data: bytes) -> None:
    """Let one router of three say damaged things in an episode, at its end and afterwards."""
    topic, _, payload = data.partition(b"\0")
    said = read_message(topic.decode(errors="replace"), payload)
    coordinator = _Coordinator()
    for router in ("b", "c", "b"):
        coordinator.protocol.receive(said, coordinator.now)
        coordinator.say()
        coordinator.protocol.waiting_for()
        coordinator.wait(1.0)
        coordinator.protocol.receive(_result(router), coordinator.now)
    coordinator.wait(_HORIZON_S)


class _Writer:
    """The other direction of ospfd's stream: what is asked is not looked at."""

    def write(self, _: bytes) -> None:
        """Take a command."""

    async def drain(self) -> None:
        """Have sent it."""

    def close(self) -> None:
        """Close it."""

    async def wait_closed(self) -> None:
        """Have closed it."""


class _Ospfd(FrrRouter):
    """An ospfd that says what it is given, and hangs up."""

    said = b""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader()
        reader.feed_data(self.said)
        reader.feed_eof()
        self._streams = reader, _Writer()  # type: ignore[assignment]
        return self._streams  # type: ignore[return-value]


def _stream(loop: asyncio.AbstractEventLoop, data: bytes) -> None:
    async def ask() -> None:
        router = _Ospfd("/nowhere")
        router.said = data
        await router.costs()

    loop.run_until_complete(ask())


def _impaired(data: bytes) -> None:
    if not is_for(data, AGENT_PORT):
        raise MalformedFrame("another's")
    marked(data)


def targets() -> list[Target]:
    """Return all of them."""
    loop = asyncio.new_event_loop()
    answer = json.dumps({"interfaces": {"eth0": {"cost": 10, "timerPassiveIface": False}}}).encode()
    udp = struct.pack("!HHHH", AGENT_PORT, AGENT_PORT, 12, 0) + b"data"
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 1, 0, 255, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + udp
    return [
        Target("coordinator", _reports(), _coordinator, (MalformedMessage,)),
        Target("ospfd-stream", [answer + b"\0\0\0\0"], lambda data: _stream(loop, data), (FrrError,)),
        Target("impaired-frame", [b"\2" * 12 + b"\x08\0" + packet], _impaired, (MalformedFrame,)),
    ]
