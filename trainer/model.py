"""The actor's torch twin and the critic.

`Actor` computes what `policy.mpnn.Network` computes, with the same parameter names, so that a checkpoint passes between
the two. What routers do not send is not rounded: only hidden states pass through float16, with a straight-through
gradient. Agreement with the numba network is tested, not assumed.

Many networks of different topologies go through one call, see `trainer.graphs`.

| symbol | shape | meaning |
|---|---|---|
| x | (n, F) | features of the stacked links |
| h | (n, D) | hidden states, float16 values in float32 |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.preset import Preset
from routing.topology import Topology
from trainer.graphs import GraphCache, LinkGraph
from trainer.messages import gather, meet
from trainer.operations import fast_linear, round_to_half


class LinkMpnn(nn.Module):
    """Encode, K rounds of message, aggregation and update: features (n, F) -> hidden states (n, D).

    Parameters are named as in `policy.mpnn` (``message.0.weight`` is (out, in)); a message's input is the sender's
    state, then the receiver's, so its first layer is computed once per link and not once per adjacency.
    """

    encode: nn.ModuleList
    message: nn.ModuleList
    update: nn.ModuleList
    readout: nn.ModuleList

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        for part, sizes in preset.layer_sizes().items():
            if part != "readout":
                setattr(self, part, linear_layers(sizes))

    def through(self, layers: Iterable[nn.Module], x: Tensor) -> Tensor:
        """Apply layers, each followed by the activation."""
        for layer in layers:
            x = apply(layer, x, self.preset.activation)
        return x

    def shares(self) -> tuple[Tensor, Tensor]:
        """First layer of the messages as one of links, (2 M, D) and (2 M,): toward what is sent, then what is heard."""
        weight, bias = self.message[0].get_parameter("weight"), self.message[0].get_parameter("bias")
        return torch.cat(weight.chunk(2, dim=1)), torch.cat([torch.zeros_like(bias), bias])

    def states(self, x: Tensor, graph: LinkGraph) -> Tensor:
        """Hidden states after the last round, (n, D)."""
        preset, zeros = self.preset, self.preset.hidden - x.shape[1]
        h = round_to_half(self.through(self.encode, x) if len(self.encode) else nn.functional.pad(x, (0, zeros)))
        weight, bias = self.shares()
        for _ in range(preset.rounds):
            messages = self.through(self.message[1:], meet(fast_linear(h, weight, bias), graph, preset.activation))
            new = self.through(self.update, gather(h, messages, graph, preset.aggregation))
            h = round_to_half(new + h if preset.residual else new)
        return h


class Actor(LinkMpnn):
    """Torch twin of `policy.mpnn.Network`: features (n, F) -> logits (n,)."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.readout = linear_layers(preset.layer_sizes()["readout"])
        if preset.skip:
            self.skip = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, graph: LinkGraph) -> Tensor:
        """Logits of all stacked links, (n,)."""
        h = self.through(self.readout[:-1], self.states(x, graph))
        logits: Tensor = apply(self.readout[-1], h)[:, 0]
        return logits + self.skip * x[:, 0] if self.preset.skip else logits

    def export(self) -> dict[str, NDArray[np.float32]]:
        """Parameters as a checkpoint holds them."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.named_parameters()}

    def load(self, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        """Take a checkpoint's parameters; RuntimeError where names or shapes differ."""
        self.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in parameters.items()})


class Critic(LinkMpnn):
    """Value of a network's state, from mean, maximum, minimum and standard deviation of its links' hidden states."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.readout = linear_layers((4 * preset.hidden, *preset.readout))

    def value(self, h: Tensor) -> Tensor:
        """Values (S,) of S networks with hidden states (S, L, D)."""
        pooled = torch.cat([h.mean(dim=1), h.amax(dim=1), h.amin(dim=1), h.std(dim=1, unbiased=False)], dim=1)
        values: Tensor = apply(self.readout[-1], self.through(self.readout[:-1], pooled))[:, 0]
        return values


class Agent(nn.Module):
    """Actor, and critic where there is one."""

    def __init__(self, actor: Actor, critic: Critic | None) -> None:
        super().__init__()
        self.actor = actor
        self.critic = critic
        self.graphs = GraphCache()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def _graph(self, parts: Sequence[tuple[Topology, Tensor]]) -> LinkGraph:
        return self.graphs.get([(topology, len(x)) for topology, x in parts], self.device)

    def logits(self, parts: Sequence[tuple[Topology, Tensor]]) -> list[Tensor]:
        """Logits (S, L) for each part, a topology and features (S, L, F)."""
        x = torch.cat([x.reshape(-1, x.shape[-1]) for _, x in parts])
        stacked = self.actor(x, self._graph(parts)).split([x.shape[0] * x.shape[1] for _, x in parts])
        return [y.view(x.shape[:2]) for y, (_, x) in zip(stacked, parts, strict=True)]

    def values(self, topology: Topology, x: Tensor) -> Tensor:
        """Values (S,) of features (S, L, F); zeros without a critic."""
        if self.critic is None:
            return torch.zeros(len(x), device=x.device)
        hidden = self.critic.states(x.reshape(-1, x.shape[-1]), self._graph([(topology, x)]))
        return self.critic.value(hidden.view(*x.shape[:2], -1))


def apply(layer: nn.Module, x: Tensor, activation: str = "none") -> Tensor:
    """Apply a linear layer, and an activation after it."""
    return fast_linear(x, layer.get_parameter("weight"), layer.get_parameter("bias"), activation)


def linear_layers(sizes: Sequence[int]) -> nn.ModuleList:
    """Linear layers of these sizes, the first being the input's."""
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))


def initialise(network: Actor | Critic, generator: torch.Generator, *, last_gain: float, skip: float = 0.0) -> None:
    """Orthogonal weights (as the published code), zero biases; `last_gain` scales the last readout layer.

    A small last gain makes the first policy follow the skip connection alone: logit = skip * first feature.
    """
    gain = nn.init.calculate_gain("tanh" if network.preset.activation == "tanh" else "leaky_relu")
    last = f"readout.{len(network.readout) - 1}.weight"
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "skip":
                parameter.fill_(skip)
            elif parameter.ndim == 2:
                nn.init.orthogonal_(parameter, last_gain if name == last else gain, generator=generator)
            else:
                parameter.zero_()
