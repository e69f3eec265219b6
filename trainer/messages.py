"""What links tell each other, with gradients: the first layer of the messages, and what a link makes of all it hears.

On CPUs by kernels that run over the graph once, forward and back; on other devices, and for other numbers than float32,
by torch's own operations, which the tests compare them with.

| symbol | shape | meaning |
|---|---|---|
| shares | (n, 2 M) | of a link in the messages that it sends, and in those that it hears |
| messages | (A, M) | one for each adjacency |
| known | (n, D + M') | what a link knows after a round: its own state, and the M' numbers made of what it heard |

Microseconds of processor time for 13,000 adjacencies (100 copies of NSFNet), one AMD core with AVX-512:

| | torch | here |
|---|---|---|
| tanh of pairs, 64 numbers, forward and backward | 770, 380 | 230, 140 |
| minima and maxima, 16 numbers, forward and backward | 1,160, 1,850 | 60, 130 |
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from policy.layers import LEAKY_RELU, MEAN, MINMAX, SUM, TANH
from policy.portable import tanh
from policy.preset import ACTIVATIONS, AGGREGATIONS, LEAKY_SLOPE
from routing.jit import njit
from trainer.graphs import LinkGraph

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_ONE = np.float32(1.0)
_SLOPE = np.float32(LEAKY_SLOPE)


@njit("void(i8, f4[:, ::1], i8[::1], i8[::1], f4[:, ::1])")
def _meet(kind: int, shares: Float32, senders: Int64, first: Int64, out: Float32) -> None:
    size = np.uint64(out.shape[1])  # unsigned, as numba would look for negative indices before it vectorises
    for receiver in range(shares.shape[0]):
        for a in range(first[receiver], first[receiver + 1]):
            sender = senders[a]
            for o in range(size):
                out[a, o] = shares[sender, o] + shares[receiver, size + o]
            if kind == TANH:
                for o in range(size):
                    out[a, o] = tanh(out[a, o])
            else:
                for o in range(size):
                    out[a, o] = out[a, o] if out[a, o] > np.float32(0.0) else _SLOPE * out[a, o]


@njit("void(i8, f4[:, ::1], f4[:, ::1], i8[::1], i8[::1], f4[:, ::1])")
def _part(kind: int, gradient: Float32, messages: Float32, senders: Int64, first: Int64, shares: Float32) -> None:
    """Add the gradient toward the shares, given the messages that came of them."""
    size = np.uint64(messages.shape[1])
    inner = np.empty(messages.shape[1], np.float32)
    for receiver in range(shares.shape[0]):
        for a in range(first[receiver], first[receiver + 1]):
            sender = senders[a]
            if kind == TANH:
                for o in range(size):
                    inner[o] = gradient[a, o] * (_ONE - messages[a, o] * messages[a, o])
            else:
                for o in range(size):
                    inner[o] = gradient[a, o] * (_ONE if messages[a, o] > np.float32(0.0) else _SLOPE)
            for o in range(size):
                shares[receiver, size + o] += inner[o]
                shares[sender, o] += inner[o]


@njit("void(i8, f4[:, ::1], f4[:, ::1], i8[::1], f4[:, ::1])")
def _gather(kind: int, states: Float32, messages: Float32, first: Int64, known: Float32) -> None:
    own, size = np.uint64(states.shape[1]), np.uint64(messages.shape[1])
    most = own + size  # where the maxima begin
    for receiver in range(known.shape[0]):
        begin, end = first[receiver], first[receiver + 1]
        for o in range(own):
            known[receiver, o] = states[receiver, o]
        for o in range(size):
            known[receiver, own + o] = messages[begin, o]
        if kind == MINMAX:
            for o in range(size):
                known[receiver, most + o] = messages[begin, o]
        for a in range(begin + 1, end):
            if kind == MINMAX:
                for o in range(size):
                    value, least, greatest = messages[a, o], known[receiver, own + o], known[receiver, most + o]
                    # Written so that a NaN is kept.
                    known[receiver, own + o] = least if least <= value or least != least else value
                    known[receiver, most + o] = greatest if greatest >= value or greatest != greatest else value
            else:
                for o in range(size):
                    known[receiver, own + o] += messages[a, o]
        if kind == MEAN:
            count = np.float32(end - begin)
            for o in range(size):
                known[receiver, own + o] /= count


@njit("void(i8, f4[:, ::1], f4[:, ::1], f4[:, ::1], i8[::1], f4[:, ::1], f4[:, ::1])")
def _spread(
    kind: int, gradient: Float32, known: Float32, messages: Float32, first: Int64, states: Float32, out: Float32
) -> None:
    """Write the gradients toward states and messages, given what came of them; equal extremes share theirs."""
    width = messages.shape[1]
    own, size = np.uint64(states.shape[1]), np.uint64(width)
    most = own + size
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    for receiver in range(gradient.shape[0]):
        begin, end = first[receiver], first[receiver + 1]
        for o in range(own):
            states[receiver, o] = gradient[receiver, o]
        if kind == MINMAX:
            low[:] = 0.0
            high[:] = 0.0
            for a in range(begin, end):
                for o in range(size):
                    low[o] += _ONE if messages[a, o] == known[receiver, own + o] else np.float32(0.0)
                    high[o] += _ONE if messages[a, o] == known[receiver, most + o] else np.float32(0.0)
            for o in range(size):
                low[o] = gradient[receiver, own + o] / low[o]
                high[o] = gradient[receiver, most + o] / high[o]
            for a in range(begin, end):
                for o in range(size):
                    least = low[o] if messages[a, o] == known[receiver, own + o] else np.float32(0.0)
                    greatest = high[o] if messages[a, o] == known[receiver, most + o] else np.float32(0.0)
                    out[a, o] = least + greatest
        else:
            count = np.float32(end - begin) if kind == MEAN else _ONE
            for a in range(begin, end):
                for o in range(size):
                    out[a, o] = gradient[receiver, own + o] / count


def _kernels_take(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().numpy()


class _Meet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shares: Tensor, graph: LinkGraph, kind: int) -> Tensor:
        messages = shares.new_empty(len(graph.senders), shares.shape[1] // 2)
        _meet(kind, _array(shares), _array(graph.senders), _array(graph.first), _array(messages))
        ctx.graph, ctx.kind = graph, kind
        ctx.save_for_backward(messages)
        return messages

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (messages,) = ctx.saved_tensors
        shares = messages.new_zeros(ctx.graph.num_links, 2 * messages.shape[1])
        senders, first = _array(ctx.graph.senders), _array(ctx.graph.first)
        _part(ctx.kind, _array(gradient.contiguous()), _array(messages), senders, first, _array(shares))
        return shares, None, None


def meet(shares: Tensor, graph: LinkGraph, activation: str) -> Tensor:
    """Return activation(sender's first half + receiver's second half of the shares (n, 2 M)), (A, M).

    activation : of `policy.preset.ACTIVATIONS`
    """
    if _kernels_take(shares):
        kind = (TANH, LEAKY_RELU)[ACTIVATIONS.index(activation)]
        messages: Tensor = _Meet.apply(shares.contiguous(), graph, kind)  # type: ignore[no-untyped-call]
        return messages
    sent, own = shares.chunk(2, dim=1)
    pairs = sent.index_select(0, graph.senders) + own.index_select(0, graph.receivers)
    return pairs.tanh() if activation == "tanh" else nn.functional.leaky_relu(pairs, LEAKY_SLOPE)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, messages: Tensor, graph: LinkGraph, kind: int) -> Tensor:
        numbers = messages.shape[1] * (2 if kind == MINMAX else 1)
        known = messages.new_empty(graph.num_links, states.shape[1] + numbers)
        _gather(kind, _array(states), _array(messages), _array(graph.first), _array(known))
        ctx.graph, ctx.kind, ctx.size = graph, kind, states.shape[1]
        ctx.save_for_backward(messages, known)
        return known

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        messages, known = ctx.saved_tensors
        states, out = messages.new_empty(len(known), ctx.size), torch.empty_like(messages)
        inner, first = _array(gradient.contiguous()), _array(ctx.graph.first)
        _spread(ctx.kind, inner, _array(known), _array(messages), first, _array(states), _array(out))
        return states, out, None, None


def gather(states: Tensor, messages: Tensor, graph: LinkGraph, how: str) -> Tensor:
    """Put the states (n, D) beside what is made of the messages (A, M) to each link, element by element.

    how : of `policy.preset.AGGREGATIONS`; (n, D + M), or (n, D + 2 M) for minima and maxima

    Equal extremes share a gradient; torch's `segment_reduce` gives each of them all of it.
    """
    if _kernels_take(messages):
        kind = (MEAN, MINMAX, SUM)[AGGREGATIONS.index(how)]
        known: Tensor = _Gather.apply(states.contiguous(), messages.contiguous(), graph, kind)  # type: ignore[no-untyped-call]
        return known
    if how == "minmax":
        reduced = [torch.segment_reduce(messages, r, offsets=graph.first, axis=0, unsafe=True) for r in ("min", "max")]
        return torch.cat([states, *reduced], dim=1)
    sums = messages.new_zeros(graph.num_links, messages.shape[1]).index_add(0, graph.receivers, messages)
    return torch.cat([states, sums / graph.in_degree if how == "mean" else sums], dim=1)
