"""From what the links see to an action, for many episodes at once.

The logits come from the kernels that the routers run (`exact_logits`: the same bits however episodes are put together)
or from the torch twin in batches on any device (`torch_logits`). Either way the actions are drawn by the routers' own
sampler, whose noise depends on (seed, episode, step, link) alone: a batch samples what its episodes would on their own,
and the log-probabilities kept for learning are those of the logits that were sampled from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from policy.gumbel import table
from policy.mpnn import Network, adjacency, forward
from policy.sampling import NonFiniteLogit, best, quantise_into, score_into
from routing.jit import njit
from routing.topology import Topology
from trainer.model import Agent

Policy: TypeAlias = Callable[[Sequence[tuple[Topology, NDArray[np.float32]]]], list[NDArray[np.float32]]]
"""Logits (B, L) for each of some topologies with features (B, L, F)."""

_TABLE = table()


@njit("void(f4[::1], i8[::1], u4[::1], u4[::1], i8[::1], f4[:, :, ::1], f4[:, ::1])")
def _forward_each(
    flat: NDArray[np.float32],
    plan: NDArray[np.int64],
    senders: NDArray[np.uint32],
    receivers: NDArray[np.uint32],
    first: NDArray[np.int64],
    features: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> None:
    # One network at a time: its hidden states stay in the first-level cache, which a large batch would leave.
    for b in range(features.shape[0]):
        forward(flat, plan, senders, receivers, first, features[b], logits[b])


def exact_logits(network: Network) -> Policy:
    """Return the policy that computes logits as the routers compute them."""

    def logits(parts: Sequence[tuple[Topology, NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
        found = [np.empty(features.shape[:2], dtype=np.float32) for _, features in parts]
        for (topology, features), out in zip(parts, found, strict=True):
            _forward_each(network.flat, network.plan, *adjacency(topology), features, out)
        return found

    return logits


def torch_logits(agent: Agent) -> Policy:
    """Return the policy that computes logits with the torch twin on the agent's device.

    All topologies go through in one batch, but for CPUs, whose caches like one after the other better. The logits
    differ from the routers' in the last bits, and with the batch's shape.
    """

    @torch.no_grad()
    def logits(parts: Sequence[tuple[Topology, NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
        moved = [(topology, torch.from_numpy(features).to(agent.device)) for topology, features in parts]
        batches = [[part] for part in moved] if agent.device.type == "cpu" else [moved]
        return [out.cpu().numpy() for batch in batches for out in agent.logits(batch)]

    return logits


@njit("i8(f4[:, ::1], f8, u8, u8, i8[::1], u8, i4[::1], i4[::1], i8[::1])")
def _draw(
    logits: NDArray[np.float32],
    temperature: float,
    seed_low: np.uint64,
    seed_high: np.uint64,
    episodes: NDArray[np.int64],
    step: np.uint64,
    links: NDArray[np.int32],
    values: NDArray[np.int32],
    actions: NDArray[np.int64],
) -> int:
    quantised = np.empty(len(links), np.int64)
    scored = np.empty(len(links), np.int64)
    for b in range(logits.shape[0]):
        bad = quantise_into(logits[b], temperature, quantised)
        if bad >= 0:
            return b * len(links) + bad
        score_into(quantised, links, seed_low, seed_high, np.uint64(episodes[b]), step, values, scored)
        actions[b] = best(scored, links)
    return -1


def draw(
    logits: NDArray[np.float32], temperature: float, seed: int, episodes: NDArray[np.int64], step: int
) -> NDArray[np.int64]:
    """Return the links that the routers would sample, (B,) int64.

    logits : (B, L) float32, divided by `temperature`
    seed : 0..2**64-1; episodes : (B,) int64, their numbers, 0..2**32-1; step : of all of them

    Raises NonFiniteLogit if the network computed NaN or infinity.
    """
    actions = np.empty(len(logits), dtype=np.int64)
    links = np.arange(logits.shape[1], dtype=np.int32)
    halves = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    bad = _draw(logits, temperature, *halves, episodes, np.uint64(step), links, _TABLE, actions)
    if bad >= 0:
        raise NonFiniteLogit(bad, float(logits.flat[bad]))
    return actions
