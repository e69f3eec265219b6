"""Kernels of the message-passing network: every number is made by a fixed sequence of float32 operations.

Arrays stand with links (or adjacencies) as their last axis, so that the compiler vectorises over links: each output
unit of each link is still `bias + w0 x0 + w1 x1 + ...` from left to right. The result for a link therefore does not
depend on which other links are computed with it, nor on the width of a CPU's vectors.

| symbol | shape | meaning |
|---|---|---|
| flat | (P,) float32 | all parameters, weights (out, in) as torch stores them |
| plan | int64 | sizes and where in `flat` each layer lies; made by `policy.mpnn.Network` |
| own | (D, n) float32 | hidden states of the receiving links |
| source | (D, m) float32 | hidden states of the sending links |
| senders, receivers | (A,) uint32 | adjacencies, ascending by receiver, then sender: indices into `source` and `own` |
| first | (n+1,) int64 | the adjacencies of receiver r are ``first[r]:first[r+1]`` |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.portable import half, tanh
from policy.preset import LEAKY_SLOPE
from routing.jit import njit

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
UInt32 = NDArray[np.uint32]

# Places in `plan`: numbers, then the first layer of each part (and the end), then a record of each layer.
HIDDEN, FEATURES, ROUNDS, ACTIVATION, AGGREGATION, RESIDUAL, SKIP, WIDEST = range(8)
ENCODE, MESSAGE, UPDATE, READOUT, END = range(8, 13)
RECORDS = 13
IN, OUT, WEIGHT, BIAS, RECORD = range(5)

TANH, LEAKY_RELU = range(2)
MEAN, MINMAX, SUM = range(3)

_FROM_ZERO, _FROM_BIAS, _ADD = range(3)
_BLOCK = 1024  # adjacencies handled at once: their messages stay in the second-level cache
_SLOPE = np.float32(LEAKY_SLOPE)


@njit("void(f4[::1], i8, i8, i8, i8, i8, i8, f4[:, ::1], f4[:, ::1], i8)", inline=True)
def _dense(
    flat: Float32,
    weight: int,
    stride: int,
    bias: int,
    start: int,
    fan_in: int,
    fan_out: int,
    x: Float32,
    out: Float32,
    lanes: int,
) -> None:
    """Write products of x (fan_in, lanes) into `out` (fan_out, lanes), on top of nothing, the bias or `out`."""
    for o in range(fan_out):
        if start != _ADD:
            value = flat[bias + o] if start == _FROM_BIAS else np.float32(0.0)
            for r in range(lanes):
                out[o, r] = value
        at = weight + o * stride
        i = 0
        while i + 4 <= fan_in:
            w0, w1, w2, w3 = flat[at + i], flat[at + i + 1], flat[at + i + 2], flat[at + i + 3]
            for r in range(lanes):
                out[o, r] = (((out[o, r] + w0 * x[i, r]) + w1 * x[i + 1, r]) + w2 * x[i + 2, r]) + w3 * x[i + 3, r]
            i += 4
        while i < fan_in:
            w0 = flat[at + i]
            for r in range(lanes):
                out[o, r] += w0 * x[i, r]
            i += 1


@njit("void(i8, f4[:, ::1], i8, i8)", inline=True)
def activate(kind: int, values: Float32, rows: int, lanes: int) -> None:
    """Apply the activation to values[:rows, :lanes]."""
    for o in range(rows):
        if kind == TANH:
            for r in range(lanes):
                values[o, r] = tanh(values[o, r])
        else:
            for r in range(lanes):
                value = values[o, r]
                values[o, r] = value if value > np.float32(0.0) else _SLOPE * value


@njit("f4[:, ::1](f4[::1], i8[::1], i8, i8, b1, f4[:, ::1], f4[:, ::1], f4[:, ::1], i8)")
def _layers(
    flat: Float32,
    plan: Int64,
    begin: int,
    end: int,
    activate_last: bool,
    x: Float32,
    one: Float32,
    two: Float32,
    lanes: int,
) -> Float32:
    """Send x (.., lanes) through layers begin..end-1 with two buffers in turns (x may be `two`); return the last."""
    for layer in range(begin, end):
        at = RECORDS + RECORD * layer
        fan_in, fan_out = plan[at + IN], plan[at + OUT]
        _dense(flat, plan[at + WEIGHT], fan_in, plan[at + BIAS], _FROM_BIAS, fan_in, fan_out, x, one, lanes)
        if activate_last or layer < end - 1:
            activate(plan[ACTIVATION], one, fan_out, lanes)
        x = one
        one, two = two, one
    return x


@njit("void(i8, f4[:, ::1], i8[::1], i8, i8, i8, f4[:, ::1])")
def _aggregate(kind: int, messages: Float32, first: Int64, begin: int, end: int, size: int, out: Float32) -> None:
    """Reduce messages (size, ..) to receivers begin..end-1, senders ascending, into `out`; no sender gives zeros."""
    base = first[begin]
    for o in range(size):
        for r in range(begin, end):
            low, high = first[r] - base, first[r + 1] - base
            if kind == MINMAX:
                least = greatest = messages[o, low] if low < high else np.float32(0.0)
                for a in range(low + 1, high):
                    value = messages[o, a]
                    # Written so that a NaN is kept.
                    least = least if least <= value or least != least else value
                    greatest = greatest if greatest >= value or greatest != greatest else value
                out[o, r] = least
                out[size + o, r] = greatest
            else:
                total = np.float32(0.0)
                for a in range(low, high):
                    total += messages[o, a]
                if kind == MEAN and low < high:
                    total /= np.float32(high - low)
                out[o, r] = total


@njit("void(b1, f4[:, ::1], f4[:, ::1], u4[::1], i8[::1], f4[:, ::1])")
def _sum_leaky(mean: bool, sent: Float32, heard: Float32, senders: UInt32, first: Int64, out: Float32) -> None:
    """Sum (or average) the messages ``leaky(sent + heard)`` of one layer to each receiver, senders ascending.

    The same operations as the general way below in the same order, with a message's numbers side by side: it is made
    and added in registers.
    """
    size, lanes = heard.shape
    spoken, listening = sent.T.copy(), heard.T.copy()
    total = np.empty(size, np.float32)
    for r in range(lanes):
        total[:] = np.float32(0.0)
        mine = listening[r]
        for a in range(first[r], first[r + 1]):
            theirs = spoken[senders[a]]
            for o in range(size):
                value = theirs[o] + mine[o]
                total[o] += value if value > np.float32(0.0) else _SLOPE * value
        count = np.float32(max(first[r + 1] - first[r], 1)) if mean else np.float32(1.0)
        for o in range(size):
            out[o, r] = total[o] / count


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], i8, f4[:, ::1], f4[:, ::1])")
def encode(flat: Float32, plan: Int64, x: Float32, hidden: Float32, lanes: int, one: Float32, two: Float32) -> None:
    """Write the initial hidden states (D, lanes) of the features x (F, lanes)."""
    encoded = _layers(flat, plan, plan[ENCODE], plan[MESSAGE], True, x, one, two, lanes)
    filled = plan[HIDDEN] if plan[ENCODE] < plan[MESSAGE] else plan[FEATURES]
    for o in range(plan[HIDDEN]):
        for r in range(lanes):
            hidden[o, r] = half(encoded[o, r]) if o < filled else np.float32(0.0)


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], u4[::1], u4[::1], i8[::1], f4[:, ::1])")
def exchange(
    flat: Float32,
    plan: Int64,
    own: Float32,
    source: Float32,
    senders: UInt32,
    receivers: UInt32,
    first: Int64,
    out: Float32,
) -> None:
    """One round: messages from `source` to `own`, aggregation, update into `out` (D, n), which may be `own`."""
    hidden = plan[HIDDEN]
    lanes = own.shape[1]
    message, update = plan[MESSAGE], plan[UPDATE]
    at = RECORDS + RECORD * message
    size = plan[at + OUT]
    # The first message layer is linear in both ends: computed once per link, not once per adjacency.
    sent = np.empty((size, source.shape[1]), np.float32)
    heard = np.empty((size, lanes), np.float32)
    weight, stride = plan[at + WEIGHT], 2 * hidden
    _dense(flat, weight, stride, 0, _FROM_ZERO, hidden, size, source, sent, source.shape[1])
    _dense(flat, weight + hidden, stride, plan[at + BIAS], _FROM_BIAS, hidden, size, own, heard, lanes)

    message_size = plan[RECORDS + RECORD * (update - 1) + OUT]
    aggregated = np.empty((2 * message_size if plan[AGGREGATION] == MINMAX else message_size, lanes), np.float32)
    fused = update == message + 1 and plan[ACTIVATION] == LEAKY_RELU and plan[AGGREGATION] != MINMAX
    if fused:
        _sum_leaky(plan[AGGREGATION] == MEAN, sent, heard, senders, first, aggregated)
    most = 0
    for r in range(lanes):
        most = max(most, first[r + 1] - first[r])
    room = lanes if fused else max(min(_BLOCK + most, len(senders)), lanes)
    one = np.empty((plan[WIDEST], room), np.float32)
    two = np.empty((plan[WIDEST], room), np.float32)
    begin = lanes if fused else 0
    while begin < lanes:
        end = begin + 1
        while end < lanes and first[end + 1] - first[begin] <= _BLOCK:
            end += 1
        base, count = first[begin], first[end] - first[begin]
        for o in range(size):
            for a in range(count):
                two[o, a] = sent[o, senders[base + a]] + heard[o, receivers[base + a]]
        activate(plan[ACTIVATION], two, size, count)
        messages = _layers(flat, plan, message + 1, update, True, two, one, two, count)
        _aggregate(plan[AGGREGATION], messages, first, begin, end, message_size, aggregated)
        begin = end

    at = RECORDS + RECORD * update
    fan_in, size = plan[at + IN], plan[at + OUT]
    weight = plan[at + WEIGHT]
    _dense(flat, weight, fan_in, plan[at + BIAS], _FROM_BIAS, hidden, size, own, two, lanes)
    _dense(flat, weight + hidden, fan_in, 0, _ADD, fan_in - hidden, size, aggregated, two, lanes)
    activate(plan[ACTIVATION], two, size, lanes)
    updated = _layers(flat, plan, update + 1, plan[READOUT], True, two, one, two, lanes)
    for o in range(hidden):
        for r in range(lanes):
            out[o, r] = half(own[o, r] + updated[o, r]) if plan[RESIDUAL] else half(updated[o, r])


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], i8, f4[:, ::1], f4[:, ::1], f4[::1])")
def read_out(
    flat: Float32, plan: Int64, hidden: Float32, x: Float32, lanes: int, one: Float32, two: Float32, logits: Float32
) -> None:
    """Write the logits (lanes,) of hidden states (D, lanes) and features x (F, lanes)."""
    last = _layers(flat, plan, plan[READOUT], plan[END], False, hidden, one, two, lanes)
    for r in range(lanes):
        logits[r] = last[0, r]
        if plan[SKIP] >= 0:
            logits[r] += flat[plan[SKIP]] * x[0, r]
