"""The routing of a large network in several threads: each keeps a share of the destinations.

Destinations do not touch each other: loads and shifted shares are sums of integers over them, so that the sums, and
every decision made by them, are those of one thread, bit for bit. The kernels release the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix


class ParallelRouting:
    """What the central engine asks of a `RoutingState`, by several of them at once.

    Parameters
    ----------
    topology, traffic, weights, ecmp : as of `RoutingState`
    threads : how many, at most one for each node

    Attributes
    ----------
    weights, load : (L,) int64, as of `RoutingState`
    quantum : bit/s

    Raises
    ------
    InputError : traffic or weights do not fit the topology
    """

    def __init__(
        self, topology: Topology, traffic: TrafficMatrix, weights: ArrayLike, *, ecmp: bool = True, threads: int
    ) -> None:
        threads = min(threads, topology.num_nodes)
        # Neighbours in number are neighbours on the map more often than not: taking turns shares the work evenly.
        rows = [np.arange(turn, topology.num_nodes, threads, dtype=np.int32) for turn in range(threads)]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._parts = [RoutingState(topology, traffic, weights, ecmp=ecmp, destinations=own) for own in rows]
        self.quantum = self._parts[0].quantum
        self.load: NDArray[np.int64] = np.zeros(topology.num_links, dtype=np.int64)
        self._sum_loads()

    @property
    def weights(self) -> NDArray[np.int64]:
        """The weights, (L,) int64."""
        return self._parts[0].weights

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def evaluate(self) -> None:
        """Compute everything from the weights, from nothing."""
        self._each(RoutingState.evaluate)
        self._sum_loads()

    def raise_weights(self, links: Sequence[int]) -> None:
        """Raise the weight of each of `links` by one, one after the other, as `RoutingState.raise_weights` does."""
        self._each(lambda part: part.raise_weights(links))
        self._sum_loads()

    def track_shares(self) -> None:
        """As `RoutingState.track_shares`."""
        self._each(lambda part: part.track_shares())

    def shifted_shares(self, links: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the shifted share of each of `links`, (n,) float64. Raises ValueError unless they are tracked."""
        moved = self._parts[0].moved.copy()
        for part in self._parts[1:]:
            moved += part.moved
        load = self.load[links]
        return np.divide(moved[links], load, out=np.zeros(len(links)), where=load > 0)

    def _sum_loads(self) -> None:
        np.add.reduce([part.load for part in self._parts], out=self.load)

    def _each(self, work: Callable[[RoutingState], None]) -> None:
        """Do the same to every part, the first of them in the caller's thread."""
        others = [self._pool.submit(work, part) for part in self._parts[1:]] if self._pool is not None else []
        work(self._parts[0])
        for other in others:
            other.result()
