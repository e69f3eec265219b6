"""What an agent says that lies: frames that keep to the schema, with false contents, sealed with the right keys."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.random import Generator

from agent.agreement import Applied, Prepared, decode, encode
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up

_pack = msgspec.msgpack.Encoder()


class Liar:
    """Decides about every frame of one agent whether to lie in it.

    Parameters
    ----------
    random : draws the lies
    share_of_lies : probability that a frame is false
    links, steps : of the network and of its episodes
    """

    def __init__(self, random: Generator, share_of_lies: float, links: int, steps: int) -> None:
        self.told = 0
        self._random = random
        self._share = share_of_lies
        self._links = links
        self._steps = steps

    def says(self, frame: Frame) -> Frame:
        """Return what is sent instead of a frame."""
        if self._random.random() >= self._share:
            return frame
        lie = self._lie(frame)
        self.told += lie != frame
        return lie

    def _lie(self, frame: Frame) -> Frame:
        random = self._random
        if isinstance(frame, State):
            if random.random() < 0.2:
                return msgspec.structs.replace(frame, digest=random.bytes(len(frame.digest)))
            halves = random.uniform(-8, 8, len(frame.hidden) // 2).astype("<f2")
            return msgspec.structs.replace(frame, hidden=halves.tobytes())
        if isinstance(frame, Up | Down) and frame.parts == 1:
            return msgspec.structs.replace(frame, payload=self._payload(frame.number, frame.payload))
        if isinstance(frame, Abort):
            return msgspec.structs.replace(frame, reason="")
        return frame

    def _payload(self, number: int, payload: bytes) -> bytes:
        """Return a false contribution to a tree pass, or a false outcome of it."""
        random = self._random
        if number < self._steps:
            score, link = int(random.integers(-(2**24), 2**24)), int(random.integers(self._links))
            return _pack.encode([[score, link]])
        try:
            if number == self._steps:
                prepared = decode(payload, Prepared)
                lies: list[dict[str, Any]] = [
                    {"digest": random.bytes(16)},
                    {"best_mlu": 0.0},
                    {"routers": prepared.routers + 1},
                ]
                return encode(msgspec.structs.replace(prepared, **lies[int(random.integers(len(lies)))]))
            applied = decode(payload, Applied)
            return encode(Applied(applied.routers + int(random.integers(-1, 2)), applied.changed + 1, ""))
        except (MalformedFrame, ValueError):
            return np.asarray([number], dtype="<i4").tobytes()
