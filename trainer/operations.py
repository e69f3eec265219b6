"""The operations of the network with gradients of their own: what routers round, and what torch does slowly on CPUs.

Microseconds for 4,200 links (100 copies of NSFNet) and a layer of 128 to 64 units, one AMD core with AVX-512:

| | torch | here | why |
|---|---|---|---|
| tanh of 128 units | 1,070 | 200 | its vectorised sigmoid is ten times as fast as its tanh |
| layer, forward | 700 | 320 | MKL leaves AVX-512 alone on AMD processors; oneDNN, which torch brings along, does not |
| layer, backward | 1,400 | 1,000 | only the half toward the inputs |
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FLOAT16_MAX = 65504.0
_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


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


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (2 * x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        inner: Tensor = torch.ops.aten.tanh_backward(gradient, y)
        return inner


def fast_tanh(x: Tensor) -> Tensor:
    """Return tanh(x) = 2 sigmoid(2 x) - 1, within 1.2e-7."""
    y: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
    return y


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # Not a public operation, but torch's version is exact in pyproject.toml: a newer one is tried before it is taken.
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        inner = _product(gradient.contiguous(), weight.t(), None) if ctx.needs_input_grad[0] else None
        return inner, gradient.t() @ x, gradient.sum(0) if ctx.needs_input_grad[2] else None


def fast_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x (n, in) times weight (out, in) transposed, plus bias (out,): float32, in another order of sums."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not _ONEDNN:
        return nn.functional.linear(x, weight, bias)
    # Of half a matrix oneDNN would make a product by its slow reference code.
    y: Tensor = _Linear.apply(x, weight.contiguous(), bias)  # type: ignore[no-untyped-call]
    return y
