"""One episode: T steps on one (topology, traffic matrix), each changing the weight of the link that the policy sampled.

The link's weight grows by one, as in paper 003; with the features `moves` it may fall instead (`Episode.offers`). Only
the link is sent: what becomes of its weight follows from the state that all routers have.

`Episode` is the state of the whole network that every router keeps for itself; `run_episode` is the central engine: one
process that decides what the routers would decide together, bit for bit. As a command, without any agents:

    python -m policy.episode gbn --traffic uniform --seed 1
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence, Set
from contextlib import closing

import numpy as np
from numpy.typing import ArrayLike, NDArray

from policy import features as kernels
from policy.checkpoint import Checkpoint
from policy.features import FEATURE_SETS, HOT, LOOKING_AHEAD, NEVER, NUMBERS, RECENCY
from policy.mpnn import Network, adjacency_without
from policy.sampling import choose, quantise, scores
from policy.schedule import increments_at, is_over
from policy.trace import EpisodeTrace
from routing.parallel import ParallelRouting
from routing.state import MAX_WEIGHT, RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_TRACKED_FROM = 64  # nodes; below, computing all shares anew costs less than keeping them

# On two cores a second thread saves up to a quarter of the time with 1000 nodes, a third with 2000, nothing with 500.
_PARALLEL_FROM = 1000

_STEPS = {"nsfnet": 100, "gbn": 150, "geant2": 200}  # paper 003, V-A


def default_threads(topology: Topology) -> int:
    """Return how many threads the central engine takes: two from 1000 nodes on, where each has enough to do."""
    return min(2, os.cpu_count() or 1) if topology.num_nodes >= _PARALLEL_FROM else 1


def default_steps(topology: Topology) -> int:
    """T: 100 for nsfnet, 150 for gbn, 200 for geant2 (paper 003), else floor(2.75 L) (its successor)."""
    return _STEPS.get(topology.name.lower(), 11 * topology.num_links // 4)


class Episode:
    """The global state during an episode; the same history gives the same bits on every router.

    Parameters
    ----------
    topology, traffic
        The problem.
    start_weights : (L,) integers, 1..65535
        Weights before the first step.
    steps
        T, the intended length (agents see how much of it is over).
    features
        Name in `policy.features.FEATURE_SETS`.
    ecmp
        As in `RoutingState`.
    threads
        That route; for the central engine on large networks. Features that look ahead take one.
    patience
        Steps without a better state after which the episode is over; 0: it has all T.

    Attributes
    ----------
    routing : RoutingState, or with several threads ParallelRouting
    step : decisions taken so far
    mlu : now
    best_mlu, best_step, best_weights : of the best state so far, the start (step 0) included; the first of equals

    Raises
    ------
    InputError : traffic or weights do not fit the topology
    """

    def __init__(
        self,
        topology: Topology,
        traffic: TrafficMatrix,
        start_weights: ArrayLike,
        steps: int,
        features: str,
        *,
        ecmp: bool = True,
        threads: int = 1,
        patience: int = 0,
    ) -> None:
        self.topology = topology
        self.steps = steps
        self.patience = patience
        self.routing: RoutingState | ParallelRouting
        if threads > 1 and features not in LOOKING_AHEAD:
            self.routing = ParallelRouting(topology, traffic, start_weights, ecmp=ecmp, threads=threads)
        else:
            self.routing = RoutingState(topology, traffic, start_weights, ecmp=ecmp)
        self.step = 0
        self._features = features
        self._num_features = len(FEATURE_SETS[features])
        self._capacity = topology.capacity / self.routing.quantum
        self._log_capacity = kernels.log_capacity(topology.capacity)
        self._chosen_at = np.full(topology.num_links, NEVER, dtype=np.int64)
        self._chosen = np.zeros(topology.num_links, dtype=np.int64)
        self._relative = np.zeros(topology.num_links)
        self._change = np.zeros(topology.num_links)
        self._numbers = np.zeros(NUMBERS)
        self._tracked = False
        self._observe()
        self._change[:] = 0.0
        self.best_step = 0
        self.best_mlu = self._numbers[kernels.BEST_MLU] = self.mlu
        self.best_weights = self.routing.weights.copy()

    def _observe(self) -> None:
        routing, numbers = self.routing, self._numbers
        kernels.observe(routing.load, self._capacity, routing.weights, self._relative, self._change, numbers)
        numbers[kernels.TIME] = self.step / self.steps if self.steps else 0.0
        self.mlu = float(numbers[kernels.MLU])

    def features(self, links: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the features (n, F) of `links` (n,) int32 for the next decision."""
        routing = self.routing
        out = np.empty((len(links), self._num_features), dtype=np.float32)
        if self._features == "paper":
            kernels.paper_features(links, routing.weights, routing.load, self._capacity, out)
        else:
            large = self.topology.num_nodes >= _TRACKED_FROM or isinstance(routing, ParallelRouting)
            if not self._tracked and large and len(links) == self.topology.num_links:
                routing.track_shares()  # this is the central engine: all links, every time
                self._tracked = True
            kernels.default_features(
                links, routing.weights, self._relative, self._change, self._log_capacity, self._chosen_at, self._chosen,
                routing.shifted_shares(links), self.step, self._numbers, RECENCY, out,
            )  # fmt: skip
            if self._features in LOOKING_AHEAD:
                assert isinstance(routing, RoutingState)
                weights, offered = routing.weights[links], self.offers(links)
                look = (offered < weights) | (self._relative[links] >= HOT)
                effects = np.ones((len(links), 2))
                effects[look] = routing.what_if(links[look], offered[look])
                kernels.lookahead_features(effects, out)
                if self._features == "moves":
                    kernels.move_feature(weights, offered, out)
        return out

    def offers(self, links: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the weight that each of `links` (n,) int32 takes if it is chosen next, (n,) int64.

        One more than now, at most 65535. With the features `moves`, links that are not hot (u / U < 0.5) become cheaper
        instead, where that changes what their routers do (`RoutingState.lowered`).
        """
        weights = self.routing.weights
        if self._features != "moves":
            risen: NDArray[np.int64] = np.minimum(weights[links] + 1, MAX_WEIGHT)
            return risen
        assert isinstance(self.routing, RoutingState)
        offered = np.empty(len(links), dtype=np.int64)
        kernels.offers(links, weights, self.routing.lowered(links), self._relative, MAX_WEIGHT, offered)
        return offered

    @property
    def over(self) -> bool:
        """Whether there is nothing left to decide."""
        return is_over(self.step, self.steps, self.best_step, self.patience)

    def close(self) -> None:
        """End the threads, if there are any."""
        if isinstance(self.routing, ParallelRouting):
            self.routing.close()

    def apply(self, links: Sequence[int]) -> float:
        """Give each link the weight it offers, count the step and return the new MLU.

        ValueError for a link that does not exist.
        """
        for link in links:
            if not 0 <= link < self.topology.num_links:
                raise ValueError(f"link {link}, expected 0..{self.topology.num_links - 1}")
            self._chosen_at[link] = self.step
            self._chosen[link] += 1
        if self._features == "moves":
            assert isinstance(self.routing, RoutingState)
            chosen = np.array(links, dtype=np.int32)
            for link, weight in zip(links, self.offers(chosen).tolist(), strict=True):
                self.routing.set_weight(link, weight)
        else:
            self.routing.raise_weights(links)
        self.step += 1
        self._observe()
        if self.mlu < self.best_mlu:
            self.best_step = self.step
            self.best_mlu = self._numbers[kernels.BEST_MLU] = self.mlu
            self.best_weights = self.routing.weights.copy()
        return self.mlu


def run_episode(
    topology: Topology,
    traffic: TrafficMatrix,
    start_weights: ArrayLike,
    checkpoint: Checkpoint,
    *,
    steps: int,
    seed: int,
    episode: int = 0,
    temperature: float | None = None,
    increments: int = 1,
    opening: int | None = None,
    patience: int | None = None,
    ecmp: bool = True,
    threads: int = 1,
    absent: Set[int] = frozenset(),
    network: Network | None = None,
) -> EpisodeTrace:
    """Run an episode centrally: the same decisions as the routers' for the same arguments.

    After links failed, `topology` is what is left of it, see `routing.subnetwork`.

    Parameters
    ----------
    steps : T
    seed : 0..2**64-1
    episode : number of the episode; each has noise of its own
    temperature : divides the logits; default: the checkpoint's
    increments : links per step, sampled without replacement
    opening : links in the first step, fewer in the next ones (`policy.schedule`); default: the checkpoint's
    patience : steps without a better state after which it ends (`policy.schedule`); 0: never; default: the checkpoint's
    threads : for networks of hundreds of nodes; the decisions are the same
    absent : nodes without an agent: their links keep their weights and send no hidden states
    network : what computes the logits, for experiments; default: the checkpoint's

    Raises
    ------
    InputError : traffic or weights do not fit the topology
    ValueError : no node has an agent
    NonFiniteLogit : the network computed NaN or infinity
    """
    network = Network(checkpoint.preset, checkpoint.parameters) if network is None else network
    temperature = checkpoint.temperature if temperature is None else temperature
    opening = checkpoint.opening if opening is None else opening
    patience = checkpoint.patience(steps) if patience is None else patience
    features = checkpoint.preset.features
    state = Episode(topology, traffic, start_weights, steps, features, ecmp=ecmp, threads=threads, patience=patience)
    links = np.arange(topology.num_links, dtype=np.int32)
    own = links[~np.isin(topology.src, list(absent))]
    if not len(own):
        raise ValueError("no node has an agent")
    pairs = adjacency_without(topology, absent) if absent else None
    actions = np.full((steps, min(max(increments, opening), len(own))), -1, dtype=np.int32)
    scored = np.zeros(actions.shape, dtype=np.int64)
    mlu = np.zeros(steps + 1)
    mlu[0] = state.mlu
    with closing(state):
        while not state.over:
            step = state.step
            logits = quantise(network.logits(topology, state.features(links), pairs)[own], temperature)
            top = increments_at(step, steps, opening, increments)
            chosen = choose(scores(logits, own, seed, episode, step), own, top)
            scored[step, : len(chosen)], actions[step, : len(chosen)] = zip(*chosen, strict=True)
            mlu[step + 1] = state.apply([link for _, link in chosen])
    done = state.step
    return EpisodeTrace(
        actions[:done], scored[:done], mlu[: done + 1], state.best_step, state.best_weights, state.routing.weights
    )


if __name__ == "__main__":
    from policy.command import main

    sys.exit(main())
