"""The stored table behind the Gumbel noise: ``-log(-log(u))`` as integers, the same on every machine.

The table is two-sided. Toward each end of (0, 1) lie `DEPTH` octaves: octave z of the lower end holds u from 2**-(z+2)
to 2**-(z+1), that of the upper end 1 - u in the same range. Each octave is cut into 2**`SEGMENT_BITS` equal segments;
the table has their borders, in units of 2**-24 nat. Between two borders linear interpolation is wrong by at most 3.1e-5
nat. The upper end reaches to 34 nats; the highest noise of 10**4 links over 10**4 steps is about 18.

``python -m policy.gumbel`` writes `gumbel.npy` anew; a test computes it again and compares.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEPTH = 48
SEGMENT_BITS = 6
VALUE_BITS = 24
FINER_BITS = VALUE_BITS - 16  # than the unit of scores

FILE = Path(__file__).with_name("gumbel.npy")
DIGEST = "373cd8e367fc5774"


def table() -> NDArray[np.int32]:
    """Read the stored table, (2 * DEPTH * (2**SEGMENT_BITS + 1),) int32: lower end first, octaves from the middle."""
    values: NDArray[np.int32] = np.load(FILE, allow_pickle=False).astype(np.int32)
    if digest(values) != DIGEST:
        raise RuntimeError(f"{FILE} is damaged: its digest is not {DIGEST}")
    return values


def digest(values: NDArray[np.int32]) -> str:
    """Hash of a table."""
    return hashlib.blake2s(values.astype("<i4").tobytes(), digest_size=8).hexdigest()


def computed() -> NDArray[np.int32]:
    """Compute the table with correctly rounded decimal logarithms (a second or two)."""
    segments = 1 << SEGMENT_BITS
    values = []
    with localcontext() as context:
        context.prec = 50
        for upper in (False, True):
            for octave in range(DEPTH):
                for border in range(segments + 1):
                    distance = Decimal(segments + border) / segments / (1 << (octave + 2))
                    u = 1 - distance if upper else distance
                    nats = -(-u.ln()).ln()
                    values.append(int((nats * (1 << VALUE_BITS)).to_integral_value(ROUND_HALF_EVEN)))
    return np.array(values, dtype=np.int32)


if __name__ == "__main__":
    values = computed()
    np.save(FILE, values.astype("<i4"))
    print(f"{FILE.name}: {len(values)} values, digest {digest(values)}")
