"""Load every kernel that a router needs and use each once: processes forked from this one share them.

``python -m policy.warm`` fills the cache of compiled kernels.
"""

from __future__ import annotations

import time

import numpy as np

from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.preset import PRESETS
from routing.topology import Topology
from routing.traffic import uniform


def warm() -> None:
    """Run two steps of every preset, with and without ECMP, on a network of three nodes."""
    links = [(a, b) for a in range(3) for b in range(3) if a != b]
    topology = Topology.from_links("warm", ("a", "b", "c"), links, 1e9)
    traffic = uniform(topology, 0)
    weights = np.ones(topology.num_links, dtype=np.int64)
    for preset in PRESETS.values():
        checkpoint = make_checkpoint(preset, random_parameters(preset, 0))
        for ecmp in (True, False):
            run_episode(topology, traffic, weights, checkpoint, steps=2, seed=0, ecmp=ecmp)


if __name__ == "__main__":
    began = time.perf_counter()
    warm()
    print(f"kernels ready in {time.perf_counter() - began:.1f} s")
