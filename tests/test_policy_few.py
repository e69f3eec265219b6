"""One router's links: the same bits as the kernels of the whole network, whatever the shape of either."""

import numpy as np
import pytest
from policy_bits import KINDS
from policy_networks import random_topology

from policy.checkpoint import random_parameters
from policy.mpnn import PRESETS, Network, OwnLinks
from policy.preset import Preset

PRESETS_TRIED = [*KINDS, PRESETS["paper"], PRESETS["default"], PRESETS["lookahead"], PRESETS["moves"]]
HALVES = np.arange(1 << 16, dtype=np.uint16)


def features(links: int, preset: Preset) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(links, preset.num_features)).astype(np.float32)


@pytest.mark.parametrize("preset", PRESETS_TRIED, ids=lambda preset: f"{preset.name}-{preset.aggregation}")
def test_routers_with_few_links_compute_what_the_whole_network_does(preset: Preset) -> None:
    topology = random_topology(9, 14, 3)
    network = Network(preset, random_parameters(preset, 5))
    x = features(topology.num_links, preset)
    own = [topology.out_links(node) for node in range(topology.num_nodes)]
    into = [topology.incoming(node) for node in range(topology.num_nodes)]
    routers = [OwnLinks(network, len(x[out]), len(links)) for out, links in zip(own, into, strict=True)]
    for router, out in zip(routers, own, strict=True):
        router.begin(x[out])
    for _ in range(preset.rounds):
        travelling = np.concatenate([router.sent for router in routers])
        for router, links in zip(routers, into, strict=True):
            router.heard[:] = travelling[links]
            router.round()
    logits = np.concatenate([router.logits() for router in routers])
    assert logits.tobytes() == network.logits(topology, x).tobytes()


def test_what_is_sent_is_the_hidden_state_as_float16() -> None:
    network = Network(PRESETS["paper"], random_parameters(PRESETS["paper"], 2))
    router = OwnLinks(network, 3, 2)
    router.begin(features(3, PRESETS["paper"]))
    for heard in (HALVES[1000:1032], HALVES[33000:33032]):
        router.heard[:] = heard.reshape(2, 16)
        router.round()
        np.testing.assert_array_equal(router.sent.view(np.float16).astype(np.float32), router.hidden)


def test_every_float16_survives_the_way_in_and_out() -> None:
    """With residual, no activation to speak of and an update of zero, a hidden state comes out as it went in."""
    preset = Preset("echo", "paper", 16, 1, (), (16,), (16,), (1,), "leaky_relu", "sum", True, False)
    shapes = preset.parameter_shapes()
    network = Network(preset, {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()})
    values = HALVES.view(np.float16).astype(np.float32).reshape(-1, 16)
    finite = np.isfinite(values).all(axis=1)
    router = OwnLinks(network, int(finite.sum()), 0)
    router.hidden[:] = values[finite]
    router.round()
    expected = values[finite] + np.float32(0.0)  # -0 becomes 0
    assert router.sent.tobytes() == expected.astype(np.float16).tobytes()


@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00, 0x7C01])
def test_infinity_and_nan_from_a_neighbour_are_taken_as_such(bits: int) -> None:
    preset = Preset("sum", "paper", 16, 1, (), (16,), (16,), (1,), "leaky_relu", "sum", False, False)
    ones = {name: np.ones(shape, dtype=np.float32) for name, shape in preset.parameter_shapes().items()}
    router = OwnLinks(Network(preset, ones), 1, 1)
    router.heard[:] = bits
    router.round()
    value = np.array([bits], dtype=np.uint16).view(np.float16)[0]
    expected = np.nan if np.isnan(value) else np.copysign(65504.0, value)  # half() saturates
    np.testing.assert_array_equal(router.hidden, np.full((1, 16), expected, dtype=np.float32))
    assert np.isnan(router.sent.view(np.float16)).all() == np.isnan(expected)


def test_a_router_that_hears_nobody_goes_on() -> None:
    for preset in PRESETS_TRIED:
        router = OwnLinks(Network(preset, random_parameters(preset, 1)), 2, 0)
        router.begin(features(2, preset))
        router.round()
        assert np.isfinite(router.logits()).all()
