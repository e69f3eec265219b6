"""Hidden states that travel as eight-bit integers instead of float16: what it would save, and what it would cost.

Each unit of the hidden state has a fixed scale, a power of two, so that what arrives is exact in float16 and the same
on every machine: the least one for which nothing in a float16 episode was larger than 127 units; what is larger later
saturates. A router keeps its own states as they are; what it hears is rounded. No agent does this: it is an experiment
of the central engine, computed router by router.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from policy.layers import Float32
from policy.mpnn import Adjacency, Network
from policy.preset import Preset
from routing.topology import Topology

LEVELS = 127


class HeardNetwork(Network):
    """A network that computes all links router by router, hearing what `hear` makes of the states.

    Attributes
    ----------
    largest : (D,) float32, the greatest magnitude of each unit so far
    """

    def __init__(self, preset: Preset, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__(preset, parameters)
        self.largest: Float32 = np.zeros(preset.hidden, dtype=np.float32)

    def hear(self, hidden: Float32) -> Float32:
        """Return what arrives of hidden states (n, D)."""
        return hidden

    def logits(self, topology: Topology, features: Float32, pairs: Adjacency | None = None) -> Float32:
        """Return the logits (L,) of all links from features (L, F), as `Network.logits`; all routers have agents."""
        if pairs is not None:
            raise ValueError("routers without an agent are not provided for")
        hidden = self.initial(features)
        for _ in range(self.preset.rounds):
            self.largest = np.maximum(self.largest, np.abs(hidden).max(axis=0))
            heard = self.hear(hidden)
            parts = []
            for router in range(topology.num_nodes):
                own = topology.out_links(router)
                parts.append(self.round(hidden[own.start : own.stop], heard[topology.incoming(router)]))
            hidden = np.concatenate(parts)
        return self.readout(hidden, features)


class Int8Network(HeardNetwork):
    """A network whose hidden states are sent as int8; `largest` (D,) sets the scales."""

    def __init__(self, preset: Preset, parameters: Mapping[str, NDArray[np.float32]], largest: Float32) -> None:
        super().__init__(preset, parameters)
        least = np.maximum(largest.astype(np.float64), 2.0**-10) / LEVELS
        self.scale: Float32 = np.exp2(np.ceil(np.log2(least))).astype(np.float32)

    def hear(self, hidden: Float32) -> Float32:
        """Return the states rounded to the nearest of 255 levels, ties to even."""
        levels = np.clip(np.rint(hidden / self.scale), -LEVELS, LEVELS).astype(np.int8)
        heard: Float32 = levels * self.scale
        return heard
