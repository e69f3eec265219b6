"""Control messages on the wire: MessagePack that another library reads alike, and nothing else is taken."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.broker import BrokerAddress, parse_broker
from agent.control import (
    Cancel,
    LinkCounters,
    MalformedMessage,
    Message,
    Progress,
    Result,
    Start,
    Status,
    Topics,
    decode,
    encode,
)
from routing.errors import InputError

START = Start(
    episode=219_000_000,
    seed=2**63 - 1,
    steps=150,
    topology="0123456789abcdef" * 2,
    checkpoint="f" * 32,
    traffic=bytes(range(8)) * 4,
    start_weights=b"\x01\x00\xff\xff",
)
RESULT = Result(
    router="Zürich",
    episode=219_000_000,
    status="committed",
    digest="ab",
    steps=2,
    best_step=1,
    mlu_start=0.9,
    mlu_live=0.95,
    mlu_best=0.5,
    costs_changed=1,
    lsdb_verified=True,
    counters=[LinkCounters(link=3, frames=10, bytes=500, hidden_bytes=300, sharing_bytes=100, control_bytes=100)],
    links=[[3], [1, 2]],
    mlu=[0.9, 0.5, 0.6],
    best_weights=b"\x02\x00",
)
MESSAGES: list[Message] = [
    START,
    Cancel(episode=1, reason="superseded by m2"),
    Status(router="r1", online=True, ready=False, waiting_for=["r2"], episode=2**31),
    Progress(episode=5, step=0, links=[], mlu=float("inf")),
    RESULT,
]
each_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)


@each_message
def test_another_library_reads_the_same(message: Message) -> None:
    read = msgpack.unpackb(encode(message), strict_map_key=True)
    assert read == msgspec.to_builtins(message, builtin_types=(bytes,))
    assert decode(msgpack.packb(read), type(message)) == message


def test_bytes_of_a_cancel() -> None:
    assert encode(Cancel(episode=300, reason="x")) == b"\x82\xa7episode\xcd\x01\x2c\xa6reason\xa1x"


def altered(message: Message, **changes: Any) -> bytes:
    fields: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    packed: bytes = msgpack.packb(fields | changes)
    return packed


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (START, "episode", 0),
        (START, "episode", 2**31 + 1),
        (START, "seed", -1),
        (START, "seed", 2**63),
        (START, "steps", -1),
        (START, "increments", 65),
        (START, "temperature_milli", 0),
        (START, "share", "gossip"),
        (START, "topology", "F" * 32),
        (START, "checkpoint", "0" * 31),
        (START, "traffic", "text"),
        (START, "ecmp", 1),
        (START, "surprise", 1),
        (RESULT, "status", "won"),
        (RESULT, "router", ""),
        (RESULT, "router", "r" * 65),
        (RESULT, "reason", "r" * 1001),
        (RESULT, "mlu_best", "low"),
        (RESULT, "counters", [{"link": -1}]),
        (RESULT, "links", [[2**53 + 1]]),
        (RESULT, "links", [[1] * 65]),
        (RESULT, "mlu", [1.0] * 1_000_002),
        (RESULT, "digest", "0" * 33),
    ],
)
def test_values_outside_their_range_are_malformed(message: Message, field: str, value: object) -> None:
    with pytest.raises(MalformedMessage, match=f"not a {type(message).__name__}: "):
        decode(altered(message, **{field: value}), type(message))


@each_message
def test_truncated_messages_are_malformed(message: Message) -> None:
    payload = encode(message)
    for length in range(len(payload)):
        with pytest.raises(MalformedMessage):
            decode(payload[:length], type(message))
    with pytest.raises(MalformedMessage):
        decode(payload + b"\0", type(message))


@given(st.binary(max_size=200))
def test_noise_is_a_message_or_malformed(payload: bytes) -> None:
    for kind in (Start, Cancel, Status, Progress, Result):
        try:
            decode(payload, kind)
        except MalformedMessage:
            continue


def test_topics() -> None:
    topics = Topics("lab")
    assert (topics.start, topics.cancel) == ("lockstep/lab/start", "lockstep/lab/cancel")
    assert topics.status("r1") == "lockstep/lab/agents/r1/status"
    assert topics.result("r1") == "lockstep/lab/agents/r1/result"
    assert topics.all_status == topics.status("+")
    assert topics.all_results == topics.result("+")
    assert topics.all_progress == topics.progress("+")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", BrokerAddress(path="/run/x.sock")),
        ("localhost:1884", BrokerAddress(host="localhost", port=1884)),
        ("10.0.0.9", BrokerAddress(host="10.0.0.9", port=1883)),
        ("[::1]:1885", BrokerAddress(host="::1", port=1885)),
        ("[fe80::1%eth0]", BrokerAddress(host="fe80::1%eth0")),
    ],
)
def test_broker_addresses(text: str, address: BrokerAddress) -> None:
    assert parse_broker(text) == address
    assert parse_broker(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:run/x",
        "unix:/" + "x" * 107,
        "host:",
        "host:0",
        "host:65536",
        "a:b:c",
        "::1",
        "mqtt://h",
        "a b",
        "h:²",
    ],
)
def test_what_is_no_broker_address(text: str) -> None:
    with pytest.raises(InputError, match="broker "):
        parse_broker(text)
