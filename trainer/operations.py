"""The operations of the network with gradients of their own: what routers round, and what torch does slowly on CPUs.

MKL leaves AVX-512 alone on AMD processors; oneDNN, which torch brings along, does not, and applies the activation while
a product is still in a cache (torch's own tanh takes five times as long as that). Microseconds of processor time for
4,200 links (100 copies of NSFNet) and a layer of 128 to 64 units with tanh, one AMD core with AVX-512:

| | torch | here |
|---|---|---|
| forward | 1,300 | 380 |
| backward: activation; inputs; weights | 80; 710; 720 | 80; 305; 420 |
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from policy.preset import LEAKY_SLOPE
from routing.jit import njit

FLOAT16_MAX = 65504.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SLOPE = np.float32(LEAKY_SLOPE)
_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def keep_memory() -> None:
    """Ask glibc to keep what is freed; elsewhere do nothing.

    A gradient step frees the 200 MB that its forward pass allocated. Given back to the kernel, they would come again as
    pages of zeros: a tenth of the processor time of learning.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


class _RoundToHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.clamp(-FLOAT16_MAX, FLOAT16_MAX).half().float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def round_to_half(h: Tensor) -> Tensor:
    """Round to float16 values, saturating; the gradient passes as if nothing had happened (straight-through)."""
    rounded: Tensor = _RoundToHalf.apply(h)  # type: ignore[no-untyped-call]
    return rounded


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    # Not a public operation, but torch's version is exact in pyproject.toml: a newer one is tried before it is taken.
    scalars = [LEAKY_SLOPE] if activation == "leaky_relu" else []
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, scalars, "")
    return y


def _weights_product(gradient: Tensor, x: Tensor) -> Tensor:
    """Return the product (out, in) of gradients (n, out) and inputs (n, in) over n."""
    # oneDNN is faster, up to twice, if the larger side is the last.
    if x.shape[1] > gradient.shape[1]:
        return _product(gradient.t(), x.t(), None, "none")
    return _product(x.t(), gradient.t(), None, "none").t()


@njit("void(b1, f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[::1])")
def _differentiate(
    of_tanh: bool,
    gradient: NDArray[np.float32],
    y: NDArray[np.float32],
    out: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """Write the gradient before an activation, given that after it and the activation's result, and add its rows."""
    size = np.uint64(y.shape[1])
    for row in range(y.shape[0]):
        if of_tanh:
            for o in range(size):
                out[row, o] = gradient[row, o] * (np.float32(1.0) - y[row, o] * y[row, o])
        else:
            for o in range(size):
                out[row, o] = gradient[row, o] * (np.float32(1.0) if y[row, o] > np.float32(0.0) else _SLOPE)
        for o in range(size):
            total[o] += out[row, o]


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
        y = _product(x, weight, bias, activation)
        ctx.activation = activation
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight, y = ctx.saved_tensors
        bias = y.new_zeros(y.shape[1])
        if ctx.activation != "none":
            out = torch.empty_like(y)
            _differentiate(
                ctx.activation == "tanh", gradient.contiguous().numpy(), y.numpy(), out.numpy(), bias.numpy()
            )
            gradient = out
        else:
            gradient = gradient.contiguous()
            bias = gradient.sum(0)
        inner = _product(gradient, weight.t(), None, "none") if ctx.needs_input_grad[0] else None
        return inner, _weights_product(gradient, x), bias if ctx.needs_input_grad[2] else None, None


def fast_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """Return activation(x (n, in) times weight (out, in) transposed, plus bias (out,)), in another order of sums.

    activation : of `policy.preset.ACTIVATIONS`, or none
    """
    # oneDNN refuses products of nothing, as of a minibatch without samples.
    if x.device.type != "cpu" or x.dtype != torch.float32 or not _ONEDNN or not len(x):
        y = nn.functional.linear(x, weight, bias)
        if activation == "tanh":
            return y.tanh()
        return nn.functional.leaky_relu(y, LEAKY_SLOPE) if activation == "leaky_relu" else y
    # Of half a matrix oneDNN would make a product by its slow reference code.
    z: Tensor = _Layer.apply(x, weight.contiguous(), bias, activation)  # type: ignore[no-untyped-call]
    return z
