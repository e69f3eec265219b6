"""The problems of a network that loses links: each a traffic matrix of the whole network, and links that failed.

A scenario's failed links are drawn one after the other, each among those whose loss leaves the network connected. The
draw depends on the seed, the number of failures and the scenario's number alone: every matrix and every method meets
the same scenarios. A link fails in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments.quality_instances import Instance, Key, Source
from routing.errors import DisconnectedTopology, InputError
from routing.topology import Topology

_STREAM = 0x6661696C


@dataclass(frozen=True)
class Scenarios:
    """Instances of one network with failed links; the matrix of a key is spelled ``MATRIX/FAILED/SCENARIO``.

    Parameters
    ----------
    source : of the whole network's instances; one cell
    failed : numbers of failed links
    scenarios : how many for each number of failures
    seed : of the draws
    """

    source: Source
    failed: tuple[int, ...]
    scenarios: int
    seed: int

    @property
    def keys(self) -> list[Key]:
        """All instances: the first scenario of every matrix and number of failures, then the second."""
        return [
            key._replace(matrix=f"{key.matrix}/{failed}/{scenario}")
            for scenario in range(self.scenarios)
            for failed in self.failed
            if failed or not scenario  # without failures there is but one
            for key in self.source.keys
        ]

    def load(self, key: Key) -> Instance:
        """Load an instance; raises InputError if so many links cannot fail."""
        matrix, failed, scenario = split(key)
        whole = self.source.load(key._replace(matrix=matrix))
        if not failed:
            return replace(whole, key=key)
        lost = failed_links(whole.topology, failed, self.seed, scenario)
        left = whole.topology.without_links(lost.tolist())
        kept = [whole.topology.link_index(a, b) for a, b in zip(left.src.tolist(), left.dst.tolist(), strict=True)]
        # What was known of the whole network, the bound and another's answers, does not hold for the rest.
        return Instance(key, left, whole.traffic, whole.weights[kept])


def split(key: Key) -> tuple[int | str, int, int]:
    """Return the matrix, the number of failed links and the scenario of a key."""
    matrix, failed, scenario = str(key.matrix).rsplit("/", 2)
    return int(matrix) if matrix.isdigit() else matrix, int(failed), int(scenario)


def failed_links(topology: Topology, failed: int, seed: int, scenario: int) -> NDArray[np.int64]:
    """Return the links, one of each pair of directions, that fail in a scenario, (failed,) int64.

    Raises
    ------
    InputError : the network does not stay connected without so many links
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, _STREAM, failed, scenario))))
    lost: list[int] = []
    for link in random.permutation(np.flatnonzero(topology.src < topology.dst)).tolist():
        if len(lost) == failed:
            break
        try:
            topology.without_links([*lost, link])
        except DisconnectedTopology:
            continue
        lost.append(link)
    if len(lost) < failed:
        raise InputError(f"{topology.name} stays connected without {len(lost)} links, not {failed}: expected fewer")
    return np.array(lost, dtype=np.int64)
