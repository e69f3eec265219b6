"""The network against its definition, and one router's part against the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from policy_networks import preset, random_arrays, random_topology

from policy.mpnn import PRESETS, Network, Preset
from policy.portable import round_to_half, tanh_all
from routing.topology import Topology

Array = NDArray[np.float32]
KINDS = [
    preset(),
    preset(aggregation="minmax", activation="tanh", residual=False, skip=False),
    preset(aggregation="sum", message=(6, 5), update=(8, 12), encode=(7, 12), readout=(1,)),
    preset(features="paper", encode=(), rounds=3, skip=False),
    preset(rounds=0),
    PRESETS["default"],
    PRESETS["paper"],
]


def features_for(topology: Topology, network: Preset, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(topology.num_links, network.num_features)).astype(np.float32)


def activate(values: Array, kind: str) -> Array:
    if kind == "tanh":
        flat = np.ravel(values).copy()
        tanh_all(flat)
        return flat.reshape(values.shape)
    return np.where(values > 0, values, np.float32(0.01) * values)


def affine(inputs: Array, weight: Array, start: Array) -> Array:
    """Add weight times inputs (.., in) to start (out,), from left to right, with numpy's separate products and sums."""
    total = np.broadcast_to(start, (*inputs.shape[:-1], len(weight))).astype(np.float32)
    for i in range(inputs.shape[-1]):
        total = total + weight[:, i] * inputs[..., i : i + 1]
    return total


def half(values: Array) -> Array:
    flat = np.ravel(values).astype(np.float32)
    round_to_half(flat)
    return flat.reshape(values.shape)


def by_definition(network: Preset, parameters: dict[str, Array], topology: Topology, x: Array) -> Array:
    """All logits, straight from the definition, one link at a time."""

    def mlp(part: str, values: Array, first: int = 0) -> Array:
        layers = len(network.layer_sizes()[part]) - 1
        for i in range(first, layers):
            values = affine(values, parameters[f"{part}.{i}.weight"], parameters[f"{part}.{i}.bias"])
            if part != "readout" or i < layers - 1:
                values = activate(values, network.activation)
        return values

    size = network.hidden
    padded = np.zeros((topology.num_links, size), dtype=np.float32)
    encoded = mlp("encode", x)
    padded[:, : encoded.shape[1]] = encoded
    h = half(padded)
    weight, bias = parameters["message.0.weight"], parameters["message.0.bias"]
    for _ in range(network.rounds):
        updated = []
        for link in range(topology.num_links):
            senders = h[topology.incoming(int(topology.src[link]))]
            sent = affine(senders, weight[:, :size], np.zeros(len(weight), np.float32))
            heard = affine(h[link], weight[:, size:], bias)
            messages = mlp("message", activate(sent + heard, network.activation), first=1)
            if network.aggregation == "minmax":
                gathered = np.concatenate([messages.min(axis=0), messages.max(axis=0)])
            else:
                gathered = np.zeros(messages.shape[1], np.float32)
                for message in messages:
                    gathered = gathered + message
                if network.aggregation == "mean":
                    gathered = gathered / np.float32(len(messages))
            new = mlp("update", np.concatenate([h[link], gathered]))
            updated.append(h[link] + new if network.residual else new)
        h = half(np.array(updated))
    logits = mlp("readout", h)[:, 0]
    return logits + parameters["skip"] * x[:, 0] if network.skip else logits


def by_routers(network: Network, topology: Topology, x: Array) -> Array:
    """All logits, each router computing its own links from what it hears."""
    own = [topology.out_links(n) for n in range(topology.num_nodes)]
    h = np.concatenate([network.initial(x[links]) for links in own])
    for _ in range(network.preset.rounds):
        h = np.concatenate(
            [
                network.round(h[links].astype(np.float16).astype(np.float32), h[topology.incoming(n)])
                for n, links in enumerate(own)
            ]
        )
    return np.concatenate([network.readout(h[links], x[links]) for links in own])


@pytest.mark.parametrize("network", KINDS, ids=str)
def test_logits_are_those_of_the_definition_bit_for_bit(network: Preset) -> None:
    topology = random_topology(9, 8, 3)
    parameters = random_arrays(network, 1)
    x = features_for(topology, network)
    ours = Network(network, parameters).logits(topology, x)
    np.testing.assert_array_equal(ours.view(np.uint32), by_definition(network, parameters, topology, x).view(np.uint32))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    nodes=st.integers(2, 12),
    extra=st.integers(0, 30),
    seed=st.integers(0, 1000),
)
def test_routers_and_the_central_engine_get_the_same_bits(kind: Preset, nodes: int, extra: int, seed: int) -> None:
    topology = random_topology(nodes, extra, seed)
    network = Network(kind, random_arrays(kind, seed))
    x = features_for(topology, kind, seed)
    whole = network.logits(topology, x)
    np.testing.assert_array_equal(whole.view(np.uint32), by_routers(network, topology, x).view(np.uint32))


def test_a_network_that_takes_several_blocks_gives_the_same_bits() -> None:
    topology = random_topology(120, 500, 1)
    network = Network(kind := preset(message=(6, 5)), random_arrays(kind, 0))
    x = features_for(topology, kind)
    whole = network.logits(topology, x)
    np.testing.assert_array_equal(whole.view(np.uint32), by_routers(network, topology, x).view(np.uint32))


def test_hidden_states_are_float16_values() -> None:
    kind = preset()
    network = Network(kind, random_arrays(kind, 0))
    h = network.initial(100 * np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32))
    for states in (h, network.round(h[:2], h)):
        np.testing.assert_array_equal(states, states.astype(np.float16).astype(np.float32))


def test_a_router_without_links_and_one_that_hears_nothing() -> None:
    for kind in KINDS:
        network = Network(kind, random_arrays(kind, 0))
        none = np.zeros((0, kind.hidden), dtype=np.float32)
        assert network.round(none, none).shape == (0, kind.hidden)
        one = np.ones((1, kind.hidden), dtype=np.float32)
        assert np.isfinite(network.round(one, none)).all()


@pytest.mark.parametrize("network", KINDS, ids=str)
def test_nan_is_never_hidden(network: Preset) -> None:
    topology = random_topology(4, 1, 0)
    x = features_for(topology, network)
    x[0] = np.nan
    assert np.isnan(Network(network, random_arrays(network, 0)).logits(topology, x)[0])


def test_published_sizes() -> None:
    count = sum(int(np.prod(shape)) for shape in PRESETS["paper"].parameter_shapes().values())
    assert count == 29_217  # as the published actor


def test_parameters_that_do_not_fit_are_refused() -> None:
    kind = preset()
    parameters = random_arrays(kind, 0)
    with pytest.raises(ValueError, match=r"message\.0\.bias"):
        Network(kind, {name: array for name, array in parameters.items() if name != "message.0.bias"})
    with pytest.raises(ValueError, match=r"skip has shape \(2,\), expected \(1,\)"):
        Network(kind, parameters | {"skip": np.zeros(2, np.float32)})


def test_preset_survives_json() -> None:
    for kind in KINDS:
        assert Preset.from_json(kind.to_json()) == kind


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"features": "unknown"}, "features"),
        ({"activation": "relu"}, "activation"),
        ({"update": (5,)}, "end with 12 units"),
        ({"readout": (3,)}, "readout with 1"),
        ({"message": ()}, "message layer"),
        ({"encode": (), "hidden": 4, "update": (4,)}, "do not fit into 4"),
    ],
)
def test_an_impossible_preset_is_refused(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        preset(**changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 3}', PRESETS["paper"].to_json().replace("8", '"8"')])
def test_a_preset_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Preset.from_json(text)
