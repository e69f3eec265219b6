"""Frames of neighbouring agents: literal bytes, an independent decoder, and whatever else may arrive."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages import (
    MAX_DATAGRAM,
    MAX_PART,
    MAX_PARTS,
    Abort,
    Down,
    Frame,
    Hello,
    Init,
    MalformedFrame,
    State,
    Up,
    decode,
    encode,
    printable,
)
from agent.session import OVERHEAD

NONCE = bytes(range(8))
DIGEST = b"\xde\xad\xbe\xef"
LARGEST = 2**32 - 1

# Frame, its bytes in hex, and the same as plain values.
LITERAL: list[tuple[Frame, str, list[object]]] = [
    (Init(NONCE, b"", False), "9400c4080001020304050607c400c2", [0, NONCE, b"", False]),
    (
        Init(NONCE, NONCE[::-1], True),
        "9400c4080001020304050607c4080706050403020100c3",
        [0, NONCE, NONCE[::-1], True],
    ),
    (Hello(), "9101", [1]),
    (
        State(1, 149, 7, False, DIGEST, b"\x00\x3c\x00\xbc"),
        "970201cc9507c2c404deadbeefc404003c00bc",
        [2, 1, 149, 7, False, DIGEST, b"\x00\x3c\x00\xbc"],
    ),
    (
        Up(70000, 3, True, DIGEST, 0, 2, b"\x91\x92\x05\x11"),
        "9803ce0001117003c3c404deadbeef0002c40491920511",
        [3, 70000, 3, True, DIGEST, 0, 2, b"\x91\x92\x05\x11"],
    ),
    (Down(1, 3, DIGEST, 1, 2, b""), "97040103c404deadbeef0102c400", [4, 1, 3, DIGEST, 1, 2, b""]),
    (Abort(9, "r4: é"), "930509a672343a20c3a9", [5, 9, "r4: é"]),
]

numbers = st.integers(0, LARGEST)
digests = st.binary(min_size=4, max_size=4)
payloads = st.binary(max_size=MAX_PART)
frames = st.one_of(
    st.builds(Init, st.binary(min_size=8, max_size=8), st.binary(max_size=8), st.booleans()),
    st.just(Hello()),
    st.builds(
        State, numbers, numbers, st.integers(0, 255), st.booleans(), digests, st.binary(min_size=2, max_size=1024)
    ),
    st.builds(
        Up, numbers, numbers, st.booleans(), digests, st.integers(0, MAX_PARTS - 1), st.integers(1, MAX_PARTS), payloads
    ),
    st.builds(Down, numbers, numbers, digests, st.integers(0, MAX_PARTS - 1), st.integers(1, MAX_PARTS), payloads),
    st.builds(Abort, numbers, st.text(max_size=300).map(printable)),
)


@pytest.mark.parametrize(("frame", "literal", "values"), LITERAL, ids=lambda value: type(value).__name__)
def test_frames_are_these_bytes(frame: Frame, literal: str, values: list[object]) -> None:
    assert encode(frame).hex() == literal
    assert decode(bytes.fromhex(literal)) == frame
    assert msgpack.unpackb(bytes.fromhex(literal)) == values
    assert decode(msgpack.packb(values)) == frame


@given(frames)
def test_every_frame_comes_back_and_another_library_reads_it(frame: Frame) -> None:
    body = encode(frame)
    assert decode(body) == frame
    assert decode(memoryview(body)) == frame
    kind, *values = msgpack.unpackb(body)
    assert kind == [Init, Hello, State, Up, Down, Abort].index(type(frame))
    assert tuple(values) == tuple(getattr(frame, name) for name in frame.__struct_fields__)


@pytest.mark.parametrize(
    "frame",
    [
        State(LARGEST, LARGEST, 255, True, DIGEST, bytes(1024)),
        Up(LARGEST, LARGEST, True, DIGEST, MAX_PARTS - 1, MAX_PARTS, bytes(MAX_PART)),
        Down(LARGEST, LARGEST, DIGEST, MAX_PARTS - 1, MAX_PARTS, bytes(MAX_PART)),
        Abort.because(LARGEST, "\U0001f4a5" * 400),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_the_largest_frame_of_a_kind_fits_a_datagram(frame: Frame) -> None:
    assert len(encode(frame)) + OVERHEAD <= MAX_DATAGRAM
    assert decode(encode(frame)) == frame


def test_the_reason_of_an_abort_is_cut_at_a_character() -> None:
    assert Abort.because(1, "short").reason == "short"
    assert set(Abort.because(1, "é" * 5000).reason) == {"é"}
    assert 300 < len(Abort.because(1, "a" * 5000).reason) <= 400


@pytest.mark.parametrize(
    "values",
    [
        [],
        [6],
        [-1],
        ["Hello"],
        [1, 0],  # a field too many
        [0, NONCE, b""],  # one too few
        [0, NONCE[:7], b"", False],
        [0, NONCE, bytes(9), False],
        [0, NONCE, b"", 0],
        [2, LARGEST + 1, 0, 0, False, DIGEST, b"xx"],
        [2, -1, 0, 0, False, DIGEST, b"xx"],
        [2, 1.0, 0, 0, False, DIGEST, b"xx"],
        [2, 0, 0, 256, False, DIGEST, b"xx"],
        [2, 0, 0, 0, False, DIGEST[:3], b"xx"],
        [2, 0, 0, 0, False, DIGEST, b"x"],
        [2, 0, 0, 0, False, DIGEST, bytes(1025)],
        [2, 0, 0, 0, False, DIGEST, "text"],
        [3, 0, 0, False, DIGEST, MAX_PARTS, MAX_PARTS, b""],
        [3, 0, 0, False, DIGEST, 0, 0, b""],
        [3, 0, 0, False, DIGEST, 0, MAX_PARTS + 1, b""],
        [3, 0, 0, False, DIGEST, 0, 1, bytes(MAX_PART + 1)],
        [4, 0, 0, DIGEST, 0, 1, bytes(MAX_PART + 1)],
        [5, 0, "x" * 401],
        [5, 0, b"bytes"],
        {"kind": 1},
        1,
        None,
        [[[[[[[[1]]]]]]]],
    ],
)
def test_what_breaks_the_schema_is_malformed(values: object) -> None:
    with pytest.raises(MalformedFrame) as raised:
        decode(msgpack.packb(values))
    assert raised.value.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        encode(Hello()) + b"\0",
        encode(LITERAL[3][0])[:-1],
        b"\x93\x05\x09\xa1\xff",  # not UTF-8
        b"\x91" * 1000,
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xc7\x08\x01" + bytes(8),  # an extension type
    ],
    ids=["empty", "more", "cut", "text", "deep", "long", "extension"],
)
def test_what_is_no_frame_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode(body)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=1400).map(lambda tail: b"\x97\x02" + tail)))
@settings(max_examples=500)
def test_random_bytes_are_a_frame_or_malformed(body: bytes) -> None:
    try:
        frame = decode(body)
    except MalformedFrame:
        return
    assert decode(encode(frame)) == frame


@given(frames, st.integers(0, 1399), st.integers(1, 255), st.integers(0, 3))
@settings(max_examples=500)
def test_damaged_frames_are_a_frame_or_malformed(frame: Frame, at: int, change: int, cut: int) -> None:
    body = bytearray(encode(frame))
    body[at % len(body)] ^= change
    try:
        decode(bytes(body[: len(body) - cut]))
    except MalformedFrame:
        return
