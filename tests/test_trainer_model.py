"""The torch twin against the network that routers run, and what makes it trainable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from policy.mpnn import Network
from policy.preset import PRESETS
from trainer.graphs import adjacency, block_diagonal
from trainer.instances import random_topology
from trainer.messages import gather, meet
from trainer.model import Actor, Agent, Critic, initialise
from trainer.operations import fast_linear, round_to_half

PRESET_VARIANTS = [
    PRESETS["default"],
    PRESETS["paper"],
    replace(PRESETS["default"], rounds=0),
    replace(PRESETS["default"], aggregation="sum", residual=False, skip=False, message=(8, 16), update=(24, 16)),
    replace(PRESETS["paper"], aggregation="minmax", rounds=2, residual=True, message=(16,)),
]


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_link_hears_all_links_into_the_router_it_leaves() -> None:
    topology = random_topology(3, 7)
    senders, receivers = adjacency(topology)
    expected = [
        (s, r)
        for r in range(topology.num_links)
        for s in range(topology.num_links)
        if topology.dst[s] == topology.src[r]
    ]
    assert list(zip(senders.tolist(), receivers.tolist(), strict=True)) == expected
    assert all((int(topology.reverse[r]), r) in expected for r in range(topology.num_links))


@pytest.mark.parametrize("preset", PRESET_VARIANTS, ids=range(len(PRESET_VARIANTS)))
def test_actor_computes_what_the_routers_compute(preset: object) -> None:
    assert hasattr(preset, "parameter_shapes")
    topology = random_topology(5, 12)
    actor = Actor(preset)
    initialise(actor, _generator(), last_gain=1.0, skip=3.0)
    with torch.no_grad():
        for name, parameter in actor.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=_generator(1))
    assert {name: p.shape for name, p in actor.export().items()} == preset.parameter_shapes()
    rng = np.random.default_rng(0)
    network = Network(preset, actor.export())
    for _ in range(5):
        x = rng.normal(size=(topology.num_links, preset.num_features)).astype(np.float32)
        expected = network.logits(topology, x)
        with torch.no_grad():
            got = actor(torch.from_numpy(x), block_diagonal([(topology, 1)])).numpy()
        # Sums in another order may round a hidden state to the neighbouring float16, 1e-3 of it, on few links.
        difference = np.abs(got - expected)
        assert np.median(difference) < (1e-4 if preset.rounds <= 2 else 3e-4)
        assert difference.max() < 1e-2


def test_batch_of_mixed_topologies_equals_one_by_one() -> None:
    small, large = random_topology(1, 6), random_topology(2, 11)
    actor, critic = Actor(PRESETS["default"]), Critic(PRESETS["default"])
    initialise(actor, _generator(), last_gain=1.0, skip=1.0)
    initialise(critic, _generator(1), last_gain=1.0)
    agent = Agent(actor, critic)
    rng = np.random.default_rng(1)
    features = [
        torch.from_numpy(rng.normal(size=(c, t.num_links, 12)).astype(np.float32)) for t, c in ((small, 3), (large, 2))
    ]
    with torch.no_grad():
        together = agent.logits([(small, features[0]), (large, features[1])])
        for topology, block, logits in zip((small, large), features, together, strict=True):
            values = agent.values(topology, block)
            for i in range(len(block)):
                (alone,) = agent.logits([(topology, block[i : i + 1])])
                np.testing.assert_allclose(alone[0], logits[i], atol=5e-3)
                np.testing.assert_allclose(agent.values(topology, block[i : i + 1])[0], values[i], atol=5e-3)


def test_rounding_is_numpys_and_the_gradient_passes_through() -> None:
    values = np.array([1.0, 1 + 2**-11, 1 / 3, 1e-8, 7e4, -1e9], dtype=np.float32)
    h = torch.from_numpy(values).requires_grad_()
    rounded = round_to_half(h)
    expected = np.clip(values, -65504, 65504).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(rounded.detach().numpy(), expected)
    rounded.sum().backward()
    assert h.grad is not None and torch.equal(h.grad, torch.ones(6))


ACTIVATED = {"none": lambda x: x, "tanh": torch.tanh, "leaky_relu": torch.nn.functional.leaky_relu}


@pytest.mark.parametrize("activation", ACTIVATED)
@pytest.mark.parametrize(
    ("rows", "fan_in", "fan_out"), [(0, 16, 8), (1, 3, 1), (37, 16, 64), (1050, 48, 128), (900, 64, 16)]
)
def test_fast_layer_is_a_layer(activation: str, rows: int, fan_in: int, fan_out: int) -> None:
    shapes = ((rows, fan_in), (fan_out, 2 * fan_in), (fan_out,))
    inputs = [torch.randn(shape, generator=_generator(i)).requires_grad_() for i, shape in enumerate(shapes)]
    weight = torch.randn(rows, fan_out, generator=_generator(3))

    def plain(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, activation: str = "none") -> object:
        return ACTIVATED[activation](torch.nn.functional.linear(x, w, b))

    def gradients(layer: object, dtype: torch.dtype) -> list[torch.Tensor]:
        assert callable(layer)
        x, w, b = (tensor.to(dtype) for tensor in inputs)
        # The message layer uses the halves of its weights apart.
        y = layer(x, w[:, fan_in:], b, activation) + layer(x, w[:, :fan_in])
        return [y, *torch.autograd.grad((y * weight.to(dtype)).sum(), inputs)]

    for dtype in (torch.float32, torch.float64):
        expected = gradients(plain, torch.float64)
        for got, wanted in zip(gradients(fast_linear, dtype), expected, strict=True):
            np.testing.assert_allclose(got.detach(), wanted.detach(), rtol=1e-4, atol=2e-4)


def test_tanh_of_a_layer_holds_at_all_sizes() -> None:
    x = torch.cat([torch.linspace(-30, 30, 10001), torch.tensor([0.0, 1e-8, torch.inf, -torch.inf])])[:, None]
    y = fast_linear(x, torch.ones(1, 1), None, "tanh")
    np.testing.assert_allclose(y, torch.tanh(x), atol=1.3e-7)


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_pair_of_links_meets(activation: str, dtype: torch.dtype) -> None:
    graph = block_diagonal([(random_topology(1, 6), 2), (random_topology(2, 9), 1)])
    shares = torch.randn((graph.num_links, 10), generator=_generator(), dtype=dtype).requires_grad_()
    got = meet(shares, graph, activation)
    wanted = ACTIVATED[activation](shares[graph.senders, :5] + shares[graph.receivers, 5:])
    np.testing.assert_allclose(got.detach(), wanted.detach(), atol=2e-6)
    weight = torch.randn(got.shape, generator=_generator(2), dtype=dtype)
    (gradient,), (expected,) = (torch.autograd.grad((x * weight).sum(), [shares]) for x in (got, wanted))
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "sum", "minmax"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_aggregation_is_over_each_links_senders(how: str, dtype: torch.dtype) -> None:
    graph = block_diagonal([(random_topology(1, 6), 2), (random_topology(2, 9), 1)])
    states = torch.randn(graph.num_links, 2, generator=_generator(2), dtype=dtype).requires_grad_()
    messages = torch.randn(len(graph.senders), 3, generator=_generator(), dtype=dtype)
    if dtype == torch.float32:
        messages[::3] = 1.0  # saturated units: several messages are the greatest, and share the gradient
    messages.requires_grad_()
    got = gather(states, messages, graph, how)
    parts = [messages[graph.receivers == link] for link in range(graph.num_links)]
    by_hand = {
        "mean": lambda part: part.mean(dim=0),
        "sum": lambda part: part.sum(dim=0),
        "minmax": lambda part: torch.cat([part.amin(dim=0), part.amax(dim=0)]),
    }
    expected = torch.cat([states, torch.stack([by_hand[how](part) for part in parts])], dim=1)
    np.testing.assert_allclose(got.detach(), expected.detach(), rtol=1e-6, atol=1e-6)
    weight = torch.randn(expected.shape, generator=_generator(1), dtype=dtype)
    gradients = [torch.autograd.grad((x * weight).sum(), [states, messages]) for x in (got, expected)]
    for gradient, wanted in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_stays_visible() -> None:
    graph = block_diagonal([(random_topology(1, 6), 1)])
    messages = torch.zeros(len(graph.senders), 2)
    messages[0, 0] = torch.nan
    for how in ("mean", "sum", "minmax"):
        assert gather(torch.zeros(graph.num_links, 2), messages, graph, how)[graph.receivers[0], 2].isnan()


def test_every_parameter_gets_a_gradient() -> None:
    topology = random_topology(4, 8)
    graph = block_diagonal([(topology, 2)])
    for preset in PRESETS.values():
        actor = Actor(preset)
        initialise(actor, _generator(), last_gain=1.0, skip=1.0)
        x = torch.rand(graph.num_links, preset.num_features, generator=_generator(2))
        actor(x, graph).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in actor.parameters())


def test_initial_default_policy_is_sampled_greedy() -> None:
    topology = random_topology(4, 8)
    actor = Actor(PRESETS["default"])
    initialise(actor, _generator(), last_gain=0.0, skip=3.0)
    x = torch.rand(topology.num_links, 12, generator=_generator(2))
    with torch.no_grad():
        np.testing.assert_allclose(actor(x, block_diagonal([(topology, 1)])), 3 * x[:, 0], rtol=1e-6)
