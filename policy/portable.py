"""Elementary functions that give the same bits on every CPU.

A math library's log and tanh differ between CPUs and versions in the last bit. These are made of IEEE 754 addition,
multiplication and division, comparisons and integer operations only, in a fixed order; numba is told neither to
reassociate nor to contract (`routing.jit`), so the compiler may vectorise them but not change their result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.jit import njit

_ONE_BITS = np.int64(0x3FF0000000000000)  # the bits of 1.0
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_LN2 = 0.6931471805599453
_SQRT2 = 1.4142135623730951

_SIGN = np.uint32(0x80000000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)
_QUIET = np.uint32(0x00400000)  # numpy keeps a NaN a NaN; so does this
_HALF_NORMAL = np.uint32(0x38800000)  # 2**-14, the smallest normal float16
_HALF_MAX = np.uint32(0x477FE000)  # 65504, the largest float16
_DROPPED = np.uint32(13)  # bits of a float32 mantissa that a float16 lacks
_BELOW_HALF = np.uint32(0x00000FFF)
_KEPT = np.uint32(0xFFFFE000)
_ONE = np.uint32(1)


@njit("f8(f8)", inline=True)
def log(x: float) -> float:
    """Natural logarithm of a normal positive float64, relative error below 1e-15 away from 1; anything else gives NaN.

    x = 2**e m with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh s with s = (m - 1) / (m + 1), by its power series to
    s**19.
    """
    if not (x >= 2.2250738585072014e-308 and x <= 1.7976931348623157e308):
        return np.nan
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> np.int64(52)) - np.int64(1023)
    m = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    if m >= _SQRT2:
        m = 0.5 * m
        exponent += np.int64(1)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = 1.0 / 19.0
    series = series * z + 1.0 / 17.0
    series = series * z + 1.0 / 15.0
    series = series * z + 1.0 / 13.0
    series = series * z + 1.0 / 11.0
    series = series * z + 1.0 / 9.0
    series = series * z + 1.0 / 7.0
    series = series * z + 1.0 / 5.0
    series = series * z + 1.0 / 3.0
    return exponent * _LN2 + (2.0 * s + 2.0 * s * z * series)


@njit("f4(f4)", inline=True)
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent of a float32, relative error below 1e-6, never beyond +-1; NaN stays NaN.

    Lambert's continued fraction, cut after x**2/13, at x/4, then twice tanh 2y = 2 tanh y / (1 + tanh(y)**2).
    """
    y = np.float32(0.25) * x
    # tanh(10) rounds to 1; the fraction must not leave the range where it converges.
    y = np.float32(2.5) if y > np.float32(2.5) else y
    y = np.float32(-2.5) if y < np.float32(-2.5) else y
    z = y * y
    above = ((z + np.float32(378.0)) * z + np.float32(17325.0)) * z + np.float32(135135.0)
    below = ((np.float32(28.0) * z + np.float32(3150.0)) * z + np.float32(62370.0)) * z + np.float32(135135.0)
    t = y * above / below
    t = (t + t) / (np.float32(1.0) + t * t)
    t = (t + t) / (np.float32(1.0) + t * t)
    t = np.float32(1.0) if t > np.float32(1.0) else t
    return np.float32(-1.0) if t < np.float32(-1.0) else t


@njit("f4(f4)", inline=True)
def half(x: np.float32) -> np.float32:
    """Round a float32 to the nearest float16 value (ties to even), saturating at +-65504; NaN stays NaN."""
    bits = np.float32(x).view(np.uint32)
    magnitude = bits & _MAGNITUDE
    rounded = (magnitude + (_BELOW_HALF + ((magnitude >> _DROPPED) & _ONE))) & _KEPT
    rounded = _HALF_MAX if rounded > _HALF_MAX else rounded
    # From 0.5 to 1 neighbouring float32 are 2**-24 apart, as float16 subnormals are: adding 0.5 rounds to them.
    subnormal = np.float32((np.uint32(magnitude).view(np.float32) + np.float32(0.5)) - np.float32(0.5)).view(np.uint32)
    rounded = subnormal if magnitude < _HALF_NORMAL else rounded
    rounded = magnitude | _QUIET if magnitude > _INFINITY else rounded
    return np.uint32(rounded | (bits & _SIGN)).view(np.float32)


@njit("void(f4[::1])")
def round_to_half(values: NDArray[np.float32]) -> None:
    """Apply `half` in place to (n,) float32."""
    for i in range(values.shape[0]):
        values[i] = half(values[i])


@njit("void(f4[::1])")
def tanh_all(values: NDArray[np.float32]) -> None:
    """Apply `tanh` in place to (n,) float32."""
    for i in range(values.shape[0]):
        values[i] = tanh(values[i])


@njit("void(f8[::1])")
def log_all(values: NDArray[np.float64]) -> None:
    """Apply `log` in place to (n,) float64."""
    for i in range(values.shape[0]):
        values[i] = log(values[i])
