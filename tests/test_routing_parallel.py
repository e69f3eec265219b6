"""Routing in several threads against routing in one, bit for bit."""

import numpy as np
import pytest

from policy.checkpoint import load_checkpoint
from policy.episode import run_episode
from routing.formats import load_network
from routing.parallel import ParallelRouting
from routing.state import MAX_WEIGHT, RoutingState, inverse_capacity


@pytest.mark.parametrize("ecmp", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 3, 100])
def test_loads_weights_and_shares_are_those_of_one_thread(threads: int, ecmp: bool) -> None:
    topology, traffic, _ = load_network("synth:40:130")
    assert traffic is not None
    start = inverse_capacity(topology)
    start[3] = MAX_WEIGHT
    one = RoutingState(topology, traffic, start, ecmp=ecmp)
    several = ParallelRouting(topology, traffic, start, ecmp=ecmp, threads=threads)
    one.track_shares()
    several.track_shares()
    links = np.arange(topology.num_links, dtype=np.int32)
    random = np.random.default_rng(threads)
    for _ in range(30):
        chosen = [3, *random.choice(topology.num_links, 4).tolist()]
        one.raise_weights(chosen)
        several.raise_weights(chosen)
        np.testing.assert_array_equal(several.load, one.load)
        np.testing.assert_array_equal(several.weights, one.weights)
        np.testing.assert_array_equal(several.shifted_shares(links), one.shifted_shares(links))
    assert several.quantum == one.quantum and several.weights[3] == MAX_WEIGHT
    several.close()


def test_a_full_evaluation_in_several_threads() -> None:
    topology, traffic, _ = load_network("synth:40:130")
    assert traffic is not None
    several = ParallelRouting(topology, traffic, inverse_capacity(topology), threads=3)
    links = list(range(0, topology.num_links, 3))
    several.raise_weights(links)
    after_changes = several.load.copy()
    several.load[:] = 0
    several.evaluate()
    np.testing.assert_array_equal(several.load, after_changes)
    np.testing.assert_array_equal(several.load, RoutingState(topology, traffic, several.weights).load)
    several.close()


def test_shares_must_be_tracked() -> None:
    topology, traffic, _ = load_network("synth:10:30")
    assert traffic is not None
    several = ParallelRouting(topology, traffic, inverse_capacity(topology), threads=2)
    with pytest.raises(ValueError, match="not tracked"):
        several.shifted_shares(np.arange(3, dtype=np.int32))
    several.close()


@pytest.mark.parametrize("name", ["default", "paper", "lookahead"])
def test_an_episode_decides_the_same_in_several_threads(name: str) -> None:
    topology, traffic, _ = load_network("synth:30:90")
    assert traffic is not None
    checkpoint = load_checkpoint(name)
    one, several = (
        run_episode(
            topology, traffic, inverse_capacity(topology), checkpoint, steps=15, seed=3, increments=2, threads=threads
        )
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(several.actions, one.actions)
    np.testing.assert_array_equal(several.scores, one.scores)
    np.testing.assert_array_equal(several.mlu, one.mlu)
