"""A digest of episodes on several networks, with every preset. As a program it prints one line for each."""

import hashlib

from policy.checkpoint import make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.preset import PRESETS
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.traffic import gravity, uniform


def digests() -> list[str]:
    """Return a line for each network, preset and kind of routing."""
    lines = []
    for name in ("nsfnet", "gbn", "geant2"):
        topology = load_topology(name, "uniform")
        for number, (kind, preset) in enumerate(sorted(PRESETS.items())):
            for ecmp in (True, False):
                traffic = (uniform if ecmp else gravity)(topology, number)
                start = initial_weights("random:3", topology)
                checkpoint = make_checkpoint(preset, random_parameters(preset, number))
                trace = run_episode(topology, traffic, start, checkpoint, steps=80, seed=number, ecmp=ecmp)
                parts = (trace.actions, trace.scores, trace.mlu, trace.best_weights, trace.weights)
                digest = hashlib.blake2s(b"".join(part.tobytes() for part in parts), digest_size=8).hexdigest()
                lines.append(f"{name} {kind} {'ecmp' if ecmp else 'one hop'} {digest}")
    return lines


if __name__ == "__main__":
    print("\n".join(digests()))
