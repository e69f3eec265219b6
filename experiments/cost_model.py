"""What an optimisation costs by calculation: frames and bytes from their number and size, time from delays and rounds.

One step is K rounds, in which every link carries one frame with a hidden state, and one tree pass, in which every edge
of the spanning tree carries one frame up and one down. The frames are encoded here as the agents encode them;
greetings, the final agreement and repetitions are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.messages import DIGEST_BYTES, MAX_PART, Down, Frame, State, Up, encode
from agent.session import OVERHEAD
from agent.tree import spanning_tree
from routing.topology import Topology

WIRE_HEADERS = 8 + 20 + 14  # UDP, IPv4 and Ethernet, as in `emulation.assemble`
FIBRE = 299_792_458.0 * 2 / 3  # m/s, light in glass
SIDE_M = 4_000_000.0  # what the square of a network without geography stands for: a continent
_EARTH_M = 6_371_000.0
_SETTLED = 20  # steps after which each takes as long as the one before


@dataclass(frozen=True)
class Sent:
    """Means per directed link, whole optimisation: frames, and UDP payload in bytes."""

    frames: float
    hidden_bytes: float
    sharing_bytes: float

    @property
    def bytes(self) -> float:
        """All UDP payload."""
        return self.hidden_bytes + self.sharing_bytes

    @property
    def wire_bytes(self) -> float:
        """Payload with UDP, IP and Ethernet headers."""
        return self.bytes + WIRE_HEADERS * self.frames


def calculated(
    topology: Topology,
    chosen: Sequence[int],
    rounds: int,
    hidden_bytes: int,
    share: str = "candidate",
) -> Sent:
    """Return what agents send, without losses.

    chosen : links per decision, for each; rounds : K; hidden_bytes : of a hidden state, 2 D in float16;
    share : candidate or logits
    """
    links, steps = topology.num_links, len(chosen)
    digest = bytes(DIGEST_BYTES)
    state = _total(State(1, step, 0, False, digest, bytes(hidden_bytes)) for step in range(steps))
    frames, sharing = 0, 0
    for pairs, count in _passed(topology, chosen, share).items():
        # A score is about 2**20 (16 nats in units of 2**-16): MessagePack writes 5 bytes, and 1 to 3 for a link.
        left = pairs * (1 + 5 + (1 if links <= 128 else 2 if links <= 256 else 3)) + (1 if pairs < 16 else 3)
        parts = -(-left // MAX_PART)
        for part in range(parts):
            payload = bytes(min(left, MAX_PART))
            left -= len(payload)
            # Half of them go up, half down, which differ by a byte.
            both = (Up(1, 1, False, digest, part, parts, payload), Down(1, 1, digest, part, parts, payload))
            sharing += count * _total(both) // 2
        frames += count * parts
    late = sum(len(encode(Down(1, step, digest, 0, 1, b""))) for step in range(steps))
    longer = late - steps * len(encode(Down(1, 1, digest, 0, 1, b"")))  # the number of a late step takes more bytes
    return Sent(
        frames=steps * rounds + frames / links,
        hidden_bytes=float(rounds * state),
        sharing_bytes=(sharing + longer * frames / max(steps, 1)) / links,
    )


def _passed(topology: Topology, chosen: Sequence[int], share: str) -> Counter[int]:
    """Return how many times a message with so many (integer, link) pairs passes an edge of the tree."""
    links, edges = topology.num_links, topology.num_nodes - 1
    passed: Counter[int] = Counter()
    if share == "candidate":
        for top in chosen:
            passed[min(top, links)] += 2 * edges
        return passed
    tree = spanning_tree(topology)
    own = np.diff(topology.out_ptr).tolist()
    for router in sorted(range(topology.num_nodes), key=tree.level, reverse=True):
        if router != tree.root:
            own[tree.parent[router]] += own[router]  # what a router says includes what its children said
    for router in range(topology.num_nodes):
        if router != tree.root:
            passed[own[router]] += len(chosen)
    passed[links] += edges * len(chosen)
    return passed


def _total(frames: Iterable[Frame]) -> int:
    return sum(len(encode(frame)) + OVERHEAD for frame in frames)


def delays(topology: Topology) -> NDArray[np.float64]:
    """Return each link's propagation delay, a straight line at 2/3 of the speed of light, (L,) float64, seconds."""
    here, there = topology.positions[topology.src], topology.positions[topology.dst]
    if topology.geographic:
        (lon, lat), (lon2, lat2) = np.radians(here).T, np.radians(there).T
        chord = np.sin((lat2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon2 - lon) / 2) ** 2
        metres = 2 * _EARTH_M * np.arcsin(np.sqrt(chord))
    else:
        extent = float(np.ptp(topology.positions, axis=0).max())
        metres = np.hypot(*(there - here).T) * SIDE_M / (extent or 1.0)
    found: NDArray[np.float64] = metres / FIBRE
    return found


def propagation(topology: Topology, delay: NDArray[np.float64], steps: int, rounds: int) -> float:
    """Return the seconds that `steps` decisions take if only propagation takes time.

    A router ends a round when it has its neighbours' frames of it; it sends up the tree when it has ended the last
    round and heard its children; it begins the next step when the outcome has come down.
    """
    if not steps:
        return 0.0
    tree = spanning_tree(topology)
    order = sorted(range(topology.num_nodes), key=tree.level)
    up = [0.0 if r == tree.root else float(delay[topology.link_index(r, tree.parent[r])]) for r in order]
    down = [0.0 if r == tree.root else float(delay[topology.link_index(tree.parent[r], r)]) for r in order]
    begun = np.zeros(topology.num_nodes)
    ends: list[float] = []
    for _ in range(min(steps, _SETTLED)):
        now = begun
        for _ in range(rounds):
            heard = now.copy()
            np.maximum.at(heard, topology.dst, now[topology.src] + delay)
            now = heard
        ready = now.copy()
        for router, late in zip(reversed(order), reversed(up), strict=True):
            if router != tree.root:
                ready[tree.parent[router]] = max(ready[tree.parent[router]], ready[router] + late)
        begun = ready.copy()
        for router, late in zip(order, down, strict=True):
            if router != tree.root:
                begun[router] = begun[tree.parent[router]] + late
        ends.append(float(begun.max()))
    period = ends[-1] - ends[-2] if len(ends) > 1 else 0.0
    total = ends[-1] + (steps - len(ends)) * period
    return total if math.isfinite(total) else math.nan
