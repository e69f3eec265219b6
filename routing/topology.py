"""The network: nodes, directed links in canonical order, capacities.

Links are numbered 0..L-1 in ascending order of (src, dst), so the links out of a node are a slice and every program
that reads the same network gives the same link the same number. OSPF runs over a link only if both ends see each other
(RFC 2328, 16.1 step 2b), hence every link must have its reverse; both may differ in capacity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routing.errors import DisconnectedTopology, InputError, InvalidLink

# Node names become folder names and MQTT topic levels; these characters would break one or the other.
FORBIDDEN_IN_NAMES = "/\\+#"


@dataclass(frozen=True, eq=False)
class Topology:
    """A network whose links all have a reverse and whose nodes all reach each other.

    Build one with `from_links`, which sorts; the constructor insists on the canonical order. All arrays are read-only.

    Parameters
    ----------
    name : what to call it
    nodes : N different names
    src, dst : (L,) int32, ends of each link, sorted by (src, dst)
    capacity : (L,) float64, bit/s
    positions : (N, 2) float64, longitude and latitude in degrees, NaN where unknown
    geographic : False if `positions` are just where to draw the nodes (x, y)

    Attributes
    ----------
    out_ptr : (N+1,) int32, the links out of n are ``out_ptr[n]:out_ptr[n+1]``
    in_ptr : (N+1,) int32
    in_links : (L,) int32, the links into n are ``in_links[in_ptr[n]:in_ptr[n+1]]``, ascending
    reverse : (L,) int32, the link in the other direction

    Raises
    ------
    InvalidLink : a self-loop, a link given twice, a one-way link, a capacity that is not a positive number
    DisconnectedTopology : some node cannot be reached from the first
    InputError : node names that are missing, repeated or unusable
    """

    name: str
    nodes: tuple[str, ...]
    src: NDArray[np.int32]
    dst: NDArray[np.int32]
    capacity: NDArray[np.float64]
    positions: NDArray[np.float64]
    geographic: bool = True
    out_ptr: NDArray[np.int32] = field(init=False, repr=False)
    in_ptr: NDArray[np.int32] = field(init=False, repr=False)
    in_links: NDArray[np.int32] = field(init=False, repr=False)
    reverse: NDArray[np.int32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Copy, check and freeze the arrays, and derive the others."""
        src, dst = (np.array(a, dtype=np.int32) for a in (self.src, self.dst))
        capacity = np.array(self.capacity, dtype=np.float64)
        positions = np.array(self.positions, dtype=np.float64)
        num_nodes = len(self.nodes)
        if not src.shape == dst.shape == capacity.shape == (src.size,) or positions.shape != (num_nodes, 2):
            raise ValueError("expected src, dst, capacity of shape (L,) and positions of shape (N, 2)")
        if src.size and (min(src.min(), dst.min()) < 0 or max(src.max(), dst.max()) >= num_nodes):
            raise ValueError(f"a link names a node outside 0..{num_nodes - 1}")
        pair = src.astype(np.int64) * num_nodes + dst
        if np.any(np.diff(pair) < 0):
            raise ValueError("links must be sorted by (src, dst); Topology.from_links sorts")
        _check_names(self.nodes)
        _check_links(self.nodes, src, dst, capacity)

        reverse = np.searchsorted(pair, dst.astype(np.int64) * num_nodes + src)
        derived: dict[str, NDArray[np.generic]] = {
            "src": src,
            "dst": dst,
            "capacity": capacity,
            "positions": positions,
            "out_ptr": np.searchsorted(src, np.arange(num_nodes + 1)).astype(np.int32),
            "in_ptr": np.concatenate([[0], np.cumsum(np.bincount(dst, minlength=num_nodes))]).astype(np.int32),
            "in_links": np.argsort(dst, kind="stable").astype(np.int32),
            "reverse": reverse.astype(np.int32),
        }
        for attribute, array in derived.items():
            array.setflags(write=False)
            object.__setattr__(self, attribute, array)
        self._check_connected()

    @classmethod
    def from_links(
        cls,
        name: str,
        nodes: Sequence[str],
        links: Iterable[tuple[int, int]] | NDArray[np.integer],
        capacity: ArrayLike,
        positions: ArrayLike | None = None,
        *,
        geographic: bool = True,
    ) -> Topology:
        """Sort `links`, (L, 2) pairs of node indices, and `capacity`, (L,) or one number for all in bit/s."""
        pairs = np.array(links if isinstance(links, np.ndarray) else list(links), dtype=np.int64).reshape(-1, 2)
        rates = np.array(np.broadcast_to(np.asarray(capacity, dtype=np.float64), (len(pairs),)))
        # Checked before sorting as well, so that an error names the link by the caller's index.
        _check_links(nodes, pairs[:, 0], pairs[:, 1], rates)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        where = np.full((len(nodes), 2), np.nan) if positions is None else np.asarray(positions, dtype=np.float64)
        src, dst = pairs[order].T.astype(np.int32)
        return cls(name, tuple(nodes), src, dst, rates[order], where, geographic)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.nodes)

    @property
    def num_links(self) -> int:
        """L, directed links."""
        return len(self.src)

    def link_index(self, src: int, dst: int) -> int:
        """Index of the link from node `src` to node `dst`; ValueError if there is none."""
        if 0 <= src < self.num_nodes:
            out = self.out_links(src)
            found = int(self.out_ptr[src]) + int(np.searchsorted(self.dst[out], dst))
            if found < out.stop and self.dst[found] == dst:
                return found
        raise ValueError(f"no link from node {src} to node {dst}")

    def link_name(self, link: int) -> str:
        """``Hamburg->Bremen``."""
        return _arrow(self.nodes, self.src[link], self.dst[link])

    def out_links(self, node: int) -> slice:
        """Slice of the links out of `node`."""
        return slice(int(self.out_ptr[node]), int(self.out_ptr[node + 1]))

    def incoming(self, node: int) -> NDArray[np.int32]:
        """(d,) int32, the links into `node`, ascending."""
        return self.in_links[self.in_ptr[node] : self.in_ptr[node + 1]]

    def without_links(self, links: Iterable[int]) -> Topology:
        """Return the network after `links` failed; a failed link takes its reverse with it.

        Raises DisconnectedTopology if that cuts the network.
        """
        failed = np.array(list(links), dtype=np.int64)
        keep = np.ones(self.num_links, dtype=bool)
        keep[failed] = False
        keep[self.reverse[failed]] = False
        return Topology(
            self.name, self.nodes, self.src[keep], self.dst[keep], self.capacity[keep], self.positions, self.geographic
        )

    def digest(self) -> bytes:
        """16 bytes that two networks share only if nodes (names and order), links and capacities are the same."""
        names = "\0".join(self.nodes).encode()
        digest = hashlib.blake2s(digest_size=16)
        digest.update(np.array([self.num_nodes, self.num_links, len(names)], dtype="<i8").tobytes() + names)
        for array, layout in ((self.src, "<i4"), (self.dst, "<i4"), (self.capacity, "<f8")):
            digest.update(array.astype(layout).tobytes())
        return digest.digest()

    def _check_connected(self) -> None:
        # Every link has its reverse, so what node 0 cannot reach cannot reach node 0 either.
        reached = np.zeros(self.num_nodes, dtype=bool)
        reached[0] = True
        frontier = [0]
        while frontier:
            for neighbour in self.dst[self.out_links(frontier.pop())].tolist():
                if not reached[neighbour]:
                    reached[neighbour] = True
                    frontier.append(neighbour)
        if not reached.all():
            missing = _listed([self.nodes[n] for n in np.flatnonzero(~reached)])
            raise DisconnectedTopology(f"the network is not connected: no path from {self.nodes[0]} to {missing}")


def _check_names(nodes: Sequence[str]) -> None:
    if len(nodes) < 2:
        raise InputError(f"the network has {len(nodes)} node(s), expected at least 2")
    seen: set[str] = set()
    for name in nodes:
        if name in seen:
            raise InputError(f"two nodes are called {name!r}, expected different names")
        if not name or not name.isprintable() or name != name.strip() or name in (".", ".."):
            raise InputError(f"{name!r} cannot be a node's name, expected printable text without outer spaces")
        if any(c in FORBIDDEN_IN_NAMES for c in name):
            raise InputError(f"{name!r} cannot be a node's name, expected none of the characters / \\ + #")
        seen.add(name)


def _check_links(
    nodes: Sequence[str], src: NDArray[np.integer], dst: NDArray[np.integer], capacity: NDArray[np.float64]
) -> None:
    """Raise InvalidLink for the first link that is a self-loop, a duplicate, one-way or without a usable capacity."""
    first: dict[tuple[int, int], int] = {}
    for link, (*ends, rate) in enumerate(zip(src.tolist(), dst.tolist(), capacity.tolist(), strict=True)):
        pair = (ends[0], ends[1])
        if pair[0] == pair[1]:
            raise InvalidLink(f"{_arrow(nodes, *pair)} is a self-loop, expected two different nodes", link)
        if pair in first:
            raise InvalidLink(f"duplicate link {_arrow(nodes, *pair)}", link)
        if not 0 < rate < np.inf:
            name = _arrow(nodes, *pair)
            raise InvalidLink(f"capacity of {name} is {rate:g}, expected a positive number of bit/s", link)
        first[pair] = link
    one_way = [pair for pair in first if pair[::-1] not in first]
    if one_way:
        names = _listed([_arrow(nodes, *pair) for pair in one_way])
        raise InvalidLink(f"one-way link(s), every link needs its reverse: {names}", first[one_way[0]])


def _arrow(nodes: Sequence[str], src: int, dst: int) -> str:
    return f"{nodes[src]}->{nodes[dst]}"


def _listed(names: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
