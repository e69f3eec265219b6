"""Damaged inputs from good ones: the same seed and number always give the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# What means something in one format or another, and what parsers have stumbled over.
FRAGMENTS = (
    *(bytes([value]) for value in b"\0\n\t\r \"'\\<>&/#+[](){},:=\x7f\xc1\xff"),
    *(
        b"",
        b"\n\n",
        b"-1",
        b"0",
        b"65536",
        b"1e999",
        b"nan",
        b"inf",
        b"-0.0",
        b"9" * 20,
        b"null",
        b"true",
        b"%s",
        b"../",
    ),
    *(b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"),  # MessagePack: 2^32 - 1 items
    *(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xcb\x7f\xf8\0\0\0\0\0\0"),  # its greatest number, and NaN
    *(b"(9999999999,)", b"(-1, 5)", b"<f8", b"|O", b"__metadata__"),  # arrays
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<![CDATA[", b"]]>", b"<graph>", b"</node>", b"<node id='x'/>"),
    *(b"NODES 3", b"node [", b"\xc3\xa4", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J"),
)
_LONGEST = 1 << 16  # bytes; what is longer is cut: repetition would make inputs grow without bound


def damaged(good: Sequence[bytes], seed: str) -> bytes:
    """Return one of the good inputs with one to four places damaged, or random bytes (one in sixteen)."""
    chance = random.Random(seed)
    if chance.random() < 1 / 16:
        return chance.randbytes(chance.randrange(0, 200))
    data = bytearray(chance.choice(good))
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(_WAYS)(data, good, chance)
    return bytes(data[:_LONGEST])


def _place(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 16, 64)))


def _flip(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _byte(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    start, end = _place(data, chance)
    del data[start:end]


def _insert(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    start, _end = _place(data, chance)
    data[start:start] = chance.choice(FRAGMENTS)


def _replace(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    start, end = _place(data, chance)
    data[start:end] = chance.choice(FRAGMENTS)


def _repeat(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    start, end = _place(data, chance)
    data[start:start] = data[start:end] * chance.choice((1, 2, 100))


def _end(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _splice(data: bytearray, good: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(good)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


_WAYS: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip, _flip, _byte, _cut, _insert, _replace, _replace, _repeat, _end, _splice,
)  # fmt: skip
