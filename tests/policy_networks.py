"""Small networks for the tests of policy/: random topologies, presets of every kind, random parameters."""

import numpy as np
from numpy.typing import NDArray

from policy.preset import Preset
from routing.topology import Topology


def random_topology(nodes: int, extra: int, seed: int) -> Topology:
    """Return a ring of `nodes` routers with up to `extra` chords and different capacities."""
    generator = np.random.default_rng(seed)
    pairs = {(min(n, (n + 1) % nodes), max(n, (n + 1) % nodes)) for n in range(nodes)}
    for _ in range(extra):
        a, b = sorted(generator.choice(nodes, 2, replace=False).tolist())
        pairs.add((a, b))
    both = sorted(pairs | {(b, a) for a, b in pairs})
    capacity = generator.choice([1e9, 2.5e9, 1e10], len(both))
    return Topology.from_links(f"random{seed}", [f"n{i}" for i in range(nodes)], both, capacity)


def preset(**changes: object) -> Preset:
    """Return a small preset; `changes` to its fields."""
    fields: dict[str, object] = {
        "name": "test",
        "features": "default",
        "hidden": 12,
        "rounds": 2,
        "encode": (12,),
        "message": (9,),
        "update": (12,),
        "readout": (7, 1),
        "activation": "leaky_relu",
        "aggregation": "mean",
        "residual": True,
        "skip": True,
    }
    return Preset(**(fields | changes))  # type: ignore[arg-type]


def random_arrays(network: Preset, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return parameters of ordinary size everywhere, biases included."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.uniform(-1.7, 1.7, shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in network.parameter_shapes().items()
    }
