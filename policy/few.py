"""The kernels of one router's links: the network of `policy.layers` where the links are few and the units many.

There the compiler's vectors run over links; a router has two or three, so here they run over the units of a layer. Each
unit of each link is still `bias + w0 x0 + w1 x1 + ...` from left to right, and whatever follows happens in the same
order: the bits are the same. Hidden states come in and go out as the float16 numbers that travel.

| symbol | shape | meaning |
|---|---|---|
| turned | (P,) float32 | all parameters, weights (in, out), where `flat` has them (out, in) |
| plan | int64 | as in `policy.layers` |
| own | (n, D) float32 | hidden states of the router's links |
| heard | (m, D) uint16 | bits of the float16 hidden states of the links into it |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.layers import (
    ACTIVATION,
    AGGREGATION,
    BIAS,
    ENCODE,
    END,
    FEATURES,
    HIDDEN,
    IN,
    MEAN,
    MESSAGE,
    MINMAX,
    OUT,
    READOUT,
    RECORD,
    RECORDS,
    RESIDUAL,
    SKIP,
    UPDATE,
    WEIGHT,
    WIDEST,
    Float32,
    Int64,
    activate,
)
from policy.portable import half
from routing.jit import njit

UInt16 = NDArray[np.uint16]

_ZERO = np.float32(0.0)
_MAGNITUDE = np.uint32(0x7FFF)
_INFINITY = np.uint32(0x7C00)
_SINGLE_INFINITY = np.uint32(0x7F800000)
_SCALE = np.float32(2.0**112)  # the ratio of the exponents' offsets
_SINGLE_MAGNITUDE = np.uint32(0x7FFFFFFF)
_SINGLE_NORMAL = np.uint32(0x38800000)  # 2**-14, the smallest normal float16
_OFFSET = np.uint32(112 << 23)
_DROPPED = np.uint32(13)
_SIGN_SHIFT = np.uint32(16)
_SIGN = np.uint32(0x8000)
_QUIET = np.uint32(0x7E00)


def turned(flat: Float32, plan: Int64) -> Float32:
    """Return the parameters with each layer's weights as (in, out)."""
    result = flat.copy()
    for layer in range(int(plan[END])):
        at = RECORDS + RECORD * layer
        fan_in, fan_out, weight = (int(plan[at + place]) for place in (IN, OUT, WEIGHT))
        block = slice(weight, weight + fan_in * fan_out)
        result[block] = flat[block].reshape(fan_out, fan_in).T.ravel()
    return result


@njit("f4(u2)", inline=True)
def _single(bits: np.uint16) -> np.float32:
    """Return a float16, given by its bits, as float32: exact."""
    magnitude = np.uint32(bits) & _MAGNITUDE
    value = np.uint32(magnitude << _DROPPED).view(np.float32) * _SCALE  # subnormals come out right
    wide = np.float32(value).view(np.uint32)
    wide = (magnitude << _DROPPED) | _SINGLE_INFINITY if magnitude >= _INFINITY else wide
    return np.uint32(wide | ((np.uint32(bits) & _SIGN) << _SIGN_SHIFT)).view(np.float32)


@njit("u2(f4)", inline=True)
def _bits(value: np.float32) -> np.uint16:
    """Return the bits of a float16 value, NaN included, that is held as float32."""
    wide = np.float32(value).view(np.uint32)
    magnitude = wide & _SINGLE_MAGNITUDE
    narrow = (magnitude - _OFFSET) >> _DROPPED
    if magnitude < _SINGLE_NORMAL:
        narrow = np.uint32(np.uint32(magnitude).view(np.float32) * np.float32(2.0**24))
    narrow = _INFINITY if magnitude == _SINGLE_INFINITY else narrow
    narrow = _QUIET if magnitude > _SINGLE_INFINITY else narrow
    return np.uint16(narrow | ((wide >> _SIGN_SHIFT) & _SIGN))


@njit("void(f4[::1], i8, i8, i8, i8, f4[:, ::1], f4[:, ::1], i8)", inline=True)
def _dense(
    turned: Float32, weight: int, bias: int, fan_in: int, fan_out: int, x: Float32, out: Float32, rows: int
) -> None:
    """Write products of x (rows, fan_in) on top of the bias, or of nothing (bias < 0), into `out` (rows, fan_out)."""
    for r in range(rows):
        for o in range(fan_out):
            out[r, o] = turned[np.uint64(bias + o)] if bias >= 0 else _ZERO
        i = 0
        while i + 4 <= fan_in:
            x0, x1, x2, x3 = x[r, i], x[r, i + 1], x[r, i + 2], x[r, i + 3]
            at0 = weight + i * fan_out
            at1 = at0 + fan_out
            at2 = at1 + fan_out
            at3 = at2 + fan_out
            for o in range(fan_out):
                # An unsigned index cannot count from the end, which keeps the compiler from vectorising.
                w0, w1 = turned[np.uint64(at0 + o)], turned[np.uint64(at1 + o)]
                w2, w3 = turned[np.uint64(at2 + o)], turned[np.uint64(at3 + o)]
                out[r, o] = (((out[r, o] + w0 * x0) + w1 * x1) + w2 * x2) + w3 * x3
            i += 4
        while i < fan_in:
            at0, x0 = weight + i * fan_out, x[r, i]
            for o in range(fan_out):
                out[r, o] += turned[np.uint64(at0 + o)] * x0
            i += 1


@njit("f4[:, ::1](f4[::1], i8[::1], i8, i8, b1, f4[:, ::1], f4[:, ::1], f4[:, ::1], i8)")
def _layers(
    turned: Float32,
    plan: Int64,
    begin: int,
    end: int,
    activate_last: bool,
    x: Float32,
    one: Float32,
    two: Float32,
    rows: int,
) -> Float32:
    """Send x (rows, ..) through layers begin..end-1 with two buffers in turns (x may be `two`); return the last."""
    for layer in range(begin, end):
        at = RECORDS + RECORD * layer
        fan_in, fan_out = plan[at + IN], plan[at + OUT]
        _dense(turned, plan[at + WEIGHT], plan[at + BIAS], fan_in, fan_out, x, one, rows)
        if activate_last or layer < end - 1:
            activate(plan[ACTIVATION], one, rows, fan_out)
        x = one
        one, two = two, one
    return x


@njit("void(i8, f4[:, ::1], i8, i8, i8, f4[:, ::1], i8, i8)", inline=True)
def _aggregate(
    kind: int, messages: Float32, begin: int, count: int, size: int, out: Float32, r: int, left: int
) -> None:
    """Reduce rows begin..begin+count-1 of messages (.., size) to row r of `out`, from column `left` on; none give 0."""
    right = left + size
    for o in range(size):
        first = messages[begin, o] if count > 0 and kind == MINMAX else _ZERO
        out[r, np.uint64(left + o)] = first
        if kind == MINMAX:
            out[r, np.uint64(right + o)] = first
    for a in range(begin, begin + count):
        if kind == MINMAX:
            for o in range(size):
                value, least, greatest = messages[a, o], out[r, np.uint64(left + o)], out[r, np.uint64(right + o)]
                # Written so that a NaN is kept.
                out[r, np.uint64(left + o)] = least if least <= value or least != least else value
                out[r, np.uint64(right + o)] = greatest if greatest >= value or greatest != greatest else value
        else:
            for o in range(size):
                out[r, np.uint64(left + o)] += messages[a, o]
    if kind == MEAN and count > 0:
        for o in range(size):
            out[r, np.uint64(left + o)] /= np.float32(count)


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], u2[:, ::1])")
def initial(turned: Float32, plan: Int64, x: Float32, hidden: Float32, sent: UInt16) -> None:
    """Write the hidden states (n, D) of the features x (n, F), and their bits."""
    rows = x.shape[0]
    one = np.empty((rows, plan[WIDEST]), np.float32)
    two = np.empty((rows, plan[WIDEST]), np.float32)
    encoded = _layers(turned, plan, plan[ENCODE], plan[MESSAGE], True, x, one, two, rows)
    filled = plan[HIDDEN] if plan[ENCODE] < plan[MESSAGE] else plan[FEATURES]
    for r in range(rows):
        for o in range(plan[HIDDEN]):
            hidden[r, o] = half(encoded[r, o]) if o < filled else _ZERO
            sent[r, o] = _bits(hidden[r, o])


@njit("void(f4[::1], i8[::1], f4[:, ::1], u2[:, ::1], f4[:, ::1], u2[:, ::1])")
def exchange(turned: Float32, plan: Int64, own: Float32, heard: UInt16, out: Float32, sent: UInt16) -> None:
    """One round: every own link hears all that came; write the next hidden states (n, D), and their bits."""
    hidden, rows, sources = plan[HIDDEN], own.shape[0], heard.shape[0]
    message, update = plan[MESSAGE], plan[UPDATE]
    source = np.empty((sources, hidden), np.float32)
    for s in range(sources):
        for o in range(hidden):
            source[s, o] = _single(heard[s, o])

    # The first message layer is linear in both ends: computed once per link, not once per adjacency.
    at = RECORDS + RECORD * message
    size, weight = plan[at + OUT], plan[at + WEIGHT]
    spoken = np.empty((sources, size), np.float32)
    listening = np.empty((rows, size), np.float32)
    _dense(turned, weight, -1, hidden, size, source, spoken, sources)
    _dense(turned, weight + hidden * size, plan[at + BIAS], hidden, size, own, listening, rows)
    pairs = rows * sources
    one = np.empty((max(pairs, rows), plan[WIDEST]), np.float32)
    two = np.empty((max(pairs, rows), plan[WIDEST]), np.float32)
    for r in range(rows):
        for s in range(sources):
            for o in range(size):
                two[r * sources + s, o] = spoken[s, o] + listening[r, o]
    activate(plan[ACTIVATION], two, pairs, size)
    messages = _layers(turned, plan, message + 1, update, True, two, one, two, pairs)

    at = RECORDS + RECORD * update
    fan_in, size = plan[at + IN], plan[at + OUT]
    known = np.empty((rows, fan_in), np.float32)  # own hidden state, then what was heard
    message_size = plan[RECORDS + RECORD * (update - 1) + OUT]
    for r in range(rows):
        for o in range(hidden):
            known[r, o] = own[r, o]
        _aggregate(plan[AGGREGATION], messages, r * sources, sources, message_size, known, r, hidden)
    _dense(turned, plan[at + WEIGHT], plan[at + BIAS], fan_in, size, known, two, rows)
    activate(plan[ACTIVATION], two, rows, size)
    updated = _layers(turned, plan, update + 1, plan[READOUT], True, two, one, two, rows)
    for r in range(rows):
        for o in range(hidden):
            out[r, o] = half(own[r, o] + updated[r, o]) if plan[RESIDUAL] else half(updated[r, o])
            sent[r, o] = _bits(out[r, o])


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], f4[::1])")
def read_out(turned: Float32, plan: Int64, hidden: Float32, x: Float32, logits: Float32) -> None:
    """Write the logits (n,) of hidden states (n, D) and features x (n, F)."""
    rows = hidden.shape[0]
    one = np.empty((rows, plan[WIDEST]), np.float32)
    two = np.empty((rows, plan[WIDEST]), np.float32)
    last = _layers(turned, plan, plan[READOUT], plan[END], False, hidden, one, two, rows)
    for r in range(rows):
        logits[r] = last[r, 0]
        if plan[SKIP] >= 0:
            logits[r] += turned[plan[SKIP]] * x[r, 0]
