"""The neighbour rounds of one router's episode: what it sends in each, and what becomes of what it hears.

While nothing is lost, a frame carries the hidden state of one round. As soon as a router has seen that a frame was lost
(a later one came before it, or the session misses some) it sends the state of the round before along with each, and so
does whoever hears that, until the episode ends: all know that this network loses frames. Whoever goes on says again
what the other may lack, and a single loss costs one hop instead of a wait and a round trip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.messages import MAX_HIDDEN, MalformedFrame, State
from agent.rounds import Rounds
from policy.mpnn import Network, OwnLinks


class Exchange:
    """K rounds in each step, with the neighbours 0..m-1.

    Parameters
    ----------
    network : the policy
    own : how many links the router has
    rows : (m,) which of them lead to the neighbours
    episode : its number

    Attributes
    ----------
    round : of the present step; K: all are done
    lossy : whether this network loses frames, as far as is known
    rounds : the barrier
    """

    def __init__(self, network: Network, own: int, rows: Sequence[int], episode: int) -> None:
        self.round = 0
        self.lossy = False
        self.rounds = Rounds(len(rows))
        self._rounds_per_step = network.preset.rounds
        self._size = 2 * network.preset.hidden
        self._episode = episode
        self._links = OwnLinks(network, own, len(rows))
        self._rows = rows
        self._heard = [memoryview(row).cast("B") for row in self._links.heard]
        self._digests: dict[int, bytes] = {}  # of the last two steps

    @property
    def done(self) -> bool:
        """Whether all rounds of the step are over."""
        return self.round == self._rounds_per_step

    @property
    def last(self) -> bool:
        """Whether the round under way is the last of the step."""
        return self.round == self._rounds_per_step - 1

    def begin(self, step: int, digest: bytes, features: NDArray[np.float32]) -> None:
        """Begin a step with the features of the own links; `digest` is what its frames carry."""
        self._digests[step] = digest
        self._digests.pop(step - 2, None)
        self._links.begin(features)
        self.round = 0

    def enter(self) -> list[State]:
        """Enter the next round; return what each neighbour is sent."""
        sent = self._links.sent.tobytes()
        size = self._size
        number = self.rounds.enter([sent[row * size : (row + 1) * size] for row in self._rows])
        return [self._state(i, number, want=False) for i in range(len(self._rows))]

    def receive(self, i: int, frame: State) -> list[State]:
        """Take a frame of neighbour i; return what it is to be sent in turn: what it asks for, what is to be asked."""
        per_step, size, hidden = self._rounds_per_step, self._size, frame.hidden
        if frame.round >= per_step or len(hidden) not in (size, 2 * size):
            raise MalformedFrame(f"round {frame.round} with {len(hidden)} bytes")
        rounds, number = self.rounds, frame.step * per_step + frame.round
        if len(hidden) > size:
            self.lossy = True
            rounds.receive(i, number - 1, hidden[size:])
            hidden = hidden[:size]
        rounds.receive(i, number, hidden)
        answers: list[State] = []
        if rounds.overtaken(i):
            self.lossy = True
            answers.append(self._state(i, rounds.number, want=True))
        if frame.want:
            # The next round's frame says both, if there is one already.
            ahead = self.lossy and number + 1 == rounds.number
            if rounds.sent(i, number) is not None:
                answers.append(self._state(i, rounds.number if ahead else number, want=False))
        return answers

    def complete(self) -> bool:
        """Compute the next hidden states if every neighbour's is here; return whether that was so."""
        payloads = self.rounds.complete()
        if payloads is None:
            return False
        for place, payload in zip(self._heard, payloads, strict=True):
            place[:] = payload
        self._links.round()
        self.round += 1
        return True

    def ask(self) -> list[tuple[int, State]]:
        """Return the newest frame, asking for theirs, for each neighbour that has not sent it."""
        return [(i, self._state(i, self.rounds.number, want=True)) for i in self.rounds.missing()]

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the own links after the last round."""
        return self._links.logits()

    def _state(self, i: int, number: int, *, want: bool) -> State:
        step, round_ = divmod(number, self._rounds_per_step)
        hidden = self.rounds.sent(i, number)
        assert hidden is not None
        if self.lossy and 2 * self._size <= MAX_HIDDEN:
            hidden += self.rounds.sent(i, number - 1) or b""
        return State(self._episode, step, round_, want, self._digests[step], hidden)
