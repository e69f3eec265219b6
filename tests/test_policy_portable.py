import numpy as np
import pytest
from numpy.typing import NDArray

from policy.portable import half, log, log_all, round_to_half, tanh, tanh_all


def numpy_half(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = values.astype(np.float16).astype(np.float32)
    return np.where(np.isinf(rounded), np.copysign(np.float32(65504), rounded), rounded)


def check_half(values: NDArray[np.float32]) -> None:
    ours = values.copy()
    round_to_half(ours)
    nan = np.isnan(values)
    assert np.isnan(ours[nan]).all()
    np.testing.assert_array_equal(ours[~nan].view(np.uint32), numpy_half(values)[~nan].view(np.uint32))


def finite_halves() -> NDArray[np.float32]:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return np.sort(every[np.isfinite(every)].astype(np.float32))


def test_half_is_numpys_float16_around_every_value_and_every_tie() -> None:
    exact = finite_halves()
    tie = ((exact[1:].astype(np.float64) + exact[:-1]) / 2).astype(np.float32)  # 12 bits: exact
    for values in (exact, tie):
        check_half(values)
        check_half(np.nextafter(values, np.float32(np.inf)))
        check_half(np.nextafter(values, np.float32(-np.inf)))


def test_half_is_numpys_float16_for_random_bits() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 32, 2_000_000, dtype=np.uint32)
    check_half(bits.view(np.float32))


@pytest.mark.parametrize("big", [65504.0, 65519.99, 65520.0, 1e30, np.inf])
def test_half_saturates(big: float) -> None:
    assert half(np.float32(big)) == 65504.0
    assert half(np.float32(-big)) == -65504.0


def test_half_keeps_nan_and_signed_zero() -> None:
    assert np.isnan(half(np.float32(np.nan)))
    assert np.signbit(half(np.float32(-1e-30)))


def test_log_is_numpys() -> None:
    generator = np.random.default_rng(2)
    x = np.concatenate([np.exp(generator.uniform(-700, 700, 200_000)), generator.uniform(0.5, 2, 200_000)])
    ours = x.copy()
    log_all(ours)
    np.testing.assert_allclose(ours, np.log(x), rtol=2e-15, atol=1e-17)


def test_log_of_one_and_of_nonsense() -> None:
    assert log(1.0) == 0.0
    for x in (0.0, -1.0, np.inf, np.nan):
        assert np.isnan(log(x))


def test_tanh_is_numpys() -> None:
    generator = np.random.default_rng(3)
    x = np.concatenate(
        [np.linspace(-20, 20, 200_001), np.exp(generator.uniform(-80, 0, 100_000)), [np.inf, -np.inf]]
    ).astype(np.float32)
    ours = x.copy()
    tanh_all(ours)
    np.testing.assert_allclose(ours, np.tanh(x.astype(np.float64)), rtol=1e-6)
    assert np.abs(ours).max() == 1.0


def test_tanh_keeps_nan() -> None:
    assert np.isnan(tanh(np.float32(np.nan)))
