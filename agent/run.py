"""One episode on one router: Algorithm 1 of paper 003, driven by its neighbours' frames.

For its states see `agent.phase`. Tree pass number t belongs to step t, pass T is PREPARE and pass T+1 COMMIT. All
frames of step t carry the digest as it was when the step began; a neighbour with another one has decided differently,
and the episode is aborted.

No clock and no socket here: the caller feeds frames and flushes `outbox` and `events`. `moves` counts what has been
completed, so the caller can tell waiting from progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.agreement import Applied, Prepared, Verdict, decode, encode, merge_applied, merge_prepared, verdict
from agent.choice import SHARING, Draw
from agent.control import Ending
from agent.digests import StepDigests
from agent.events import Event, SetCosts, StepDone
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up
from agent.order import Order
from agent.phase import Phase
from agent.rounds import Rounds
from agent.tree import Tree, TreePass
from policy.episode import Episode
from policy.mpnn import Network
from policy.sampling import NonFiniteLogit, quantise
from routing.state import RoutingState
from routing.topology import Topology

_HALF = np.dtype("<f2")


class EpisodeRun:
    """One router's part in one episode.

    Parameters
    ----------
    order, topology, network, tree : what all routers share
    router : this one's number
    live : (L,) int64, the weights that OSPF has now, as this router's LSDB shows them
    """

    def __init__(
        self, order: Order, topology: Topology, network: Network, tree: Tree, router: int, live: NDArray[np.int64]
    ) -> None:
        self.order = order
        self.topology = topology
        self.router = router
        self.live = live
        self.phase = Phase.EXCHANGING
        self.status: Ending = "aborted"
        self.reason = ""
        self.costs_changed = 0
        self.moves = 0
        self.outbox: list[tuple[int, Frame, bool]] = []  # (neighbour router, frame, whether it was sent before)
        self.events: deque[Event] = deque()
        out = topology.out_links(router)
        self.links: NDArray[np.int32] = np.arange(out.start, out.stop, dtype=np.int32)
        self.neighbours: list[int] = topology.dst[out].tolist()
        self._index = {neighbour: i for i, neighbour in enumerate(self.neighbours)}
        self._network = network
        self._sharing = SHARING[order.share]
        self._rounds = Rounds(len(self.neighbours))
        self._pass = TreePass(tree, router)
        self.state = Episode(
            topology, order.traffic, order.start, order.steps, network.preset.features, ecmp=order.ecmp
        )
        self.mlu_live = RoutingState(topology, order.traffic, live, ecmp=order.ecmp).mlu
        self.mlu_start = self.state.mlu
        self.digest = order.digest(topology, live)
        self._digests = StepDigests(order.steps)
        self._features: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._hidden: NDArray[np.float32] = self._features
        self._round = 0
        self._draw = Draw(order.seed, 0, order.increments)
        self._unanswered = 0  # `SetCosts` events

    def begin(self) -> None:
        """Take the first step."""
        self.events.append(StepDone(self.order.episode, 0, (), self.state.mlu))
        self._guarded(self._begin_step)

    def receive(self, neighbour: int, frame: Frame) -> None:
        """Act on a frame of this episode from a neighbour; raise `MalformedFrame` for one that makes no sense."""
        if isinstance(frame, Abort):
            self.abort(frame.reason, anyway=True)
        elif self.phase is Phase.ENDED and self.status == "aborted":
            if getattr(frame, "want", False):
                self.outbox.append((neighbour, Abort.because(self.order.episode, self.reason), True))
        elif isinstance(frame, State):
            self._receive_state(neighbour, frame)
        elif isinstance(frame, Up):
            self._check_digest(neighbour, frame.number, frame.digest)
            self._pass.receive_up(neighbour, frame.number, frame.part, frame.parts, frame.payload, frame.want)
        elif isinstance(frame, Down):
            self._check_digest(neighbour, frame.number, frame.digest)
            self._pass.receive_down(neighbour, frame.number, frame.part, frame.parts, frame.payload)
        self._guarded(self._advance)

    def repeat(self) -> None:
        """Ask again for what is missing: the caller has waited long enough."""
        for i in self._rounds.missing():
            self._send_state(i, self._rounds.number, want=True, again=True)
        self._pass.repeat()
        self._flush_pass()

    def waiting_for(self) -> list[str]:
        """Names of the neighbours whose frames are missing."""
        routers = [self.neighbours[i] for i in self._rounds.missing()] or self._pass.missing()
        return [self.topology.nodes[router] for router in routers]

    def costs_set(self, problem: str, changed: int) -> None:
        """Tell that the costs of the oldest unanswered `SetCosts` are in the LSDB, or what the problem is."""
        self._unanswered -= 1
        if self._unanswered:
            return  # costs that are to be restored: the answer to that is still to come
        if self.phase is Phase.UNDOING:
            if problem:
                self.reason = f"{self.reason}; not restored: {problem}"
            self._end("aborted", self.reason)
        elif self.phase is Phase.COMMITTING and not self._pass.waiting:
            self.costs_changed = changed
            self._guarded(lambda: self._pass.begin(encode(Applied(1, changed, problem[:300])), merge_applied))
            self._guarded(self._advance)

    def abort(self, reason: str, *, anyway: bool = False) -> None:
        """End the episode with OSPF as it was; tell the neighbours. Late in a commit only if `anyway`."""
        promised = self.phase is Phase.COMMITTING and self._pass.spoken
        if self.phase in (Phase.ENDED, Phase.UNDOING) or (promised and not anyway):
            return
        message = Abort.because(self.order.episode, reason)
        self.outbox.extend((neighbour, message, False) for neighbour in self.neighbours)
        if self.phase is Phase.COMMITTING:
            self._undo(reason)
        else:
            self._end("aborted", reason)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run a part of the episode; what cannot be computed or understood aborts it."""
        try:
            action()
            self._flush_pass()
        except NonFiniteLogit as error:
            self.abort(f"{self.topology.nodes[self.router]}: {error}")
        except MalformedFrame as error:
            self.abort(f"{self.topology.nodes[self.router]} received nonsense in a tree pass: {error.reason}")

    def _begin_step(self) -> None:
        if not self._begin_digest():
            return
        self._features = self.state.features(self.links)
        self._hidden = self._network.initial(self._features)
        self._round = 0
        self._exchange_or_share()

    def _exchange_or_share(self) -> None:
        if self._round < self._network.preset.rounds:
            self.phase = Phase.EXCHANGING
            halves = self._hidden.astype(_HALF)  # exact: hidden states are float16 values
            payloads = [row.tobytes() for row in halves]
            number = self._rounds.enter(payloads)
            for i in range(len(self.neighbours)):
                self._send_state(i, number, want=False, again=False)
            return
        self.phase = Phase.SHARING
        logits = quantise(self._network.readout(self._hidden, self._features), self.order.temperature_milli / 1000)
        draw = self._draw = Draw(self.order.seed, self.state.step, self.order.increments)
        own = self._sharing.contribution(logits, self.links, draw)
        self._pass.begin(own, lambda payloads: self._sharing.merge(payloads, draw))

    def _advance(self) -> None:
        """Go on as far as the frames at hand allow."""
        while True:
            if self.phase is Phase.EXCHANGING:
                payloads = self._rounds.complete()
                if payloads is None:
                    return
                incoming = np.frombuffer(b"".join(payloads), dtype=_HALF).reshape(len(payloads), -1).astype(np.float32)
                self._hidden = self._network.round(self._hidden, incoming)
                self._round += 1
                self.moves += 1
                self._exchange_or_share()
                continue
            if self.phase is Phase.ENDED or self.phase is Phase.UNDOING:
                return
            outcome = self._pass.outcome()
            if outcome is None:
                return
            self.moves += 1
            if self.phase is Phase.SHARING:
                self._step(outcome)
            elif self.phase is Phase.PREPARING:
                self._decide(decode(outcome, Prepared))
            else:
                self._finish(decode(outcome, Applied))

    def _step(self, outcome: bytes) -> None:
        """Apply what all have chosen."""
        choice = self._sharing.decide(outcome, self._draw)
        links = tuple(link for _, link in choice)
        if not links or max(links) >= self.topology.num_links:
            raise MalformedFrame(f"links {links} were chosen")
        self.digest.extend(links, [score for score, _ in choice])
        mlu = self.state.apply(links)
        self.events.append(StepDone(self.order.episode, self.state.step, links, mlu))
        if self.state.step < self.order.steps:
            self._begin_step()
            return
        if not self._begin_digest():
            return
        self.phase = Phase.PREPARING
        best = self.state
        self._pass.begin(
            encode(Prepared(self.digest.value, best.best_step, best.best_mlu, self.mlu_live)), merge_prepared
        )

    def _decide(self, prepared: Prepared) -> None:
        action, reason = verdict(prepared, self.topology.num_nodes, self.order.margin_milli)
        if action is Verdict.COMMIT:
            self.phase = Phase.COMMITTING
            self._set_costs(self.state.best_weights, undo=False)
        else:
            self._end("kept" if action is Verdict.KEEP else "aborted", reason)

    def _finish(self, applied: Applied) -> None:
        if applied.problem:
            self._undo(applied.problem)
        elif applied.routers != self.topology.num_nodes:
            self._undo(f"{applied.routers} of {self.topology.num_nodes} routers set their costs")
        else:
            self.costs_changed = applied.changed
            self._end("committed", "")

    def _undo(self, reason: str) -> None:
        self.phase = Phase.UNDOING
        self.reason = reason
        self._set_costs(self.live, undo=True)

    def _set_costs(self, weights: NDArray[np.int64], *, undo: bool) -> None:
        self._unanswered += 1
        costs = {int(link): int(weights[link]) for link in self.links}
        self.events.append(SetCosts(self.order.episode, costs, weights.copy(), undo))

    def _end(self, status: Ending, reason: str) -> None:
        self.phase = Phase.ENDED
        self.status, self.reason = status, reason

    def _receive_state(self, neighbour: int, frame: State) -> None:
        rounds = self._network.preset.rounds
        if frame.round >= rounds or len(frame.hidden) != _HALF.itemsize * self._network.preset.hidden:
            raise MalformedFrame(f"round {frame.round} with {len(frame.hidden)} bytes")
        self._check_digest(neighbour, frame.step, frame.digest)
        number = frame.step * rounds + frame.round
        i = self._index[neighbour]
        if frame.want:
            self._send_state(i, number, want=False, again=True)
        self._rounds.receive(i, number, frame.hidden)
        if self._rounds.overtaken(i):
            self._send_state(i, self._rounds.number, want=True, again=True)

    def _send_state(self, i: int, number: int, *, want: bool, again: bool) -> None:
        """Send neighbour i what it was, or would have been, sent in a round; nothing if it cannot lack it."""
        payload = self._rounds.sent(i, number)
        if payload is not None:
            step, round_ = divmod(number, self._network.preset.rounds)
            frame = State(self.order.episode, step, round_, want, self._digests.at(step), payload)
            self.outbox.append((self.neighbours[i], frame, again))

    def _flush_pass(self) -> None:
        """Turn what the tree pass wants to say into frames."""
        for passing in self._pass.outbox:
            frames = passing.frames(self.order.episode, self._digests.at(passing.number))
            self.outbox.extend((passing.router, frame, passing.again) for frame in frames)
        self._pass.outbox.clear()

    def _begin_digest(self) -> bool:
        """Compare with the neighbours that are in this step already; return whether the episode goes on."""
        for neighbour in self._digests.begin(self.state.step, self.digest.value):
            self._abort_disagreement(neighbour, self.state.step)
        return self.phase is not Phase.ENDED

    def _check_digest(self, neighbour: int, number: int, digest: bytes) -> None:
        if not self._digests.agrees(neighbour, number, digest):
            self._abort_disagreement(neighbour, number)

    def _abort_disagreement(self, neighbour: int, number: int) -> None:
        names = self.topology.nodes
        self.abort(f"{names[self.router]} and {names[neighbour]} disagree: digests of step {number} differ")
