"""The running digest of an episode's decisions: equal digests mean equal inputs and equal decisions, step by step.

It covers integers only (quantised traffic, weights, chosen links and their scores), so routers with different CPUs
agree on it or have really decided differently. The central engine computes the same digest, which makes a distributed
run replayable.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16


class DecisionDigest:
    """A hash chain over one episode.

    Parameters
    ----------
    context : what everybody must share beside the numbers: digest of the topology, hash of the checkpoint
    numbers : integers of the episode (number, seed, steps, ...), in an order that all keep
    traffic : (N, N) int64, quantised demands
    start, live : (L,) int64, the episode's first weights and those that OSPF has
    """

    def __init__(
        self,
        context: Sequence[bytes],
        numbers: Sequence[int],
        traffic: NDArray[np.int64],
        start: NDArray[np.int64],
        live: NDArray[np.int64],
    ) -> None:
        hashed = blake2s(digest_size=DIGEST_BYTES, person=b"lockstep")
        for part in context:
            hashed.update(len(part).to_bytes(4, "big") + part)
        hashed.update(np.array(numbers, dtype="<i8").tobytes())
        for array in (traffic, start, live):
            hashed.update(array.astype("<i8").tobytes())
        self.value = hashed.digest()

    def extend(self, links: Sequence[int], scores: Sequence[int]) -> None:
        """Add one step: the links whose weight changed, with their scores, best first."""
        decision = np.array([*links, *scores], dtype="<i8").tobytes()
        self.value = blake2s(self.value + decision, digest_size=DIGEST_BYTES).digest()
