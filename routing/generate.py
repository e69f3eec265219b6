"""Synthetic networks of a given size: ``synth500``, ``synth1000``, or ``synth:NODES:LINKS[:SEED]``.

Router-level networks are neither lattices nor random graphs: most routers have two to four links, a few have many, and
links are short because length costs money. So nodes get random places in a square and join one after the other, each
linked to an earlier one that is drawn with a probability proportional to (degree + 1) / (squared distance + s)**2: the
preference for the well connected of A.-L. Barabasi, R. Albert, "Emergence of scaling in random networks", Science 286,
1999, weighed against distance (A. Fabrikant et al., "Heuristically optimized trade-offs", ICALP 2002). The other
links are drawn alike, three in four of them from a node that has only one so far, as operators want no node to hang on
one link. The tenth of the links between the best connected nodes has 100 Gbit/s, the next three tenths 40, the rest 10.

The traffic follows the gravity model: what a node sends and receives is proportional to the capacity at it, times 1..4
drawn. Paths of fewest hops would use `_LEVEL` of all capacity on average.

Everything is computed with integers from Philox words (a stream that NumPy promises to keep) or with single, correctly
rounded operations, so a name means the same network on every machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from routing.errors import InputError
from routing.topology import Topology
from routing.traffic import TrafficMatrix, mean_demand

PRESETS = {"synth100": (100, 360, 0), "synth500": (500, 1750, 0), "synth1000": (1000, 3200, 0)}
MAX_NODES = 5000
_SIDE = 1 << 16  # of the square
_LEVEL = 0.06
_GIGA = 10**9
_WORDS = 1 << 12  # random words drawn at a time


def parse_synthetic(name: str) -> tuple[int, int, int] | None:
    """Return nodes, directed links and seed of a synthetic network's name; None for any other name.

    Raises InputError for a name that begins like one and cannot be one.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not name.startswith("synth:"):
        return None
    match = re.fullmatch("synth:([0-9]{1,9}):([0-9]{1,9})(?::([0-9]{1,19}))?", name)
    if match is None:
        raise InputError(f"{name!r}, expected synth:NODES:LINKS or synth:NODES:LINKS:SEED")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def synthetic(num_nodes: int, num_links: int, seed: int = 0, name: str | None = None) -> Topology:
    """Generate a connected network.

    Parameters
    ----------
    num_nodes : N, 2..5000
    num_links : L, directed, so even; 2 (N - 1)..N (N - 1)
    seed : 0..2**64-1
    name : the topology's; default ``synth-N-L-SEED``

    Raises
    ------
    InputError : no such network
    """
    least, most = 2 * (num_nodes - 1), num_nodes * (num_nodes - 1)
    if not 2 <= num_nodes <= MAX_NODES:
        raise InputError(f"synthetic network of {num_nodes} nodes, expected 2..{MAX_NODES}")
    if num_links % 2 or not least <= num_links <= most:
        raise InputError(f"{num_links} links between {num_nodes} nodes, expected an even number {least}..{most}")
    words = _words(seed, 0)
    places = np.array([next(words) % _SIDE for _ in range(2 * num_nodes)], dtype=np.int64).reshape(num_nodes, 2)
    edges = _edges(places, num_links // 2, words)
    degree = np.bincount(np.ravel(edges), minlength=num_nodes)
    capacity = _capacities(edges, degree)
    pairs = [link for edge in edges for link in (edge, edge[::-1])]
    return Topology.from_links(
        name or f"synth-{num_nodes}-{num_links}-{seed}",
        [f"r{node}" for node in range(num_nodes)],
        pairs,
        np.repeat(capacity, 2).astype(np.float64),
        places.astype(np.float64),
        geographic=False,
    )


def synthetic_traffic(topology: Topology, seed: int = 0) -> TrafficMatrix:
    """Draw demands between all pairs, whole bit/s, for any topology; `seed`: 0..2**64-1."""
    words = _words(seed, 1)
    capacity = np.zeros(topology.num_nodes)
    np.add.at(capacity, topology.src, topology.capacity)
    # At most 2**20, so that products and their sum fit 64 bits.
    size = np.maximum(np.floor(capacity * (2.0**18 / capacity.max())).astype(np.int64), 1)
    mass = size * np.array([1 + next(words) % 4 for _ in range(topology.num_nodes)], dtype=np.int64)
    product = mass[:, None] * mass[None, :]
    np.fill_diagonal(product, 0)
    total = sum(product.sum(axis=1).tolist())
    wanted = mean_demand(topology, _LEVEL) * topology.num_nodes * (topology.num_nodes - 1)
    # One correctly rounded operation after the other: the same on every machine.
    demand = np.floor(product.astype(np.float64) * (wanted / total))
    return TrafficMatrix(demand, f"synthetic:{seed}")


def graded(topology: Topology) -> Topology:
    """Return the network with generated capacities: by rank as in synthetic ones, both ways of a link alike.

    For networks whose capacities nobody published; the degrees of a link's ends decide, nothing is drawn.
    """
    both = np.stack([np.minimum(topology.src, topology.dst), np.maximum(topology.src, topology.dst)], axis=1)
    edges, index = np.unique(both, axis=0, return_inverse=True)
    degree = np.bincount(edges.ravel(), minlength=topology.num_nodes)
    capacity = _capacities([(a, b) for a, b in edges.tolist()], degree)[index.ravel()]
    return replace(topology, capacity=capacity.astype(np.float64))


def _words(seed: int, stream: int) -> Iterator[int]:
    """Yield random 64-bit words without end."""
    if not 0 <= seed < 2**64:
        raise InputError(f"seed {seed}, expected 0..2**64-1")
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    while True:
        yield from generator.random_raw(_WORDS).tolist()


def _edges(places: NDArray[np.int64], count: int, words: Iterator[int]) -> list[tuple[int, int]]:
    """Draw `count` undirected edges that connect all nodes."""
    num_nodes = len(places)
    near = 1 + _SIDE * _SIDE // num_nodes  # about the squared distance of neighbours
    degree = np.zeros(num_nodes, dtype=np.int64)
    linked = np.eye(num_nodes, dtype=bool)
    edges: list[tuple[int, int]] = []

    def connect(node: int, candidates: int) -> bool:
        """Link `node` to one of the first `candidates` nodes; False if it has links to all of them."""
        distance = np.square(places[:candidates] - places[node]).sum(axis=1)
        # 1..2**16 for every place and size, so products and their sum fit 64 bits.
        close = (near << 16) // (distance + near)
        weight = (degree[:candidates] + 1) * close * close
        weight[linked[node, :candidates]] = 0
        bounds = np.cumsum(weight)
        if not bounds[-1]:
            return False
        other = int(np.searchsorted(bounds, next(words) % int(bounds[-1]), side="right"))
        linked[node, other] = linked[other, node] = True
        degree[[node, other]] += 1
        edges.append((node, other))
        return True

    for node in range(1, num_nodes):
        connect(node, node)
    while len(edges) < count:
        single = np.flatnonzero(degree == 1)
        pool = single if len(single) and next(words) % 4 else np.arange(num_nodes)
        first = next(words) % len(pool)
        # Only a node that is linked to all others already needs a second try.
        any(connect(int(pool[(first + turn) % len(pool)]), num_nodes) for turn in range(len(pool)))
    return edges


def _capacities(edges: list[tuple[int, int]], degree: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the capacity of each edge, bit/s, by the rank of the product of its ends' degrees."""
    ends = np.array(edges)
    rank = np.argsort(-degree[ends[:, 0]] * degree[ends[:, 1]], kind="stable")
    capacity = np.full(len(edges), 10 * _GIGA, dtype=np.int64)
    capacity[rank[: math.ceil(0.4 * len(edges))]] = 40 * _GIGA
    capacity[rank[: math.ceil(0.1 * len(edges))]] = 100 * _GIGA
    return capacity
