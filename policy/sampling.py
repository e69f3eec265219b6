"""All routers draw the same link: Gumbel-max over integers.

The owner of a link quantises its logit once, to q[l] in units of 2**-16 nat; from there on only integers travel and no
router computes with floats. For one step everybody evaluates

    score[l] = q[l] + g(seed, episode, step, l)

where g is Gumbel noise: the link with the highest score is a sample of softmax(q) (Gumbel 1954; Maddison et al. 2014),
and the n highest are n samples without replacement. The highest of the highest is the highest: routers may pass on
their best candidates instead of all scores, in any grouping.

The noise of a link needs no state: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")
encrypts the counter (link, step, episode, 0) under the key `seed`. Of the 128 bits, 64 make a uniform number u; g =
-log(-log(u)) comes from a stored integer table (`policy.gumbel`), not from a math library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from policy.gumbel import DEPTH, FINER_BITS, SEGMENT_BITS, table
from routing.jit import njit

UNIT_BITS = 16
UNIT = 1 << UNIT_BITS  # one nat
LARGEST = 1 << 45  # quantised logits saturate here: far beyond any noise, far from the end of int64

Candidate: TypeAlias = tuple[int, int]
"""(score, link)"""

_MASK = np.uint64(0xFFFFFFFF)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # Philox's multipliers and key increments
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_WORD = np.uint64(32)
_TOP = np.uint64(63)
_ONE = np.uint64(1)
_INTERPOLATED_BITS = 20

_TABLE = table()


class NonFiniteLogit(ArithmeticError):
    """A logit is NaN or infinite: the episode must stop. `position` is its index in the array."""

    def __init__(self, position: int, value: float) -> None:
        super().__init__(f"logit {position} is {value}")
        self.position = position
        self.value = value


def quantise(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.int64]:
    """Return logits / temperature in units of 2**-16 nat, (n,) int64, rounded to nearest.

    Raises
    ------
    NonFiniteLogit : a logit is NaN or infinite
    ValueError : temperature is not a positive number
    """
    if not 0.0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature}, expected a positive number")
    quantised = np.empty(len(logits), dtype=np.int64)
    bad = quantise_into(logits, temperature, quantised)
    if bad >= 0:
        raise NonFiniteLogit(bad, float(logits[bad]))
    return quantised


@njit("i8(f4[::1], f8, i8[::1])")
def quantise_into(logits: NDArray[np.float32], temperature: float, quantised: NDArray[np.int64]) -> int:
    """Kernel of `quantise`; returns the index of the first logit that is not finite, or -1."""
    for i in range(logits.shape[0]):
        nats = np.float64(logits[i])
        if not abs(nats) < np.inf:
            return i
        units = nats / temperature * np.float64(UNIT)
        if units >= np.float64(LARGEST):
            quantised[i] = LARGEST
        elif units <= -np.float64(LARGEST):
            quantised[i] = -LARGEST
        else:
            quantised[i] = np.int64(np.rint(units))
    return -1


@njit("UniTuple(u8, 4)(u8, u8, u8, u8, u8, u8)", inline=True)
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Encrypt four 32-bit words under two, all held in uint64: Philox4x32 with 10 rounds."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ k0, p1 & _MASK, (p0 >> _WORD) ^ c3 ^ k1, p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@njit("i8(u8, i4[::1])", inline=True)
def gumbel(uniform: np.uint64, values: NDArray[np.int32]) -> np.int64:
    """Return -log(-log(u)) in units of 2**-16 nat for u = (uniform + 1/2) / 2**64, from the table.

    Both ends of (0, 1) have octaves: the top bit says which end, the leading zeros of the distance to it which octave,
    the next bits which segment of it; the rest interpolates.
    """
    upper = (uniform >> _TOP) != np.uint64(0)
    distance = ~uniform if upper else uniform  # from the nearer end, in units of 2**-64, below 2**63
    # 53 bits become a float64 exactly: its exponent counts the leading zeros, its mantissa has the bits that follow the
    # first one. The ten bits that are dropped would only refine noise that one draw in 2**40 has.
    bits = np.float64(np.int64(distance >> np.uint64(10))).view(np.int64)
    zeros = np.int64(1023 + 52) - (bits >> np.int64(52))
    segment = (bits >> np.int64(52 - SEGMENT_BITS)) & np.int64((1 << SEGMENT_BITS) - 1)
    rest = (bits >> np.int64(52 - SEGMENT_BITS - _INTERPOLATED_BITS)) & np.int64((1 << _INTERPOLATED_BITS) - 1)
    if zeros >= DEPTH:  # 2**-48 of all draws
        zeros, segment, rest = np.int64(DEPTH - 1), np.int64(0), np.int64(0)
    octave = DEPTH + zeros if upper else zeros
    at = octave * ((1 << SEGMENT_BITS) + 1) + segment
    low = np.int64(values[at])
    rise = np.int64(values[at + 1]) - low
    fine = low + ((rise * rest) >> np.int64(_INTERPOLATED_BITS))
    return (fine + np.int64(1 << (FINER_BITS - 1))) >> np.int64(FINER_BITS)


@njit("void(i8[::1], i4[::1], u8, u8, u8, u8, i4[::1], i8[::1])")
def score_into(
    quantised: NDArray[np.int64],
    links: NDArray[np.int32],
    seed_low: np.uint64,
    seed_high: np.uint64,
    episode: np.uint64,
    step: np.uint64,
    values: NDArray[np.int32],
    out: NDArray[np.int64],
) -> None:
    """Kernel of `scores`."""
    for i in range(links.shape[0]):
        high, low, _, _ = philox(np.uint64(links[i]), step, episode, np.uint64(0), seed_low, seed_high)
        out[i] = quantised[i] + gumbel((high << _WORD) | low, values)


def scores(
    quantised: NDArray[np.int64], links: NDArray[np.int32], seed: int, episode: int, step: int
) -> NDArray[np.int64]:
    """Return the scores (n,) int64 of some links at one step.

    quantised : (n,) int64, from `quantise`
    links : (n,) int32, their indices
    seed : 0..2**64-1; episode, step : 0..2**32-1; ValueError beyond
    """
    if not (0 <= seed < 1 << 64 and 0 <= episode < 1 << 32 and 0 <= step < 1 << 32):
        raise ValueError(f"seed {seed}, episode {episode}, step {step}: expected 64, 32 and 32 bits")
    out = np.empty(len(links), dtype=np.int64)
    counter = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32), np.uint64(episode), np.uint64(step)
    score_into(quantised, links, *counter, _TABLE, out)
    return out


@njit("i8(i8[::1], i4[::1])", inline=True)
def best(scored: NDArray[np.int64], links: NDArray[np.int32]) -> int:
    """Return the position of the highest score, ties to the lowest link; there must be one."""
    at = 0
    for i in range(1, links.shape[0]):
        if scored[i] > scored[at] or (scored[i] == scored[at] and links[i] < links[at]):
            at = i
    return at


def choose(scored: NDArray[np.int64], links: NDArray[np.int32], top: int = 1) -> list[Candidate]:
    """Return the `top` highest (score, link), best first, ties to the lowest link; fewer if there are fewer links."""
    if top == 1 and len(links):
        at = best(scored, links)
        return [(int(scored[at]), int(links[at]))]
    if len(links) > top:
        # All that reach the n-th highest score: ties are settled below.
        least = np.partition(scored, len(scored) - top)[len(scored) - top]
        high = np.flatnonzero(scored >= least)
        scored, links = scored[high], links[high]
    return merge(zip(scored.tolist(), links.tolist(), strict=True), top)


def merge(candidates: Iterable[Candidate], top: int = 1) -> list[Candidate]:
    """Return the `top` best of candidates from anywhere, best first; a candidate that was heard twice counts once.

    Merging is associative, commutative and idempotent: any grouping of the links gives the winners of all links.
    """
    return sorted(set(candidates), key=lambda candidate: (-candidate[0], candidate[1]))[:top]
