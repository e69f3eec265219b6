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

from policy import layers
from policy.layers import Float32, Int64, UInt32
from policy.preset import ACTIVATIONS, AGGREGATIONS, PRESETS, Preset
from routing.jit import njit
from routing.topology import Topology

__all__ = ["PRESETS", "Adjacency", "Network", "Preset", "adjacency", "adjacency_without", "forward"]


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


def _every_pair(incoming: int, own: int) -> Adjacency:
    """Return the adjacency within one router: each of its links hears all links into it."""
    senders = np.tile(np.arange(incoming, dtype=np.uint32), own)
    receivers = np.repeat(np.arange(own, dtype=np.uint32), incoming)
    return Adjacency(senders, receivers, np.arange(own + 1, dtype=np.int64) * incoming)


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


@njit("void(f4[:, ::1], f4[:, ::1])", inline=True)
def _turn(x: Float32, out: Float32) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = x[column, row]


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1])")
def _initial(flat: Float32, plan: Int64, features: Float32, out: Float32) -> None:
    lanes = features.shape[0]
    one = np.empty((plan[layers.WIDEST], lanes), np.float32)
    two = np.empty((plan[layers.WIDEST], lanes), np.float32)
    hidden = np.empty((plan[layers.HIDDEN], lanes), np.float32)
    layers.encode(flat, plan, features.T.copy(), hidden, lanes, one, two)
    _turn(hidden, out)


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], u4[::1], u4[::1], i8[::1], f4[:, ::1])")
def _round(
    flat: Float32,
    plan: Int64,
    own: Float32,
    incoming: Float32,
    senders: UInt32,
    receivers: UInt32,
    first: Int64,
    out: Float32,
) -> None:
    hidden = own.T.copy()
    layers.exchange(flat, plan, hidden, incoming.T.copy(), senders, receivers, first, hidden)
    _turn(hidden, out)


@njit("void(f4[::1], i8[::1], f4[:, ::1], f4[:, ::1], f4[::1])")
def _readout(flat: Float32, plan: Int64, hidden: Float32, features: Float32, logits: Float32) -> None:
    lanes = hidden.shape[0]
    one = np.empty((plan[layers.WIDEST], lanes), np.float32)
    two = np.empty((plan[layers.WIDEST], lanes), np.float32)
    layers.read_out(flat, plan, hidden.T.copy(), features.T.copy(), lanes, one, two, logits)


def _single(values: NDArray[np.floating]) -> Float32:
    """Take float16 from the wire, or a view, as the kernels want it."""
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
        self._pairs: dict[tuple[int, int], Adjacency] = {}

    def initial(self, features: Float32) -> Float32:
        """Return the hidden states (n, D) before the first round, from features (n, F) of any links."""
        hidden: Float32 = np.empty((len(features), self.preset.hidden), dtype=np.float32)
        _initial(self.flat, self.plan, _single(features), hidden)
        return hidden

    def round(self, own: Float32, incoming: Float32) -> Float32:
        """Return the next hidden states (n, D) of one router's links.

        own : (n, D), all links out of the router, ascending
        incoming : (m, D), all links into it, ascending
        """
        key = (len(incoming), len(own))
        pairs = self._pairs.get(key)
        if pairs is None:
            pairs = self._pairs[key] = _every_pair(*key)
        hidden: Float32 = np.empty((len(own), self.preset.hidden), dtype=np.float32)
        _round(self.flat, self.plan, _single(own), _single(incoming), *pairs, hidden)
        return hidden

    def readout(self, own: Float32, features: Float32) -> Float32:
        """Return the logits (n,) from hidden states (n, D) and features (n, F) of the same links."""
        logits: Float32 = np.empty(len(own), dtype=np.float32)
        _readout(self.flat, self.plan, _single(own), _single(features), logits)
        return logits

    def logits(self, topology: Topology, features: Float32, pairs: Adjacency | None = None) -> Float32:
        """Return the logits (L,) of all links from features (L, F): every router's computation at once.

        pairs : which links hear which; default: the topology's `adjacency`
        """
        logits: Float32 = np.empty(len(features), dtype=np.float32)
        forward(self.flat, self.plan, *(pairs or adjacency(topology)), _single(features), logits)
        return logits


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
