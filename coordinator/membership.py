"""The next epoch, from what the agents say: which links OSPF routes over, and who can decide together.

The links are those of the LSDB, on which all agents that can reach each other must agree. The members are the agents
that are online and whose sessions with all neighbouring members stand. Who is stopped, or cut off from the broker,
does not say so; but its neighbours miss it. So whoever is missed by most is left out, until nobody is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.control import Status
from agent.epoch import Epoch, NoEpoch
from routing.errors import InputError
from routing.subnetwork import without
from routing.topology import Topology


@dataclass(frozen=True, eq=False)
class Proposal:
    """What an episode could begin with now.

    Attributes
    ----------
    weights : (L,) int64, what the LSDBs agree on, 0 for links that are down; None if no agent can tell
    down, absent : numbers of links and nodes, as in `Start`
    why_absent : router -> why it is no member
    obstacle : why no episode can begin; "" if one can
    """

    weights: NDArray[np.int64] | None
    down: tuple[int, ...]
    absent: tuple[int, ...]
    why_absent: Mapping[str, str]
    obstacle: str = ""

    def epoch(self, topology: Topology) -> Epoch:
        """Return the epoch; raise `NoEpoch`."""
        return _epoch(topology, self.down, self.absent)

    def members(self, topology: Topology) -> tuple[str, ...]:
        """Return the routers that take part."""
        return tuple(topology.nodes[node] for node in self.epoch(topology).members)

    def same_epoch(self, other: Proposal) -> bool:
        """Whether links and members are the same."""
        return (self.down, self.absent) == (other.down, other.absent)


@lru_cache(maxsize=4)
def _epoch(topology: Topology, down: tuple[int, ...], absent: tuple[int, ...]) -> Epoch:
    return Epoch.of(topology, down, absent)


def propose(topology: Topology, agents: Mapping[str, Status], faults: Mapping[str, str]) -> Proposal:
    """Return the epoch that the agents' statuses allow.

    Parameters
    ----------
    agents : those online, by router
    faults : router -> why its agent cannot take part, whatever it says itself
    """
    number = {name: node for node, name in enumerate(topology.nodes)}
    usable = {number[name]: agent for name, agent in agents.items() if name in number and name not in faults}
    why = {name: faults.get(name, "no agent") for name in topology.nodes if number[name] not in usable}
    chosen, inside = _largest(topology, usable)
    weights = None if chosen is None else _decoded(chosen)
    down = () if weights is None else tuple(np.flatnonzero(weights == 0).tolist())
    others = [node for node in sorted(inside & usable.keys()) if usable[node].weights not in (b"", chosen)]
    candidates = {node for node in usable if node in inside}
    why |= {topology.nodes[node]: "its router is cut off" for node in usable.keys() - candidates}
    left_out = _left_out(topology, usable, candidates, set(down))
    why |= {topology.nodes[node]: reason for node, reason in left_out.items()}
    members = candidates - left_out.keys()
    absent = tuple(node for node in sorted(inside) if node not in members)
    obstacle = ""
    if others:
        obstacle = f"the LSDB of {topology.nodes[others[0]]} shows another network"
    elif 2 * len(members) <= topology.num_nodes:
        obstacle = f"{len(members)} of {topology.num_nodes} agents can take part, expected more than half"
    else:
        try:
            _epoch(topology, down, absent)
        except NoEpoch as error:
            obstacle = str(error)
    return Proposal(weights, down, absent, why, obstacle)


def _decoded(weights: bytes) -> NDArray[np.int64]:
    return np.frombuffer(weights, dtype="<u2").astype(np.int64)


def _largest(topology: Topology, agents: Mapping[int, Status]) -> tuple[bytes | None, set[int]]:
    """Return the weights that most agents see and that leave them connected, and the nodes of that part."""
    parts: dict[bytes, set[int]] = {}
    seen_by: dict[bytes, set[int]] = {}
    for node in sorted(agents):
        seen = agents[node].weights
        if len(seen) == 2 * topology.num_links:
            seen_by.setdefault(seen, set()).add(node)
    for seen in seen_by:
        try:
            part = without(topology, np.flatnonzero(_decoded(seen) == 0).tolist())
            parts[seen] = set(part.nodes.tolist())
        except InputError:
            parts[seen] = set()
    best = max(parts, key=lambda seen: (len(seen_by[seen] & parts[seen]), len(parts[seen])), default=None)
    return best, parts[best] if best is not None else set(range(topology.num_nodes))


def _left_out(topology: Topology, agents: Mapping[int, Status], candidates: set[int], down: set[int]) -> dict[int, str]:
    """Return the candidates that have to go until all sessions among the others stand, and why."""
    missed: dict[int, set[int]] = {node: set() for node in candidates}  # by whom
    for node in candidates:
        out, waiting_for = topology.out_links(node), set(agents[node].waiting_for)
        for link, peer in zip(range(out.start, out.stop), topology.dst[out].tolist(), strict=True):
            if peer in candidates and link not in down and topology.nodes[peer] in waiting_for:
                missed[peer].add(node)
    gone: dict[int, str] = {}
    while any(missed.values()):
        # Of two that miss each other, the one that misses fewer has more to say.
        worst = max(missed, key=lambda node: (len(missed[node]), -sum(node in who for who in missed.values()), node))
        names = ", ".join(topology.nodes[node] for node in sorted(missed.pop(worst))[:3])
        gone[worst] = f"not heard by {names}"
        for who in missed.values():
            who.discard(worst)
    return gone
