"""A digest of everything that routers must compute alike. As a program it prints the digest."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from policy_networks import preset, random_topology

from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.mpnn import Network
from policy.portable import log_all, round_to_half, tanh_all
from policy.sampling import quantise, scores
from routing.traffic import uniform

KINDS = [
    preset(),
    preset(aggregation="minmax", activation="tanh", message=(6, 5), residual=False, skip=False),
    preset(aggregation="sum", encode=(7, 12)),
]


def numbers(count: int, seed: int) -> NDArray[np.float64]:
    """Numbers of all sizes and signs, made without a math library."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return np.ldexp(2 * generator.random(count) - 1, generator.integers(-20, 20, count))


def elementary() -> bytes:
    """Bits of the elementary functions."""
    positive = np.abs(numbers(10_001, 1))
    log_all(positive)
    single = numbers(10_001, 2).astype(np.float32)
    tanh, half = single.copy(), single.copy()
    tanh_all(tanh)
    round_to_half(half)
    return b"".join(values.tobytes() for values in (positive, tanh, half))


def network() -> bytes:
    """Bits of logits and scores."""
    topology = random_topology(20, 23, 1)
    bits = b""
    for kind in KINDS:
        parameters = random_parameters(kind, 5)
        parameters["readout.1.weight"] *= np.float32(64.0)
        x = numbers(topology.num_links * 12, 3).reshape(-1, 12) / 1024
        logits = Network(kind, parameters).logits(topology, x.astype(np.float32))
        links = np.arange(topology.num_links, dtype=np.int32)
        bits += logits.tobytes() + scores(quantise(logits, 0.7), links, 1 << 40, 2, 3).tobytes()
    return bits


def episode() -> bytes:
    """Bits of whole episodes."""
    topology = random_topology(20, 23, 1)
    start = np.random.Generator(np.random.Philox(key=1)).integers(1, 5, topology.num_links)
    bits = b""
    for kind in KINDS:
        checkpoint = make_checkpoint(kind, random_parameters(kind, 5))
        trace = run_episode(topology, uniform(topology, 2), start, checkpoint, steps=60, seed=3)
        bits += trace.actions.tobytes() + trace.mlu.tobytes() + trace.scores.tobytes()
    return bits


def digest() -> str:
    """Return one line: a digest each of functions, networks and episodes."""
    parts = (elementary(), network(), episode())
    return " ".join(hashlib.blake2s(part, digest_size=8).hexdigest() for part in parts)


if __name__ == "__main__":
    print(digest())
