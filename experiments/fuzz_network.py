"""What reaches a program from other programs: datagrams, tree passes, MQTT messages and topics, ospfd's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from agent import agreement, control, messages
from agent.broker import parse_broker
from agent.choice import SHARING, Draw
from agent.control import MalformedMessage
from agent.frr import FrrError, FrrRouter
from agent.messages import MalformedFrame
from agent.order import Order, Refused
from agent.session import Session
from coordinator.mqtt import read_message
from routing.errors import InputError
from routing.initial import initial_weights
from routing.topology import Topology
from routing.traffic import uniform

NET = Topology.from_links("fuzz", ("a", "b", "c"), [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9)
CHECKPOINT = "1" * 32
_DRAW = Draw(seed=1, step=2, top=3)


class Accepted(Exception):
    """A forged frame was taken for a neighbour's."""


@dataclass(frozen=True)
class Target:
    """A parser of outside bytes.

    Attributes
    ----------
    name : what it reads
    good : inputs that it accepts; damaged ones are made from them
    parse : the parser
    declared : what it may raise
    """

    name: str
    good: Sequence[bytes]
    parse: Callable[[bytes], object]
    declared: tuple[type[Exception], ...]


def frames() -> list[bytes]:
    """Return a body of each kind."""
    digest = b"\1\2\3\4"
    return [
        messages.encode(frame)
        for frame in (
            messages.Init(b"12345678", b"", False),
            messages.Init(b"12345678", b"abcdefgh", True),
            messages.Hello(),
            messages.State(7, 3, 2, True, digest, bytes(range(32))),
            messages.Up(7, 3, False, digest, 0, 1, b"payload"),
            messages.Down(7, 3, digest, 1, 2, b"p" * 100),
            messages.Abort(7, "because"),
        )
    ]


def _session(local: int, remote: int, key: bytes = b"k" * 32, secret: bytes = b"s") -> Session:
    return Session(key=key, secret=secret + bytes([local]), local=local, remote=remote, context=b"net")


def _meet(one: Session, other: Session) -> list[bytes]:
    """Establish two sessions with each other; return the datagrams."""
    sent = [(other, one.init())]
    seen = []
    while sent:
        receiver, data = sent.pop(0)
        seen.append(data)
        _, answer = receiver.open(data)
        if answer is not None:
            sent.append((one if receiver is other else other, answer))
    return seen


def forged() -> Target:
    """Return the check that a session accepts no datagram but its peer's own, and each of these once.

    The inputs are recorded datagrams, damaged or not: the peer's (all delivered already), this end's own, those of an
    earlier session of the same two, of another domain key, and of another link. So whatever comes is to be refused.
    """
    key, here, peer = b"k" * 32, _session(0, 1), _session(1, 0)
    recorded: list[bytes] = []
    pairs = (
        (_session(0, 1, key, b"old"), _session(1, 0, key, b"old")),
        (_session(0, 1, b"x" * 32), _session(1, 0, b"x" * 32)),
        (_session(0, 2), _session(2, 0)),
        (here, peer),
    )
    for near, far in pairs:
        recorded += _meet(near, far)
        for body in frames()[2:]:
            for sender, receiver in ((far, near), (near, far)):
                data = sender.seal(messages.decode(body))
                receiver.open(data)
                recorded.append(data)

    def parse(data: bytes) -> None:
        begun = here.begun
        frame, _ = here.open(data)
        if frame is not None or here.begun != begun:
            raise Accepted(f"{frame}")
        raise MalformedFrame("an Init, which draws a challenge and changes nothing")

    return Target("forged", recorded, parse, (MalformedFrame,))


def _merge(share: str) -> Target:
    sharing = SHARING[share]
    logits, links = np.array([5, -7, 12], dtype=np.int64), np.array([0, 2, 3], dtype=np.int32)
    own = sharing.contribution(logits, links, _DRAW)
    other = sharing.contribution(np.array([3], dtype=np.int64), np.array([1], dtype=np.int32), _DRAW)

    def parse(payload: bytes) -> None:
        sharing.decide(sharing.merge([own, payload], _DRAW), _DRAW)

    def outcome(payload: bytes) -> None:
        sharing.decide(payload, _DRAW)

    def both(payload: bytes) -> None:
        try:
            parse(payload)
        except MalformedFrame:
            outcome(payload)

    return Target(f"tree-{share}", [other, own, sharing.merge([own, other], _DRAW)], both, (MalformedFrame,))


def _statements() -> list[Target]:
    encode = msgspec.msgpack.encode
    prepared = [encode(agreement.Prepared(b"d" * 16, 3, 0.5, 0.9, problem=problem)) for problem in ("", "p")]
    applied = [encode(agreement.Applied(1, 2)), encode(agreement.Applied(0, 0, "p"))]

    def prepare(payload: bytes) -> None:
        merged = agreement.merge_prepared([prepared[0], payload])
        agreement.verdict(agreement.decode(merged, agreement.Prepared), 3, 10)

    def apply(payload: bytes) -> None:
        agreement.decode(agreement.merge_applied([applied[0], payload]), agreement.Applied)

    return [
        Target("tree-prepared", prepared, prepare, (MalformedFrame,)),
        Target("tree-applied", applied, apply, (MalformedFrame,)),
    ]


def _start() -> control.Start:
    return control.Start(
        episode=9,
        seed=1,
        steps=4,
        topology=NET.digest().hex(),
        checkpoint=CHECKPOINT,
        traffic=uniform(NET, 1).demand.astype("<f8").tobytes(),
        start_weights=initial_weights("inverse-capacity", NET).astype("<u2").tobytes(),
    )


def _orders(payload: bytes) -> None:
    Order.from_message(control.decode(payload, control.Start), NET, CHECKPOINT)


def _results() -> list[control.Status | control.Progress | control.Result]:
    counters = [control.LinkCounters(link=0, frames=3, bytes=90, hidden_bytes=90)]
    return [
        control.Status(router="a", online=True, waiting_for=["b"], topology="0" * 32, checkpoint="1" * 32),
        control.Progress(episode=9, step=1, links=[2], mlu=0.5),
        control.Result(router="a", episode=9, status="committed", digest="5" * 32, counters=counters, steps=1),
        control.Result(
            router="a",
            episode=9,
            status="aborted",
            reason="x",
            links=[[], [1]],
            mlu=[1.0, 0.5],
            best_weights=b"\1\0" * 4,
        ),
    ]


def _agents_message(data: bytes) -> None:
    """Take a topic and a payload apart by a zero byte."""
    topic, _, payload = data.partition(b"\0")
    read_message(topic.decode(errors="replace"), payload)


class _Ospfd(FrrRouter):
    """An ospfd that answers with what it is given."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.answer = ""

    async def run(self, commands: Sequence[str], awake: Callable[[], bool] = lambda: True) -> list[str]:
        return [self.answer] * len(commands)


def _ospfd(data: bytes) -> None:
    router = _Ospfd()
    router.answer = data.decode(errors="replace")
    for question in (router.lsdb, router.costs):
        asked = question()
        try:
            asked.send(None)
        except StopIteration:  # nothing in it waits
            continue


def _ospfd_answers() -> list[bytes]:
    link = {"linkType": "another Router (point-to-point)", "neighborRouterId": "10.0.0.2", "tos0Metric": 10}
    instance = {"lsaAge": 3, "checksum": "94a9"}
    listed = {**instance, "advertisedRouter": "10.0.0.1", "sequenceNumber": "80000007"}
    lsa = {**instance, "advertisingRouter": "10.0.0.1", "lsaSeqNumber": "80000007", "routerLinks": {"link0": link}}
    interface = {"cost": 10, "timerPassiveIface": False}
    lists = {"areas": {"0.0.0.0": {"routerLinkStates": [listed]}}, "routerLinkStates": {"areas": {"0.0.0.0": [lsa]}}}
    return [json.dumps({**lists, "interfaces": {"eth0": interface}}).encode()]


def _address(data: bytes) -> None:
    parse_broker(data.decode(errors="replace"))


def targets() -> list[Target]:
    """Return all of them."""
    reports = [
        f"lockstep/default/agents/a/{type(message).__name__.lower()}".encode() + b"\0" + control.encode(message)
        for message in _results()
    ]
    addresses = [b"unix:/run/x.sock", b"broker.example.net:8883", b"192.0.2.1", b"[2001:db8::1]:1883"]
    cancel = control.encode(control.Cancel(episode=9, reason="x"))
    return [
        forged(),
        Target("frame", frames(), messages.decode, (MalformedFrame,)),
        *(_merge(share) for share in SHARING),
        *_statements(),
        Target("order", [control.encode(_start())], _orders, (MalformedMessage, Refused)),
        Target("cancel", [cancel], lambda data: control.decode(data, control.Cancel), (MalformedMessage,)),
        Target("report", reports, _agents_message, (MalformedMessage,)),
        Target("ospfd", _ospfd_answers(), _ospfd, (FrrError,)),
        Target("broker-address", addresses, _address, (InputError,)),
    ]
