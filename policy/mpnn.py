"""The message-passing network that every router runs for its own links (paper 003, Algorithm 1, lines 3-9).

    h[l]    = half(encode(x[l]))
    K times:  M[l] = aggregate over links s into the router that l leaves, ascending: message(h[s], h[l])
              h[l] = half(update(h[l], M[l]) + h[l] if residual)
    logit[l] = readout(h[l]) + skip * x[l, 0]

`half` rounds to float16, because that is what travels between routers: what is sent is what is used. Link j->k hears
every link i->j, its own reverse included; a router without an agent says nothing. All arithmetic is float32 in a fixed
order (`policy.layers`), so a router that computes its own links and an engine that computes all of them get the same
bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from policy import few, layers
from policy.layers import Float32, Int64, UInt32
from policy.preset import ACTIVATIONS, AGGREGATIONS, PRESETS, Preset
from routing.jit import njit
from routing.topology import Topology

__all__ = ["PRESETS", "Adjacency", "Network", "OwnLinks", "Preset", "adjacency", "adjacency_without", "forward"]


class Adjacency(NamedTuple):
    """Which links hear which.

    senders, receivers : (A,) uint32, link indices, ascending by receiver, then sender
    first : (L+1,) int64, the adjacencies of receiver r are ``first[r]:first[r+1]``
    """

    senders: UInt32
    receivers: UInt32
    first: Int64


_ADJACENCY: WeakKeyDictionary[Topology, Adjacency] = WeakKeyDictionary()


def adjacency(topology: Topology) -> Adjacency:
    """Return the link-to-link adjacency of a network: link j->k hears every link i->j. Remembered per topology."""
    known = _ADJACENCY.get(topology)
    if known is None:
        known = _ADJACENCY[topology] = adjacency_without(topology, frozenset())
    return known


def adjacency_without(topology: Topology, absent: Set[int]) -> Adjacency:
    """Return the adjacency where the links out of `absent` nodes send nothing: what they would say is left out."""
    silent = np.isin(topology.src, list(absent))
    heard = [links[~silent[links]] for links in (topology.incoming(int(node)) for node in topology.src)]
    degree = np.array([len(links) for links in heard], dtype=np.int64)
    receivers = np.repeat(np.arange(len(heard), dtype=np.uint32), degree)
    return Adjacency(np.concatenate(heard).astype(np.uint32), receivers, np.concatenate([[0], np.cumsum(degree)]))


@njit("void(f4[::1], i8[::1], u4[::1], u4[::1], i8[::1], f4[:, ::1], f4[::1])")
def forward(
    flat: Float32, plan: Int64, senders: UInt32, receivers: UInt32, first: Int64, features: Float32, logits: Float32
) -> None:
    """Write the logits (L,) of a whole network with features (L, F)."""
    lanes = features.shape[0]
    x = features.T.copy()
    one = np.empty((plan[layers.WIDEST], lanes), np.float32)
    two = np.empty((plan[layers.WIDEST], lanes), np.float32)
    hidden = np.empty((plan[layers.HIDDEN], lanes), np.float32)
    layers.encode(flat, plan, x, hidden, lanes, one, two)
    for _ in range(plan[layers.ROUNDS]):
        layers.exchange(flat, plan, hidden, hidden, senders, receivers, first, hidden)
    layers.read_out(flat, plan, hidden, x, lanes, one, two, logits)


def _single(values: NDArray[np.floating]) -> Float32:
    """Take float16, or a view, as the kernels want it."""
    return np.ascontiguousarray(values, dtype=np.float32)


class Network:
    """A preset with its parameters, ready to compute any subset of links.

    Parameters
    ----------
    preset : what the network looks like
    parameters : name -> float32 array, as `Preset.parameter_shapes` lists them

    Attributes
    ----------
    flat, plan : the same for the kernels (`policy.layers`)
    turned : the same for those of few links (`policy.few`)

    Raises
    ------
    ValueError : a parameter is missing, unknown or of another shape
    """

    def __init__(self, preset: Preset, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        shapes = preset.parameter_shapes()
        if parameters.keys() != shapes.keys():
            odd = sorted(parameters.keys() ^ shapes.keys())
            raise ValueError(f"parameters that are missing or unknown to preset {preset.name!r}: {', '.join(odd)}")
        for name, shape in shapes.items():
            if parameters[name].shape != shape:
                raise ValueError(f"parameter {name} has shape {parameters[name].shape}, expected {shape}")
        self.preset = preset
        self.flat: Float32 = np.concatenate([np.ravel(parameters[name]).astype(np.float32) for name in shapes])
        self.plan: Int64 = _plan(preset)
        self.turned: Float32 = few.turned(self.flat, self.plan)

    def initial(self, features: Float32) -> Float32:
        """Return the hidden states (n, D) before the first round, from features (n, F) of any links."""
        own = OwnLinks(self, len(features), 0)
        own.begin(features)
        return own.hidden

    def round(self, own: Float32, incoming: Float32) -> Float32:
        """Return the next hidden states (n, D) of one router's links.

        own : (n, D), links out of the router
        incoming : (m, D), links into it, ascending: float16 values
        """
        hidden: Float32 = np.empty((len(own), self.preset.hidden), dtype=np.float32)
        heard = np.array(incoming, dtype=np.float16).view(np.uint16)
        few.exchange(self.turned, self.plan, _single(own), heard, hidden, np.empty(hidden.shape, dtype=np.uint16))
        return hidden

    def readout(self, own: Float32, features: Float32) -> Float32:
        """Return the logits (n,) from hidden states (n, D) and features (n, F) of the same links."""
        logits: Float32 = np.empty(len(own), dtype=np.float32)
        few.read_out(self.turned, self.plan, _single(own), _single(features), logits)
        return logits

    def logits(self, topology: Topology, features: Float32, pairs: Adjacency | None = None) -> Float32:
        """Return the logits (L,) of all links from features (L, F): every router's computation at once.

        pairs : which links hear which; default: the topology's `adjacency`
        """
        logits: Float32 = np.empty(len(features), dtype=np.float32)
        forward(self.flat, self.plan, *(pairs or adjacency(topology)), _single(features), logits)
        return logits


class OwnLinks:
    """The network at work on the n links out of one router, hearing m links into it: nothing is allocated per round.

    Attributes
    ----------
    hidden : (n, D) float32
    sent : (n, D) uint16, the same as bits of float16, to be sent
    heard : (m, D) uint16, to be filled in with what was received, links ascending
    """

    def __init__(self, network: Network, own: int, heard: int) -> None:
        size = network.preset.hidden
        self.hidden: Float32 = np.zeros((own, size), dtype=np.float32)
        self.sent: NDArray[np.uint16] = np.zeros((own, size), dtype=np.uint16)
        self.heard: NDArray[np.uint16] = np.zeros((heard, size), dtype=np.uint16)
        self._features: Float32 = np.zeros((own, network.preset.num_features), dtype=np.float32)
        self._next: Float32 = np.zeros((own, size), dtype=np.float32)
        self._network = network

    def begin(self, features: Float32) -> None:
        """Set the hidden states from features (n, F)."""
        self._features = _single(features)
        few.initial(self._network.turned, self._network.plan, self._features, self.hidden, self.sent)

    def round(self) -> None:
        """Bring the hidden states to the next round, given what was heard."""
        network = self._network
        few.exchange(network.turned, network.plan, self.hidden, self.heard, self._next, self.sent)
        self.hidden, self._next = self._next, self.hidden

    def logits(self) -> Float32:
        """Return the logits (n,)."""
        return self._network.readout(self.hidden, self._features)


def _plan(preset: Preset) -> Int64:
    """Lay the parameters out in the order of `Preset.parameter_shapes` and describe where each layer lies."""
    sizes = preset.layer_sizes()
    records: list[int] = []
    starts: list[int] = []
    offset = 0
    for part in sizes.values():
        starts.append(len(records) // layers.RECORD)
        for fan_in, fan_out in pairwise(part):
            bias = offset + fan_in * fan_out
            records += [fan_in, fan_out, offset, bias]
            offset = bias + fan_out
    widest = max(max(part) for part in sizes.values())
    numbers = [
        preset.hidden,
        preset.num_features,
        preset.rounds,
        ACTIVATIONS.index(preset.activation),
        AGGREGATIONS.index(preset.aggregation),
        int(preset.residual),
        offset if preset.skip else -1,
        widest,
    ]
    return np.array([*numbers, *starts, len(records) // layers.RECORD, *records], dtype=np.int64)
