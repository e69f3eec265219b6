"""Short digests on every frame: neighbours that have decided differently notice it with the next frame, not at the end.

All frames of step t carry the digest as it was when step t began. This router compares with its own digests of the
step it is in and of the one before; a frame from the next step is remembered and compared as soon as this router gets
there.
"""

from __future__ import annotations

from agent.messages import DIGEST_BYTES


class StepDigests:
    """The router's digests at the beginning of its last two steps, and the neighbours' that came early."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = -1
        self._own: dict[int, bytes] = {}
        self._early: dict[int, tuple[int, bytes]] = {}  # neighbour -> (step, digest)

    def begin(self, step: int, digest: bytes, *, last: bool = False) -> list[int]:
        """Note the digest with which a step begins; return the neighbours that had another.

        last : nothing is decided in this step any more, whether it is step T or comes before it
        """
        self._step = step
        if last:
            self._steps = step
        self._own[step] = digest[:DIGEST_BYTES]
        self._own.pop(step - 2, None)
        here = {n: theirs for n, (number, theirs) in self._early.items() if number == step or (last and number > step)}
        for neighbour in here:
            del self._early[neighbour]
        return [neighbour for neighbour, theirs in here.items() if theirs != self._own[step]]

    def at(self, number: int) -> bytes:
        """Return the digest that this router's frames of a step, or of a tree pass of that number, carry."""
        return self._own[min(number, self._step)]

    def agrees(self, neighbour: int, number: int, digest: bytes) -> bool:
        """Whether a neighbour's digest is this router's; those that cannot be compared (yet) count as equal."""
        step = min(number, self._steps)  # after the last one it changes no more
        if step > self._step:
            self._early[neighbour] = (step, digest)
            return True
        return self._own.get(step, digest) == digest
