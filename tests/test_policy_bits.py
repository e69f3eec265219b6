"""The same bits on every CPU: against a compilation for the plainest one, and against literals."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import policy_bits

from policy.layers import Float32
from routing.jit import njit

HERE = Path(__file__).parent


def test_functions_and_networks_give_the_literal_bits() -> None:
    assert policy_bits.digest().split()[:2] == ["311b75245d55f7e9", "b4ea08a59b4559b7"]


def test_a_cpu_without_vector_extensions_gives_the_same_bits() -> None:
    # Compiles every kernel for the baseline of this architecture; the cache keeps it for the next time.
    plain = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}",
    }
    run = subprocess.run(
        [sys.executable, str(HERE / "policy_bits.py")], env=plain, cwd=HERE.parent, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == policy_bits.digest()


@njit("void(f4[::1], f4[::1], f4[::1], f4[::1])")
def _multiply_add(x: Float32, y: Float32, z: Float32, out: Float32) -> None:
    for i in range(len(x)):
        out[i] = x[i] * y[i] + z[i]


def test_products_and_sums_are_not_contracted() -> None:
    x, y, z = np.random.default_rng(0).normal(size=(3, 10_000)).astype(np.float32)
    out = np.empty_like(x)
    _multiply_add(x, y, z, out)
    np.testing.assert_array_equal(out, x * y + z)
    fused = (x.astype(np.float64) * y + z).astype(np.float32)
    assert (fused != out).sum() > 1000  # so the test would notice
