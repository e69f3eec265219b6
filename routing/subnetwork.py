"""A part of a network: what is left to route over after links failed, with its own numbers for nodes and links.

Kernels, policy and agents work on the part as on any network; the numbers are translated where results leave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing.topology import Topology
from routing.traffic import TrafficMatrix


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """Some nodes of a network, and the links among them that are up.

    Attributes
    ----------
    whole : the network, N nodes and L links
    network : the part, n nodes and l links, in the same order; `whole` itself if nothing is missing
    nodes : (n,) int32, ascending, their numbers in `whole`
    links : (l,) int32, ascending, likewise
    """

    whole: Topology
    network: Topology
    nodes: NDArray[np.int32]
    links: NDArray[np.int32]

    def node(self, node: int) -> int:
        """Return the number in the part of a node of the whole; ValueError if it is not in it."""
        found = int(np.searchsorted(self.nodes, node))
        if found == len(self.nodes) or self.nodes[found] != node:
            raise ValueError(f"{self.whole.nodes[node]} is not in this part of {self.whole.name}")
        return found

    def traffic(self, traffic: TrafficMatrix) -> TrafficMatrix:
        """Return the demands among the nodes of the part, (n, n)."""
        if self.network is self.whole:
            return traffic
        return TrafficMatrix(traffic.demand[np.ix_(self.nodes, self.nodes)], traffic.name)

    def into(self, whole: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a copy of `whole` (L,) with `values` (l,) at the links of the part."""
        filled = whole.copy()
        filled[self.links] = values
        return filled


def without(topology: Topology, down: Iterable[int]) -> Subnetwork:
    """Return the largest part that hangs together without some links (and their reverses); of equals, the first.

    Nodes outside of it are cut off. Raises `InputError` if no two nodes hang together.
    """
    gone = np.array(sorted(set(down)), dtype=np.int64)
    up = np.ones(topology.num_links, dtype=bool)
    up[gone] = False
    up[topology.reverse[gone]] = False
    if up.all():
        everything = np.arange(topology.num_nodes, dtype=np.int32), np.arange(topology.num_links, dtype=np.int32)
        return Subnetwork(topology, topology, *everything)
    kept = max(components(topology, up), key=len)
    inside = np.zeros(topology.num_nodes, dtype=bool)
    inside[kept] = True
    links = np.flatnonzero(up & inside[topology.src] & inside[topology.dst]).astype(np.int32)
    nodes = np.array(kept, dtype=np.int32)
    number = np.zeros(topology.num_nodes, dtype=np.int32)
    number[nodes] = np.arange(len(nodes), dtype=np.int32)
    network = Topology(
        topology.name,
        tuple(topology.nodes[node] for node in kept),
        number[topology.src[links]],
        number[topology.dst[links]],
        topology.capacity[links],
        topology.positions[nodes],
        topology.geographic,
    )
    return Subnetwork(topology, network, nodes, links)


def components(topology: Topology, up: NDArray[np.bool_], nodes: Iterable[int] | None = None) -> list[list[int]]:
    """Return the sets of nodes that hang together over links that are `up`, (L,) bool: ascending lists, by first node.

    With `nodes`, only those and the links among them count.
    """
    left = set(range(topology.num_nodes) if nodes is None else nodes)
    found = []
    while left:
        part = [min(left)]
        left.discard(part[0])
        for node in part:
            out = topology.out_links(node)
            for peer in topology.dst[out][up[out]].tolist():
                if peer in left:
                    left.discard(peer)
                    part.append(peer)
        found.append(sorted(part))
    return found
