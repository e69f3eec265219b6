"""Random numbers inside kernels: SplitMix64, one 64-bit counter of state.

G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Integer arithmetic only, so
the same seed gives the same search on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.jit import njit

Uint64 = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U11, _U27, _U30, _U31, _U32 = (np.uint64(bits) for bits in (11, 27, 30, 31, 32))

EXPONENTIAL_BITS = 12


def exponential_table() -> NDArray[np.float64]:
    """Return 4096 quantiles of the exponential distribution with mean 1, for `exponential`.

    Metropolis' rule accepts a change for the worse by `d` with probability exp(-d / temperature), that is, if
    ``d < temperature * e`` for an exponential e: no exp or log in the kernel. Rounded to float32, because logarithms
    differ in their last bit between CPUs.
    """
    count = 1 << EXPONENTIAL_BITS
    quantiles = -np.log1p(-(np.arange(count) + 0.5) / count)
    return quantiles.astype(np.float32).astype(np.float64)


@njit("u8(u8[::1])", inline=True)
def draw(state: Uint64) -> int:
    """Return 64 random bits and advance `state`, (1,)."""
    state[0] += _GAMMA
    bits = state[0]
    bits = (bits ^ (bits >> _U30)) * _MIX_1
    bits = (bits ^ (bits >> _U27)) * _MIX_2
    mixed: int = bits ^ (bits >> _U31)
    return mixed


@njit("i8(u8[::1], i8)", inline=True)
def below(state: Uint64, bound: int) -> int:
    """Return a whole number from 0 to `bound` - 1, bound <= 2**31 (biased by less than bound / 2**32)."""
    return int(((np.uint64(draw(state)) >> _U32) * np.uint64(bound)) >> _U32)


@njit("f8(u8[::1])", inline=True)
def fraction(state: Uint64) -> float:
    """Return a number from 0 (inclusive) to 1 (exclusive)."""
    return float(np.uint64(draw(state)) >> _U11) * 1.1102230246251565e-16  # 2**-53


@njit("f8(u8[::1], f8[::1])", inline=True)
def exponential(state: Uint64, table: NDArray[np.float64]) -> float:
    """Return an exponential variate with mean 1 (one of the `table`'s)."""
    variate: float = table[below(state, table.shape[0])]
    return variate
