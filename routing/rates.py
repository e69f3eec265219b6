"""Decimal numbers in other people's units (kbit/s, Mbit/s), read and written without losing a bit.

`scaled` rounds once, from the decimal text, so that what `in_units` writes is read back as the same float.
"""

from __future__ import annotations

import re
from decimal import Decimal

from routing.errors import InputError

PREFIXES = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12}
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,4}))?")
_RATE = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]{1,4})?) ?([kKMGT]?)(?:bit/s|bps|b/s)?")


def scaled(text: str, exponent: int = 0) -> float | None:
    """Return `text` times ten to the `exponent`, rounded once; None if it is no plain decimal number ("nan" is not)."""
    match = _NUMBER.fullmatch(text)
    return None if match is None else float(f"{match[1]}e{int(match[2] or 0) + exponent}")


def in_units(value: float, exponent: int) -> str:
    """Return finite `value` in units of ten to the `exponent`: the shortest text that `scaled` turns back into it."""
    shifted = Decimal(repr(float(value))).scaleb(-exponent)
    return format(shifted.normalize(), "f") if shifted else "0"


def parse_rate(text: str) -> float:
    """Return the bit/s of ``10G``, ``155.52 Mbit/s``, ``500kbps`` or ``1e9``; prefixes are powers of 1000.

    Raises InputError for anything else; zero is a rate.
    """
    match = _RATE.fullmatch(text.strip())
    value = match and scaled(match[1], PREFIXES[match[2]])
    if value is None or value == float("inf"):
        raise InputError(f"{text!r} is not a rate, expected bit/s with or without k, M, G or T, such as 10G")
    return value


def rate_text(value: float) -> str:
    """``9.953 Gbit/s``: four digits, for people."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g} {prefix}bit/s"
    return f"{value:.4g} bit/s"
