"""What the trainer trains and validates on: (topology, traffic matrix, start weights), all drawn from seeds.

The published data set's 150 matrices per network and profile are split once for the whole project: 0-79 train, 80-99
validate, 100-149 test. `InstanceSource` never returns a test matrix, and refuses GBN.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.episode import default_steps
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, uniform

PROFILES = ("uniform", "gravity")
TRAIN, VALIDATION, TEST = range(0, 80), range(80, 100), range(100, 150)
NEVER_TRAINED = ("gbn",)
_GENERATED_VALIDATION = 1_000_000  # seeds of generated validation matrices start here, far from the training's


@dataclass(frozen=True, eq=False)
class Instance:
    """One optimisation problem.

    start_weights : (L,) int64, 1..65535
    steps : T, length of an episode
    profile : "uniform" or "gravity", the kind of traffic
    """

    topology: Topology
    traffic: TrafficMatrix
    start_weights: NDArray[np.int64]
    steps: int
    profile: str


def random_weights(num_links: int, *key: int) -> NDArray[np.int64]:
    """Draw start weights as the paper does, uniformly from {1, 2, 3, 4}, from a keyed counter-based generator."""
    return _generator(*key).integers(1, 5, num_links)


def generated_matrix(topology: Topology, profile: str, seed: int) -> TrafficMatrix:
    """Return a matrix of the profile's kind from `routing.traffic`."""
    return (uniform if profile == "uniform" else gravity)(topology, seed)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


class PublishedData:
    """The published data set, when its folder is there: traffic matrices and the paper's own start weights.

    Raises InputError where the folder or a file of it is missing or does not fit the project's topologies.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "links.csv").is_file():
            raise InputError("expected the published data set (links.csv, NETWORK_PROFILE.npz)", folder)
        self.folder = folder
        self._matrices: dict[tuple[str, str], NDArray[np.float64]] = {}

    def _path(self, topology: Topology, profile: str) -> Path:
        path = self.folder / f"{topology.name}_{profile}.npz"
        if not path.is_file():
            raise InputError("no such file in the data set", path)
        return path

    def _load(self, topology: Topology, profile: str) -> NDArray[np.float64]:
        key = (topology.name, profile)
        if key not in self._matrices:
            path = self._path(topology, profile)
            with np.load(path) as archive:
                links, capacity, matrices = archive["links"], archive["capacity"], archive["tm"]
            order = np.lexsort((links[:, 1], links[:, 0]))
            if not np.array_equal(links[order], np.stack([topology.src, topology.dst], axis=1)):
                raise InputError(f"links differ from those of {topology.name}", path)
            # The files count capacity in units of 1000 bit/s, and demands in the same unit.
            scale = topology.capacity / capacity[order]
            if not np.allclose(scale, scale[0]):
                raise InputError(f"capacities are not proportional to those of {topology.name}", path)
            self._matrices[key] = matrices.astype(np.float64) * scale[0]
        return self._matrices[key]

    def matrix(self, topology: Topology, profile: str, index: int) -> TrafficMatrix:
        """Traffic matrix `index` (0..149), scaled to the topology's unit."""
        return TrafficMatrix(self._load(topology, profile)[index], f"{topology.name}-{profile}-{index}")

    def paper_weights(self, topology: Topology) -> NDArray[np.int64]:
        """Return the weights with which the paper starts every episode, in canonical link order."""
        with np.load(self._path(topology, PROFILES[0])) as archive:
            links = archive["links"]
        # The published code's own generator and link order: numpy's legacy seeding is part of the data.
        drawn = np.random.RandomState(1).randint(1, 5, len(links))
        return drawn[np.lexsort((links[:, 1], links[:, 0]))].astype(np.int64)


def random_topology(seed: int, num_nodes: int) -> Topology:
    """Return a connected network: a random tree plus as many chords, capacities of 10, 40 or 100 Mbit/s."""
    rng = _generator(seed, num_nodes)
    pairs = {(int(rng.integers(n)), n) for n in range(1, num_nodes)}
    while len(pairs) < min(2 * num_nodes - 2, num_nodes * (num_nodes - 1) // 2):
        a, b = sorted(rng.choice(num_nodes, 2, replace=False).tolist())
        pairs.add((a, b))
    chosen = sorted(pairs)
    capacity = rng.choice([10e6, 40e6, 100e6], len(chosen))
    links = [*chosen, *((b, a) for a, b in chosen)]
    return Topology.from_links(
        f"random-{seed}", [f"r{n}" for n in range(num_nodes)], links, np.concatenate([capacity, capacity])
    )


class InstanceSource:
    """Draws training instances and lists validation instances.

    Parameters
    ----------
    topologies : names of the networks to train on; both traffic profiles of each
    data : folder of the published data set, or None for generated matrices
    seed : of everything that is drawn
    stretch : episode length in units of the default
    matrices : how many training matrices each network and profile has, taken in turn; None: any, drawn
    fixed_start : all episodes on a network start from the same weights, the paper's own where the data set has them
    """

    def __init__(
        self,
        topologies: tuple[str, ...],
        data: Path | None,
        seed: int,
        stretch: float = 1.0,
        *,
        matrices: int | None = None,
        fixed_start: bool = False,
    ) -> None:
        forbidden = sorted(set(topologies) & set(NEVER_TRAINED))
        if forbidden:
            raise InputError(f"{forbidden[0]} is kept for testing, expected other networks to train on")
        self._networks = [(load_topology(name, profile), profile) for name in topologies for profile in PROFILES]
        self._published = PublishedData(data) if data else None
        self._seed = seed
        self._stretch = stretch
        self._matrices = matrices
        self._fixed_start = fixed_start
        self._random: dict[int, Topology] = {}

    @property
    def description(self) -> str:
        """What a checkpoint's metadata says about its data."""
        names = ", ".join(dict.fromkeys(topology.name for topology, _ in self._networks))
        source = "published matrices 0-79" if self._published else "generated matrices"
        start = "one set of start weights" if self._fixed_start else "start weights drawn"
        return f"{names}; uniform and gravity traffic; {source}; {start} from 1..4"

    def _matrix(self, topology: Topology, profile: str, index: int) -> TrafficMatrix:
        if self._published:
            return self._published.matrix(topology, profile, index)
        return generated_matrix(topology, profile, index)

    def _instance(
        self, topology: Topology, profile: str, traffic: TrafficMatrix, weights: NDArray[np.int64]
    ) -> Instance:
        steps = max(1, round(self._stretch * default_steps(topology)))
        return Instance(topology, traffic, weights, steps, profile)

    def _fixed_weights(self, topology: Topology) -> NDArray[np.int64]:
        if self._published:
            return self._published.paper_weights(topology)
        return random_weights(topology.num_links, self._seed, 4)

    def train(self, draw: int, count: int) -> list[Instance]:
        """Draw instances: every network and profile in turn, fresh start weights; the same for the same `draw`."""
        rng = _generator(self._seed, 1, draw)
        instances = []
        for i in range(count):
            turn, network = divmod(i + draw * count, len(self._networks))
            topology, profile = self._networks[network]
            index = int(rng.choice(TRAIN)) if self._published else int(rng.integers(_GENERATED_VALIDATION))
            if self._matrices is not None:
                index = turn % min(self._matrices, len(TRAIN) if self._published else self._matrices)
            weights = rng.integers(1, 5, topology.num_links)
            if self._fixed_start:
                weights = self._fixed_weights(topology)
            instances.append(self._instance(topology, profile, self._matrix(topology, profile, index), weights))
        return instances

    def random_networks(self, draw: int, count: int, sizes: tuple[int, int], pool: int = 200) -> list[Instance]:
        """Draw instances on random networks, from a pool, so that their graphs are reused.

        Half of them start from weights 1..4, half from inverse capacities, as an operator's network would.
        """
        rng = _generator(self._seed, 2, draw)
        instances = []
        for _ in range(count):
            which = int(rng.integers(pool))
            if which not in self._random:
                self._random[which] = random_topology(which, int(_generator(which).integers(sizes[0], sizes[1] + 1)))
            topology = self._random[which]
            profile = PROFILES[int(rng.integers(len(PROFILES)))]
            traffic = generated_matrix(topology, profile, int(rng.integers(_GENERATED_VALIDATION)))
            weights = rng.integers(1, 5, topology.num_links)
            if rng.random() < 0.5:
                weights = inverse_capacity(topology)
            instances.append(self._instance(topology, profile, traffic, weights))
        return instances

    def validation(self, per_network: int = 20) -> list[Instance]:
        """Return unseen matrices (80-99, or generated) on the same networks; half of them start as the paper does."""
        instances = []
        for topology, profile in self._networks:
            for i in range(per_network):
                index = VALIDATION[i % len(VALIDATION)] if self._published else _GENERATED_VALIDATION + i
                weights = random_weights(topology.num_links, self._seed, 3, i)
                if self._published and i % 2 == 0:
                    weights = self._published.paper_weights(topology)
                instances.append(self._instance(topology, profile, self._matrix(topology, profile, index), weights))
        return instances
