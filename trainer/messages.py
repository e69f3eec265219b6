"""What links tell each other, with gradients: the first layer of the messages, and what a link makes of all it hears.

On CPUs by kernels that run over the graph once, forward and back; on other devices, and for other numbers than float32,
by torch's own operations, which the tests compare them with.

| symbol | shape | meaning |
|---|---|---|
| sent, own | (n, M) | shares of a link in the messages that it sends, and that it hears |
| messages | (A, M) | one for each adjacency |

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


@njit("void(i8, f4[:, ::1], f4[:, ::1], i8[::1], i8[::1], f4[:, ::1])")
def _meet(kind: int, sent: Float32, own: Float32, senders: Int64, first: Int64, out: Float32) -> None:
    size = np.uint64(own.shape[1])  # unsigned, as numba would look for negative indices before it vectorises
    for receiver in range(own.shape[0]):
        for a in range(first[receiver], first[receiver + 1]):
            sender = senders[a]
            for o in range(size):
                out[a, o] = sent[sender, o] + own[receiver, o]
            if kind == TANH:
                for o in range(size):
                    out[a, o] = tanh(out[a, o])
            else:
                for o in range(size):
                    out[a, o] = out[a, o] if out[a, o] > np.float32(0.0) else _SLOPE * out[a, o]


@njit("void(i8, f4[:, ::1], f4[:, ::1], i8[::1], i8[::1], f4[:, ::1], f4[:, ::1])")
def _part(
    kind: int, gradient: Float32, messages: Float32, senders: Int64, first: Int64, sent: Float32, own: Float32
) -> None:
    """Add the gradients toward `sent` and `own`, given the messages that came of them."""
    size = np.uint64(own.shape[1])
    inner = np.empty(own.shape[1], np.float32)
    for receiver in range(own.shape[0]):
        for a in range(first[receiver], first[receiver + 1]):
            sender = senders[a]
            if kind == TANH:
                for o in range(size):
                    inner[o] = gradient[a, o] * (_ONE - messages[a, o] * messages[a, o])
            else:
                for o in range(size):
                    inner[o] = gradient[a, o] * (_ONE if messages[a, o] > np.float32(0.0) else _SLOPE)
            for o in range(size):
                own[receiver, o] += inner[o]
                sent[sender, o] += inner[o]


@njit("void(i8, f4[:, ::1], i8[::1], f4[:, ::1])")
def _gather(kind: int, messages: Float32, first: Int64, out: Float32) -> None:
    size = np.uint64(messages.shape[1])
    for receiver in range(out.shape[0]):
        begin, end = first[receiver], first[receiver + 1]
        for o in range(size):
            out[receiver, o] = messages[begin, o]
        if kind == MINMAX:
            for o in range(size):
                out[receiver, size + o] = messages[begin, o]
        for a in range(begin + 1, end):
            if kind == MINMAX:
                for o in range(size):
                    value, least, greatest = messages[a, o], out[receiver, o], out[receiver, size + o]
                    # Written so that a NaN is kept.
                    out[receiver, o] = least if least <= value or least != least else value
                    out[receiver, size + o] = greatest if greatest >= value or greatest != greatest else value
            else:
                for o in range(size):
                    out[receiver, o] += messages[a, o]
        if kind == MEAN:
            count = np.float32(end - begin)
            for o in range(size):
                out[receiver, o] /= count


@njit("void(i8, f4[:, ::1], f4[:, ::1], f4[:, ::1], i8[::1], f4[:, ::1])")
def _spread(kind: int, gradient: Float32, gathered: Float32, messages: Float32, first: Int64, out: Float32) -> None:
    """Write the gradient toward the messages, given what was gathered of them; equal extremes share it."""
    width = messages.shape[1]
    size = np.uint64(width)
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    for receiver in range(gradient.shape[0]):
        begin, end = first[receiver], first[receiver + 1]
        if kind == MINMAX:
            low[:] = 0.0
            high[:] = 0.0
            for a in range(begin, end):
                for o in range(size):
                    low[o] += _ONE if messages[a, o] == gathered[receiver, o] else np.float32(0.0)
                    high[o] += _ONE if messages[a, o] == gathered[receiver, size + o] else np.float32(0.0)
            for o in range(size):
                low[o] = gradient[receiver, o] / low[o]
                high[o] = gradient[receiver, size + o] / high[o]
            for a in range(begin, end):
                for o in range(size):
                    least = low[o] if messages[a, o] == gathered[receiver, o] else np.float32(0.0)
                    greatest = high[o] if messages[a, o] == gathered[receiver, size + o] else np.float32(0.0)
                    out[a, o] = least + greatest
        else:
            count = np.float32(end - begin) if kind == MEAN else _ONE
            for a in range(begin, end):
                for o in range(size):
                    out[a, o] = gradient[receiver, o] / count


def _kernels_take(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


class _Meet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sent: Tensor, own: Tensor, graph: LinkGraph, kind: int) -> Tensor:
        messages = own.new_empty(len(graph.senders), own.shape[1])
        senders, first = graph.senders.numpy(), graph.first.numpy()
        _meet(kind, sent.detach().numpy(), own.detach().numpy(), senders, first, messages.numpy())
        ctx.graph, ctx.kind = graph, kind
        ctx.save_for_backward(messages)
        return messages

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (messages,) = ctx.saved_tensors
        sent, own = (messages.new_zeros(ctx.graph.num_links, messages.shape[1]) for _ in range(2))
        senders, first = ctx.graph.senders.numpy(), ctx.graph.first.numpy()
        out = gradient.contiguous().numpy()
        _part(ctx.kind, out, messages.numpy(), senders, first, sent.numpy(), own.numpy())
        return sent, own, None, None


def meet(sent: Tensor, own: Tensor, graph: LinkGraph, activation: str) -> Tensor:
    """Return activation(sent[sender] + own[receiver]) for every adjacency, (A, M), from (n, M) each.

    activation : of `policy.preset.ACTIVATIONS`
    """
    if _kernels_take(own):
        messages: Tensor = _Meet.apply(  # type: ignore[no-untyped-call]
            sent.contiguous(), own.contiguous(), graph, (TANH, LEAKY_RELU)[ACTIVATIONS.index(activation)]
        )
        return messages
    pairs = sent.index_select(0, graph.senders) + own.index_select(0, graph.receivers)
    return pairs.tanh() if activation == "tanh" else nn.functional.leaky_relu(pairs, LEAKY_SLOPE)


class _Aggregate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, messages: Tensor, graph: LinkGraph, kind: int) -> Tensor:
        gathered = messages.new_empty(graph.num_links, messages.shape[1] * (2 if kind == MINMAX else 1))
        _gather(kind, messages.detach().numpy(), graph.first.numpy(), gathered.numpy())
        ctx.graph, ctx.kind = graph, kind
        ctx.save_for_backward(messages, gathered)
        return gathered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        messages, gathered = ctx.saved_tensors
        out = torch.empty_like(messages)
        inner, first = gradient.contiguous().numpy(), ctx.graph.first.numpy()
        _spread(ctx.kind, inner, gathered.detach().numpy(), messages.detach().numpy(), first, out.numpy())
        return out, None, None


def aggregate(messages: Tensor, graph: LinkGraph, how: str) -> Tensor:
    """Combine the messages (A, M) to each link, element by element: (n, M), or (n, 2 M) for minima and maxima.

    how : of `policy.preset.AGGREGATIONS`

    Equal extremes share a gradient; torch's `segment_reduce` gives each of them all of it.
    """
    if _kernels_take(messages):
        kind = (MEAN, MINMAX, SUM)[AGGREGATIONS.index(how)]
        gathered: Tensor = _Aggregate.apply(messages.contiguous(), graph, kind)  # type: ignore[no-untyped-call]
        return gathered
    if how == "minmax":
        reduced = [torch.segment_reduce(messages, r, offsets=graph.first, axis=0, unsafe=True) for r in ("min", "max")]
        return torch.cat(reduced, dim=1)
    sums = messages.new_zeros(graph.num_links, messages.shape[1]).index_add(0, graph.receivers, messages)
    return sums / graph.in_degree if how == "mean" else sums
