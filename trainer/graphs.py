"""Which links hear which, for many networks of different topologies in one call.

The networks form a *block-diagonal* graph: links of all samples are stacked into one axis, and adjacencies (sender link
-> receiver link) are shifted by each sample's first link.

| symbol | shape | meaning |
|---|---|---|
| senders, receivers | (A,) | a message goes from link senders[a] to link receivers[a]; receivers ascend |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from routing.topology import Topology


@dataclass(frozen=True)
class LinkGraph:
    """Adjacencies between the stacked links of one or more networks.

    senders, receivers : (A,) int64, receivers ascending
    first : (n+1,) int64, the adjacencies of link r are ``first[r]:first[r+1]``
    in_degree : (n, 1) float32, senders per link (at least 1: the reverse link sends too)
    """

    senders: Tensor
    receivers: Tensor
    first: Tensor
    in_degree: Tensor

    @property
    def num_links(self) -> int:
        """Number of stacked links n."""
        return len(self.in_degree)

    def to(self, device: torch.device) -> LinkGraph:
        """Return the graph on a device."""
        return LinkGraph(*(x.to(device) for x in (self.senders, self.receivers, self.first, self.in_degree)))


def adjacency(topology: Topology) -> NDArray[np.int64]:
    """Return (2, A) sender and receiver links: link j->k hears every link i->j, in ascending order of both."""
    pairs = [(int(s), r) for r in range(topology.num_links) for s in topology.incoming(int(topology.src[r]))]
    return np.array(pairs, dtype=np.int64).T.copy()


def block_diagonal(blocks: Sequence[tuple[Topology, int]]) -> LinkGraph:
    """Stack `copies` of each topology: blocks = [(topology, copies), ...], links in that order."""
    parts, offset = [], 0
    for topology, copies in blocks:
        shift = offset + topology.num_links * np.arange(copies, dtype=np.int64)
        parts.append((adjacency(topology)[:, None, :] + shift[None, :, None]).reshape(2, -1))
        offset += topology.num_links * copies
    senders, receivers = np.concatenate(parts, axis=1)
    in_degree = np.bincount(receivers, minlength=offset)
    first = np.concatenate([[0], np.cumsum(in_degree)])
    counted = in_degree.astype(np.float32)[:, None]
    return LinkGraph(*(torch.from_numpy(array) for array in (senders, receivers, first, counted)))


class GraphCache:
    """Keeps the block-diagonal graphs of recent block sizes: in training the same few return in every iteration."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._lock = Lock()  # actor and critic may ask at once
        self._graphs: dict[tuple[tuple[int, int], ...], tuple[LinkGraph, list[Topology]]] = {}

    def get(self, blocks: Sequence[tuple[Topology, int]], device: torch.device) -> LinkGraph:
        """Return `block_diagonal(blocks)` on a device, always the same one."""
        key = tuple((id(topology), copies) for topology, copies in blocks)
        with self._lock:
            if key not in self._graphs:
                if len(self._graphs) >= self._limit:
                    del self._graphs[next(iter(self._graphs))]
                # Holding the topologies keeps their ids from being given to others.
                self._graphs[key] = (block_diagonal(blocks).to(device), [topology for topology, _ in blocks])
            return self._graphs[key][0]
