import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_networks import random_topology

from policy.episode import Episode
from policy.features import FEATURE_SETS
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform

COLUMN = {name: index for index, name in enumerate(FEATURE_SETS["default"])}


def played(topology: Topology, actions: list[int], features: str = "default", steps: int = 20) -> Episode:
    weights = np.random.default_rng(1).integers(1, 5, topology.num_links)
    episode = Episode(topology, uniform(topology, 3), weights, steps, features)
    for action in actions:
        episode.apply((action % topology.num_links,))
    return episode


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    actions=st.lists(st.integers(0, 1000), max_size=12),
    chosen=st.lists(st.integers(0, 1000), min_size=1, max_size=9),
    features=st.sampled_from(list(FEATURE_SETS)),
)
def test_a_subset_of_links_sees_the_same_bits(seed: int, actions: list[int], chosen: list[int], features: str) -> None:
    topology = random_topology(7, 6, seed)
    episode = played(topology, actions, features)
    everything = episode.features(np.arange(topology.num_links, dtype=np.int32))
    some = np.array(chosen, dtype=np.int32) % topology.num_links
    np.testing.assert_array_equal(episode.features(some).view(np.uint32), everything[some].view(np.uint32))


def test_default_features_are_what_the_table_says() -> None:
    topology = random_topology(8, 6, 2)
    actions = [0, 3, 3, 5, 3]
    before, episode = played(topology, actions[:-1]), played(topology, actions)
    x = episode.features(np.arange(topology.num_links, dtype=np.int32)).astype(np.float64)
    u, u_before = episode.routing.utilization, before.routing.utilization
    w = episode.routing.weights
    best = min(played(topology, actions[:k]).mlu for k in range(6))
    age = np.full(topology.num_links, np.inf)
    age[[0, 3, 5]] = [4, 0, 1]
    count = np.bincount(actions, minlength=topology.num_links)
    expected = {
        "relative_utilization": u / u.max(),
        "log_weight": np.log(w / w.mean()),
        "log_capacity": np.log(topology.capacity / topology.capacity.mean()),
        "time": np.full(len(w), 5 / 20),
        "log_mlu": np.full(len(w), min(10 * np.log(u.max() / best), 5)),
        "recency": np.exp(-age / 5),
        "actions": count / (count + 5),
        "change": u / u.max() - u_before / u_before.max(),
        "mean_relative_utilization": np.full(len(w), (u / u.max()).mean()),
        "weight": w / (w + 10),
        "near_maximum": u / u.max() >= 0.99,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(x[:, COLUMN[name]], values, rtol=1e-6, atol=1e-7, err_msg=name)


def test_shifted_share_is_what_one_more_moves_away_at_the_router() -> None:
    # a splits toward c over b and d equally; of what a->b carries (half of 8 to c, all 4 to b), half a share would go.
    square = [(0, 1), (1, 2), (2, 3), (3, 0)]
    topology = Topology.from_links("square", "abcd", square + [(b, a) for a, b in square], 1e9)
    demand = np.zeros((4, 4))
    demand[0, 2], demand[0, 1] = 8.0, 4.0
    episode = Episode(topology, TrafficMatrix(demand), np.ones(8), 5, "default")
    x = episode.features(np.arange(8, dtype=np.int32))
    assert x[topology.link_index(0, 1), COLUMN["shifted_share"]] == 0.5
    assert x[topology.link_index(0, 3), COLUMN["shifted_share"]] == 1.0
    assert x[topology.link_index(1, 0), COLUMN["shifted_share"]] == 0.0  # carries nothing


def test_paper_features_are_utilization_and_weight() -> None:
    episode = played(topology := random_topology(6, 3, 1), [1, 2], "paper")
    x = episode.features(np.arange(topology.num_links, dtype=np.int32))
    routing = episode.routing
    np.testing.assert_array_equal(x, np.stack([routing.utilization, routing.weights / 12], axis=1).astype(np.float32))


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**10])
def test_default_features_do_not_see_the_scale_of_traffic_and_capacity(factor: float) -> None:
    topology = random_topology(8, 6, 2)
    scaled = Topology.from_links("scaled", topology.nodes, zip_links(topology), topology.capacity * factor)
    links = np.arange(topology.num_links, dtype=np.int32)
    traffic, start = uniform(topology, 3), inverse_capacity(topology)
    plain = Episode(topology, traffic, start, 9, "default")
    other = Episode(scaled, traffic.scaled(7 * factor), inverse_capacity(scaled), 9, "default")
    for link in (4, 4, 7):
        np.testing.assert_allclose(plain.features(links), other.features(links), rtol=1e-5, atol=1e-6)
        plain.apply((link,))
        other.apply((link,))


def test_no_traffic_gives_finite_features() -> None:
    topology = random_topology(5, 2, 0)
    episode = Episode(topology, TrafficMatrix(np.zeros((5, 5))), np.ones(topology.num_links), 0, "default")
    assert np.isfinite(episode.features(np.arange(topology.num_links, dtype=np.int32))).all()
    assert episode.apply((0,)) == 0.0
    assert np.isfinite(episode.features(np.arange(topology.num_links, dtype=np.int32))).all()


def zip_links(topology: Topology) -> list[tuple[int, int]]:
    return list(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
