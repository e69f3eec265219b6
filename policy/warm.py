"""Load every kernel that a router needs and use each once: processes forked from this one share them.

``python -m policy.warm`` builds the extension module that agents take their kernels from (`routing.jit`), unless it is
there; where that cannot be done, it fills numba's cache and says why. Each user has one of one's own.
"""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np

from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.preset import PRESETS
from routing import jit
from routing.prebuilt import FOLDERS, kernel_modules
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


def prepare() -> str:
    """Build the extension module if it is absent, and return how the kernels come to run."""
    if jit.BUILT is not None:
        return "built ahead of time"
    from routing.prebuild import CannotBuild, build

    for module in kernel_modules(FOLDERS):
        import_module(module)
    try:
        build()
    except CannotBuild as obstacle:
        return f"by numba; not built ahead of time: {obstacle}"
    return "built now"


if __name__ == "__main__":
    began = time.perf_counter()
    warm()
    how = prepare()
    print(f"kernels ready in {time.perf_counter() - began:.1f} s, {how}")
