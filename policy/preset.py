"""What a network looks like: presets as data, and the names and shapes of their parameters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any

from policy.features import FEATURE_SETS

ACTIVATIONS = ("tanh", "leaky_relu")
AGGREGATIONS = ("mean", "minmax", "sum")

LEAKY_SLOPE = 0.01  # of leaky_relu below zero, torch's default


@dataclass(frozen=True)
class Preset:
    """One message-passing network (paper 003, Algorithm 1).

    Layer tuples hold the *output* size of each layer; input sizes follow: encode F, message 2 D (sender first, then
    receiver), update D + M where M is the last message size (D + 2 M for minmax: receiver, minima, maxima), readout D.
    The activation follows every layer but the last of the readout.

    name : what the user calls it
    features : key of `policy.features.FEATURE_SETS`; F columns
    hidden : D, size of a hidden state
    rounds : K, exchanges with the neighbours per step
    encode : layers from features to hidden state (the last has D outputs); empty: features followed by zeros
    message : layers, at least one
    update : layers, the last has D outputs
    readout : layers, the last has one output
    activation : "tanh" or "leaky_relu" (slope 0.01)
    aggregation : of the messages to one link, element by element: "mean", "sum", or "minmax" (both, M + M)
    residual : the update is added to the hidden state instead of replacing it
    skip : the logit gets `skip * features[:, 0]` added, with a trained factor
    """

    name: str
    features: str
    hidden: int
    rounds: int
    encode: tuple[int, ...]
    message: tuple[int, ...]
    update: tuple[int, ...]
    readout: tuple[int, ...]
    activation: str
    aggregation: str
    residual: bool
    skip: bool

    def __post_init__(self) -> None:
        """Refuse what no network can be; ValueError says what was expected."""
        if self.features not in FEATURE_SETS:
            raise ValueError(f"features {self.features!r}, expected one of {', '.join(FEATURE_SETS)}")
        if self.activation not in ACTIVATIONS or self.aggregation not in AGGREGATIONS:
            raise ValueError(f"expected an activation of {ACTIVATIONS} and an aggregation of {AGGREGATIONS}")
        layers = self.encode + self.message + self.update + self.readout
        if not self.message or self.hidden < 1 or self.rounds < 0 or any(size < 1 for size in layers):
            raise ValueError("expected a message layer, layers of at least one unit and at least zero rounds")
        if (
            self.encode[-1:] not in ((), (self.hidden,))
            or self.update[-1:] != (self.hidden,)
            or self.readout[-1:] != (1,)
        ):
            raise ValueError(f"expected encode and update to end with {self.hidden} units and readout with 1")
        if not self.encode and self.num_features > self.hidden:
            raise ValueError(
                f"{self.num_features} features do not fit into {self.hidden} hidden units without encode layers"
            )

    @property
    def num_features(self) -> int:
        """F."""
        return len(FEATURE_SETS[self.features])

    @property
    def message_size(self) -> int:
        """M, numbers per message."""
        return self.message[-1]

    @property
    def aggregated_size(self) -> int:
        """Numbers per link after aggregation."""
        return 2 * self.message_size if self.aggregation == "minmax" else self.message_size

    def layer_sizes(self) -> dict[str, tuple[int, ...]]:
        """Input size and layer sizes of ``encode``, ``message``, ``update`` and ``readout``."""
        return {
            "encode": (self.num_features, *self.encode),
            "message": (2 * self.hidden, *self.message),
            "update": (self.hidden + self.aggregated_size, *self.update),
            "readout": (self.hidden, *self.readout),
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter: ``message.0.weight`` (out, in), ``message.0.bias`` (out,), ..., ``skip`` (1,)."""
        shapes: dict[str, tuple[int, ...]] = {}
        for part, sizes in self.layer_sizes().items():
            for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
                shapes[f"{part}.{i}.weight"] = (fan_out, fan_in)
                shapes[f"{part}.{i}.bias"] = (fan_out,)
        if self.skip:
            shapes["skip"] = (1,)
        return shapes

    def to_json(self) -> str:
        """One line of JSON, the same for equal presets."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Preset:
        """Read `to_json`; ValueError for anything else."""
        data: Any = json.loads(text)
        if not isinstance(data, dict) or data.keys() != {f.name for f in fields(cls)}:
            raise ValueError("expected the fields " + ", ".join(f.name for f in fields(cls)))
        for field in fields(cls):
            value = data[field.name]
            if str(field.type).startswith("tuple"):
                data[field.name] = value = tuple(value) if isinstance(value, list) else value
                good = isinstance(value, tuple) and all(type(size) is int for size in value)
            else:
                good = type(value).__name__ == field.type
            if not good:
                raise ValueError(f"{field.name} is {value!r}, expected {field.type}")
        return cls(**data)


PRESETS = {
    # Paper 003 as in its published code (BNN-UPC/MARL-GNN-TE, lib/actor.py); the text sums the messages.
    "paper": Preset(
        name="paper",
        features="paper",
        hidden=16,
        rounds=8,
        encode=(),
        message=(64, 16),
        update=(128, 64, 16),
        readout=(128, 64, 1),
        activation="tanh",
        aggregation="minmax",
        residual=False,
        skip=False,
    ),
    "default": Preset(
        name="default",
        features="default",
        hidden=16,
        rounds=1,
        encode=(16,),
        message=(16,),
        update=(16,),
        readout=(32, 1),
        activation="leaky_relu",
        aggregation="mean",
        residual=True,
        skip=True,
    ),
}
# The default network that also sees what raising its own weight would do.
PRESETS["lookahead"] = replace(PRESETS["default"], name="lookahead", features="lookahead")
# The same where links may also get cheaper.
PRESETS["moves"] = replace(PRESETS["lookahead"], name="moves", features="moves")
