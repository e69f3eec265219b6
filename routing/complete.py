"""From what a file says to a network that can be routed over; nothing is filled in or left out without a notice.

Files that state all capacities (`Draft.exact`) are taken at their word or refused. For all others:

- a link without capacity gets the assumed one;
- a link from a node to itself is left out (no router would use it);
- parallel links become one with the sum of their capacities and the smallest of their weights. For ECMP that is not
  quite the same: over several links a next hop counts several times, and of unequal weights only the smallest is used;
- a link without its reverse gets one with the same capacity and weight (OSPF uses a link only if both ends see it);
- characters that cannot stand in a node's name become ``_``, missing and repeated names get the node's number;
- a network in several parts is refused, or reduced to its largest part (of equals, the one with the first node).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.draft import Assumptions, Draft, DraftDemand, DraftLink, assumed, demand_matrix
from routing.errors import DisconnectedTopology, InputError, InvalidLink
from routing.topology import FORBIDDEN_IN_NAMES, Topology
from routing.traffic import TrafficMatrix

MAX_WEIGHT = 65535


class Network(NamedTuple):
    """A topology and what its file says beyond it.

    Attributes
    ----------
    topology : N nodes, L links
    traffic : None if the file has no demands
    weights : (L,) int64, 1..65535, the file's own; None if it has none
    """

    topology: Topology
    traffic: TrafficMatrix | None
    weights: NDArray[np.int64] | None


def complete(draft: Draft, assume: Assumptions, path: Path) -> Network:
    """Make the network, adding to `draft.notices` what had to be decided.

    Raises
    ------
    InputError : the result is no usable network; names `path` and, where one link is to blame, its line
    """
    if not draft.exact:
        draft.names = usable_names(draft.names, draft.notices)
        draft.links = _completed(draft, draft.default_capacity if assume.capacity is None else assume.capacity)
    if assume.largest:
        _reduce(draft)
    topology = _topology(draft, path)
    traffic = None
    if draft.demands is not None:
        loops = sum(demand.src == demand.dst and demand.rate > 0 for demand in draft.demands)
        if loops:
            draft.notices.append(f"{loops} demand(s) from a node to itself left out")
        try:
            traffic = TrafficMatrix(demand_matrix(draft.demands, topology.num_nodes), path.name)
        except InputError as error:
            raise InputError(error.message, path, error.line) from error
    return Network(topology, traffic, _weights(draft, topology))


def usable_names(names: Sequence[str], notices: list[str]) -> list[str]:
    """Return names that `Topology` takes, as like the given ones as possible."""
    tidy = []
    for name in names:
        text = "".join("_" if c in FORBIDDEN_IN_NAMES or not c.isprintable() else c for c in name).strip()
        tidy.append("" if text in (".", "..") else text)
    taken = set(tidy)
    seen: set[str] = set()
    for node, name in enumerate(tidy):
        if not name or name in seen:
            text = f"{name}_{node}" if name else f"n{node}"
            while text in taken:
                text += "_"
            tidy[node] = text
        taken.add(tidy[node])
        seen.add(tidy[node])
    changed = [(old, new) for old, new in zip(names, tidy, strict=True) if old != new]
    if changed:
        old, new = changed[0]
        notices.append(f"{len(changed)} node(s) without a name or with an unusable one, the first {old!r} is now {new}")
    return tidy


def _completed(draft: Draft, capacity: float) -> list[DraftLink]:
    """Return the links with capacities, without loops and parallels, each with its reverse."""
    missing = sum(link.capacity is None for link in draft.links)
    if missing:
        draft.notices.append(assumed(missing, capacity))
    merged: dict[tuple[int, int], DraftLink] = {}
    loops = parallel = unequal = 0
    for link in draft.links:
        pair = (link.src, link.dst)
        rate = capacity if link.capacity is None else link.capacity
        first = merged.get(pair)
        if link.src == link.dst:
            loops += 1
        elif first is None:
            merged[pair] = DraftLink(*pair, rate, link.weight, link.line)
        else:
            parallel += 1
            unequal += link.weight != first.weight
            weight = None if first.weight is None or link.weight is None else min(first.weight, link.weight)
            merged[pair] = DraftLink(*pair, (first.capacity or 0.0) + rate, weight, first.line)
    one_way = [link for (src, dst), link in merged.items() if (dst, src) not in merged]
    for link in one_way:
        merged[link.dst, link.src] = DraftLink(link.dst, link.src, link.capacity, link.weight, link.line)
    if loops:
        draft.notices.append(f"{loops} link(s) from a node to itself left out")
    if parallel:
        said = f"{parallel} parallel link(s) merged with the first between the same nodes, summing up"
        draft.notices.append(said + (f"; {unequal} of unequal weight, which OSPF would not share" if unequal else ""))
    if one_way:
        draft.notices.append(f"{len(one_way)} one-way link(s), a reverse of the same capacity added to each")
    return list(merged.values())


def _reduce(draft: Draft) -> None:
    """Keep the largest connected part."""
    parts = _parts(len(draft.names), draft.links)
    largest = max(parts, key=len)
    if len(largest) == len(draft.names):
        return
    draft.notices.append(f"{len(draft.names) - len(largest)} node(s) outside the largest connected part left out")
    number = {node: index for index, node in enumerate(largest)}
    draft.names = [draft.names[node] for node in largest]
    draft.positions = [draft.positions[node] for node in largest]
    draft.links = [
        DraftLink(number[link.src], number[link.dst], link.capacity, link.weight, link.line)
        for link in draft.links
        if link.src in number and link.dst in number
    ]
    if draft.demands is not None:
        draft.demands = [
            DraftDemand(number[demand.src], number[demand.dst], demand.rate)
            for demand in draft.demands
            if demand.src in number and demand.dst in number
        ]


def _parts(num_nodes: int, links: list[DraftLink]) -> list[list[int]]:
    """Return the connected parts, each ascending, ordered by their first node."""
    neighbours: list[list[int]] = [[] for _ in range(num_nodes)]
    for link in links:
        neighbours[link.src].append(link.dst)
        neighbours[link.dst].append(link.src)
    seen = [False] * num_nodes
    parts = []
    for start in range(num_nodes):
        part = [] if seen[start] else [start]
        seen[start] = True
        for node in part:
            for neighbour in neighbours[node]:
                if not seen[neighbour]:
                    seen[neighbour] = True
                    part.append(neighbour)
        if part:
            parts.append(sorted(part))
    return parts or [[]]


def _topology(draft: Draft, path: Path) -> Topology:
    links = [(link.src, link.dst) for link in draft.links]
    capacity = np.array([link.capacity for link in draft.links], dtype=np.float64)
    positions = np.array(draft.positions, dtype=np.float64).reshape(len(draft.names), 2)
    try:
        return Topology.from_links(draft.name, draft.names, links, capacity, positions, geographic=draft.geographic)
    except InvalidLink as error:
        raise InputError(error.message, path, draft.links[error.link].line) from error
    except DisconnectedTopology as error:
        hint = "; `python -m routing.formats convert --largest` keeps its largest part"
        raise DisconnectedTopology(error.message + hint, path) from error
    except InputError as error:
        raise type(error)(error.message, path) from error


def _weights(draft: Draft, topology: Topology) -> NDArray[np.int64] | None:
    weights = np.zeros(topology.num_links, dtype=np.int64)
    for link in draft.links:
        if link.weight is None:
            return None
        if not 1 <= link.weight <= MAX_WEIGHT:
            draft.notices.append(f"weights left out: {link.weight} is one, expected 1..{MAX_WEIGHT}")
            return None
        weights[topology.link_index(link.src, link.dst)] = link.weight
    return weights
