"""How the routers come to the same action: share candidates (the default) or all logits (the paper's way).

Each router owns the quantised logits of its own links. With the Gumbel-max trick the sample is the link with the
greatest score ``logit + noise(seed, episode, step, link)``, and the greatest of all is the greatest of the routers'
greatest: so it is enough that candidates, (score, link), are combined on their way up the tree. With ``--share
logits`` everything travels and each router draws the same sample by itself (paper 003, Algorithm 1, lines 10-11).
Both choose the same links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agent.messages import MalformedFrame
from agent.order import Order
from policy.sampling import choose, scores
from policy.schedule import increments_at

_Link = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Integer = Annotated[int, Meta(ge=-(2**62), le=2**62)]
_Pairs = list[tuple[_Integer, _Link]]

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Pairs] = msgspec.msgpack.Decoder(_Pairs)


@dataclass(frozen=True)
class Draw:
    """What identifies one draw of the shared noise, and how many links it chooses.

    The episode's number is not part of it: the same order gives the same decisions whenever it is given.
    """

    seed: int
    step: int
    top: int

    @classmethod
    def of(cls, order: Order, step: int) -> Draw:
        """Return the draw of step 0..T-1."""
        return cls(order.seed, step, increments_at(step, order.steps, order.opening, order.increments))


Choice = list[tuple[int, int]]  # (score, link), best first


class Sharing(Protocol):
    """One way of sharing: what a router contributes, how contributions merge, what the outcome means."""

    def contribution(self, logits: NDArray[np.int64], links: NDArray[np.int32], draw: Draw) -> bytes:
        """Return what a router says of its own links."""

    def merge(self, payloads: Sequence[bytes], draw: Draw) -> bytes:
        """Return one payload for several."""

    def decide(self, outcome: bytes, draw: Draw) -> Choice:
        """Return the links to change."""


def _pairs(payload: bytes) -> _Pairs:
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise MalformedFrame(f"not a list of (integer, link): {error}") from error


def _distinct(pairs: _Pairs) -> _Pairs:
    """Return the pairs; a link that comes twice is a fault of its sender."""
    if len({link for _, link in pairs}) < len(pairs):
        raise MalformedFrame("a link was offered twice")
    return pairs


def _best(pairs: _Pairs, top: int) -> _Pairs:
    """Return the `top` greatest scores, ties to the lowest link."""
    return sorted(_distinct(pairs), key=lambda pair: (-pair[0], pair[1]))[:top]


class ShareCandidates:
    """Only the best links travel."""

    def contribution(self, logits: NDArray[np.int64], links: NDArray[np.int32], draw: Draw) -> bytes:
        """Return a router's best links with their scores."""
        return _encoder.encode(_choose(logits, links, draw))

    def merge(self, payloads: Sequence[bytes], draw: Draw) -> bytes:
        """Return the best of the candidates."""
        return _encoder.encode(_best([pair for payload in payloads for pair in _pairs(payload)], draw.top))

    def decide(self, outcome: bytes, draw: Draw) -> Choice:
        """Return the best candidates of all."""
        return _best(_pairs(outcome), draw.top)


class ShareLogits:
    """All quantised logits travel."""

    def contribution(self, logits: NDArray[np.int64], links: NDArray[np.int32], draw: Draw) -> bytes:
        """Return a router's logits."""
        return _encoder.encode(list(zip(logits.tolist(), links.tolist(), strict=True)))

    def merge(self, payloads: Sequence[bytes], draw: Draw) -> bytes:
        """Return all logits."""
        pairs = _distinct([pair for payload in payloads for pair in _pairs(payload)])
        return _encoder.encode(sorted(pairs, key=lambda pair: pair[1]))

    def decide(self, outcome: bytes, draw: Draw) -> Choice:
        """Draw the sample from all logits, as every router does."""
        pairs = _distinct(_pairs(outcome))
        logits = np.array([logit for logit, _ in pairs], dtype=np.int64)
        return _choose(logits, np.array([link for _, link in pairs], dtype=np.int32), draw)


def _choose(logits: NDArray[np.int64], links: NDArray[np.int32], draw: Draw) -> Choice:
    noisy = scores(logits, links, draw.seed, 0, draw.step)
    return [(int(score), int(link)) for score, link in choose(noisy, links, draw.top)]


SHARING: dict[str, Sharing] = {"candidate": ShareCandidates(), "logits": ShareLogits()}
