"""An epoch: what OSPF routes over, and whose agents take part. Its id is a hash of both, so nobody counts epochs.

A dead agent is not a dead router. Links that OSPF has lost leave the model, with the nodes that they cut off. The links
of a router without an agent stay in it with the weights that they have; nobody raises them, and they send no hidden
states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2s

import numpy as np
from numpy.typing import NDArray

from agent.tree import Tree, spanning_tree
from routing.errors import DisconnectedTopology, InputError
from routing.subnetwork import Subnetwork, components, without
from routing.topology import Topology

ID_BYTES = 16


class NoEpoch(Exception):
    """No episode is possible on what is left; `str()` says why."""


@dataclass(frozen=True, eq=False)
class Epoch:
    """The part of the network that OSPF routes over, and its members.

    Attributes
    ----------
    part : nodes and links
    members : their routers, ascending, numbers of the whole topology
    absent : nodes of the part without a member, numbers of the *part*
    tree : spans the members, numbers of the part; others are nobody's parent and nobody's child
    id : 16 bytes
    """

    part: Subnetwork
    members: tuple[int, ...]
    absent: frozenset[int]
    tree: Tree
    id: bytes

    @classmethod
    def of(cls, topology: Topology, down: Iterable[int] = (), absent: Iterable[int] = ()) -> Epoch:
        """Return the epoch of a network without some links and without the agents of some routers.

        Raises
        ------
        NoEpoch : no two routers are connected, or the members are not connected among themselves
        """
        try:
            part = without(topology, down)
        except InputError as error:
            raise NoEpoch(f"no two routers are connected: {error}") from error
        away = set(absent)
        members = tuple(node for node in part.nodes.tolist() if node not in away)
        missing = frozenset(part.node(node) for node in part.nodes.tolist() if node in away)
        named = blake2s(digest_size=ID_BYTES, person=b"lockepch")
        named.update(part.network.digest() + np.array(members, dtype="<i4").tobytes())
        return cls(part, members, missing, _tree(part.network, missing), named.digest())

    def obstacle(self, router: int, live: NDArray[np.int64]) -> str:
        """Return why a router of the whole topology cannot take part, whose LSDB shows `live` (L,); "" if it can."""
        if router not in self.members:
            return "it is no member of the epoch"
        gone = self.part.links[live[self.part.links] == 0]
        return f"the topology has changed: {self.part.whole.link_name(int(gone[0]))} is down" if len(gone) else ""

    def neighbours(self, router: int) -> list[int]:
        """Return the members next to a router, ascending; numbers of the part."""
        network = self.part.network
        return [peer for peer in network.dst[network.out_links(router)].tolist() if peer not in self.absent]


def _tree(network: Topology, absent: frozenset[int]) -> Tree:
    """Return the members' tree: that of the network of members alone, in the numbers of the whole part."""
    if not absent:
        return spanning_tree(network)
    members = [node for node in range(network.num_nodes) if node not in absent]
    if not members:
        raise NoEpoch("no agent is left")
    parent = [-1] * network.num_nodes
    if len(members) == 1:
        return Tree(members[0], tuple(parent), 0)
    away = np.isin(network.src, list(absent)) | np.isin(network.dst, list(absent))
    try:
        among = without(network, np.flatnonzero(away).tolist())
    except (DisconnectedTopology, InputError) as error:
        raise NoEpoch(f"the live agents are not connected: {error}") from error
    if len(among.nodes) < len(members):
        first, second = components(network, ~away, members)[:2]
        names = network.nodes
        raise NoEpoch(f"the live agents are not connected: no path among them from {names[first[0]]} to "
                      f"{names[second[0]]}")  # fmt: skip
    tree = spanning_tree(among.network)
    for node, above in enumerate(tree.parent):
        parent[int(among.nodes[node])] = int(among.nodes[above]) if above >= 0 else -1
    return Tree(int(among.nodes[tree.root]), tuple(parent), tree.depth)
