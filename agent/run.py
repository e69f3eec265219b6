"""One episode on one router: Algorithm 1 of paper 003, driven by its neighbours' frames.

For its states see `agent.phase`. Tree pass number t belongs to step t, pass T is PREPARE, those after it are the
commit's (`agent.conclusion`). All frames of step t carry the digest as it was when the step began; a neighbour with
another one has decided differently, and the episode is aborted.

No clock and no socket here: the caller feeds frames and flushes `outbox` and `events`. `moves` counts what has been
completed, so the caller can tell waiting from progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.agreement import Prepared
from agent.choice import SHARING, Draw
from agent.conclusion import Conclusion
from agent.digests import StepDigests
from agent.epoch import Epoch
from agent.events import Event, StepDone
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up
from agent.order import Order
from agent.phase import Phase
from agent.rounds import Rounds
from agent.tree import TreePass
from policy.episode import Episode
from policy.mpnn import Network
from policy.sampling import NonFiniteLogit, quantise
from routing.state import RoutingState

_HALF = np.dtype("<f2")


class EpisodeRun:
    """One router's part in one episode. Inside, nodes and links have the numbers of the epoch's part.

    Parameters
    ----------
    order, epoch, network : what all members share
    router : this one's number, in the whole topology; it is a member
    live : (L,) int64, the weights that OSPF has now, as this router's LSDB shows them, 0 where a link is down

    Attributes
    ----------
    conclusion : where the episode stands, and how it ends
    heard : neighbours that have said something
    """

    def __init__(self, order: Order, epoch: Epoch, network: Network, router: int, live: NDArray[np.int64]) -> None:
        part = epoch.part
        self.order = order
        self.epoch = epoch
        self.topology = part.network
        self.router = part.node(router)
        self.live = live
        self.moves = 0
        self.heard: set[int] = set()
        self.outbox: list[tuple[int, Frame, bool]] = []  # (neighbour, by its whole number, frame, was it sent before)
        self.events: deque[Event] = deque()
        out = self.topology.out_links(self.router)
        self.links: NDArray[np.int32] = np.arange(out.start, out.stop, dtype=np.int32)
        self.neighbours: list[int] = [int(part.nodes[peer]) for peer in epoch.neighbours(self.router)]
        self._rows = np.flatnonzero(np.isin(self.topology.dst[out], epoch.neighbours(self.router)))  # own, to a member
        self._index = {neighbour: i for i, neighbour in enumerate(self.neighbours)}
        self._network = network
        self._sharing = SHARING[order.share]
        self._rounds = Rounds(len(self.neighbours))
        self._pass = TreePass(epoch.tree, self.router)
        traffic, features = part.traffic(order.traffic), network.preset.features
        start = order.first_weights(epoch, live[part.links])
        self.state = Episode(self.topology, traffic, start, order.steps, features, ecmp=order.ecmp)
        self.mlu_live = RoutingState(self.topology, traffic, live[part.links], ecmp=order.ecmp).mlu
        self.mlu_start = self.state.mlu
        self.digest = order.digest(part.whole, live, epoch)
        self.conclusion = Conclusion(order, epoch, self.links, live, self._pass, self.events)
        self._digests = StepDigests(order.steps)
        self._features: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._hidden: NDArray[np.float32] = self._features
        self._round = 0
        self._draw = Draw(order.seed, 0, order.increments)

    @property
    def phase(self) -> Phase:
        """Where the episode stands."""
        return self.conclusion.phase

    def begin(self) -> None:
        """Take the first step."""
        self.events.append(StepDone(self.order.episode, 0, (), self.state.mlu))
        self._guarded(self._begin_step if self.order.steps else self._prepare)
        self._guarded(self._advance)

    def receive(self, neighbour: int, frame: Frame) -> None:
        """Act on a frame of this episode from a neighbour; raise `MalformedFrame` for one that makes no sense."""
        if neighbour not in self._index:
            raise MalformedFrame(f"router {neighbour} is no member of this epoch")
        sender = self.epoch.part.node(neighbour)
        self.heard.add(neighbour)
        if isinstance(frame, Abort):
            self.abort(frame.reason)
        elif self.phase is Phase.ENDED and self.conclusion.status == "aborted":
            if getattr(frame, "want", False):
                self.outbox.append((neighbour, Abort.because(self.order.episode, self.conclusion.reason), True))
        elif isinstance(frame, State):
            self._receive_state(neighbour, frame)
        elif isinstance(frame, Up):
            self._check_digest(neighbour, frame.number, frame.digest)
            self._pass.receive_up(sender, frame.number, frame.part, frame.parts, frame.payload, frame.want)
        elif isinstance(frame, Down):
            self._check_digest(neighbour, frame.number, frame.digest)
            self._pass.receive_down(sender, frame.number, frame.part, frame.parts, frame.payload)
        self._guarded(self._advance)

    def repeat(self) -> None:
        """Ask again for what is missing: the caller has waited long enough."""
        for i in self._rounds.missing():
            self._send_state(i, self._rounds.number, want=True, again=True)
        self._pass.repeat()
        self._flush_pass()

    def waiting_for(self) -> list[str]:
        """Names of the neighbours whose frames are missing."""
        part = self.epoch.part
        missing = [self.neighbours[i] for i in self._rounds.missing()]
        return [
            part.whole.nodes[router] for router in missing or [int(part.nodes[one]) for one in self._pass.missing()]
        ]

    def costs_set(self, problem: str, changed: int) -> None:
        """Tell that the costs of the oldest unanswered `SetCosts` are in the LSDB, or what the problem is."""
        self.conclusion.costs_set(problem, changed)
        self._guarded(self._advance)

    def ospf_shows(self, weights: NDArray[np.int64]) -> None:
        """Take what the LSDB shows, (L,) int64: another topology, or a cost set by hand, ends the episode."""
        if not self.conclusion.over:
            reason = self.conclusion.ospf_shows(weights)
            if reason:
                self._tell(reason)
                self.conclusion.give_up(reason)

    def abort(self, reason: str) -> None:
        """End the episode with OSPF as it was; tell the neighbours. In doubt, it goes on until the LSDB decides."""
        if self.conclusion.over or self.conclusion.doubt:
            return
        self._tell(reason)
        if self.conclusion.in_doubt:
            self.conclusion.doubt = reason
        else:
            self.conclusion.give_up(reason)

    def _tell(self, reason: str) -> None:
        message = Abort.because(self.order.episode, reason)
        self.outbox.extend((neighbour, message, False) for neighbour in self.neighbours)

    def stall(self, reason: str) -> None:
        """Nothing has moved for too long."""
        if self.conclusion.in_doubt:
            self.conclusion.resolve(self.conclusion.doubt or reason)
        else:
            self.abort(reason)

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
            self.conclusion.phase = Phase.EXCHANGING
            halves = self._hidden.astype(_HALF)  # exact: hidden states are float16 values
            payloads = [halves[row].tobytes() for row in self._rows]
            number = self._rounds.enter(payloads)
            for i in range(len(self.neighbours)):
                self._send_state(i, number, want=False, again=False)
            return
        self.conclusion.phase = Phase.SHARING
        logits = quantise(self._network.readout(self._hidden, self._features), self.order.temperature_milli / 1000)
        draw = self._draw = Draw.of(self.order, self.state.step)
        own = self._sharing.contribution(logits, self.links, draw)
        self._pass.begin(own, lambda payloads: self._sharing.merge(payloads, draw))

    def _advance(self) -> None:
        """Go on as far as the frames at hand allow."""
        while True:
            if self.phase is Phase.EXCHANGING:
                payloads = self._rounds.complete()
                if payloads is None:
                    return
                incoming = np.frombuffer(b"".join(payloads), dtype=_HALF).astype(np.float32)
                incoming = incoming.reshape(len(payloads), self._network.preset.hidden)
                self._hidden = self._network.round(self._hidden, incoming)
                self._round += 1
                self.moves += 1
                self._exchange_or_share()
                continue
            if self.conclusion.over:
                return
            outcome = self._pass.outcome()
            if outcome is None:
                return
            self.moves += 1
            if self.phase is Phase.SHARING:
                self._step(outcome)
            elif self.phase is Phase.PREPARING:
                self.conclusion.decide(outcome)
            else:
                self.conclusion.applied(outcome)

    def _step(self, outcome: bytes) -> None:
        """Apply what all have chosen."""
        choice = self._sharing.decide(outcome, self._draw)
        links = tuple(link for _, link in choice)
        if not links or max(links) >= self.topology.num_links:
            raise MalformedFrame(f"links {links} were chosen")
        self.digest.extend(links, [score for score, _ in choice])
        mlu = self.state.apply(links)
        told = tuple(int(self.epoch.part.links[link]) for link in links)
        self.events.append(StepDone(self.order.episode, self.state.step, told, mlu))
        if self.state.step < self.order.steps:
            self._begin_step()
        else:
            self._prepare()

    def _prepare(self) -> None:
        """All steps are done: agree on the result."""
        if self._begin_digest():
            best = self.state
            prepared = Prepared(self.digest.value, best.best_step, best.best_mlu, self.mlu_live)
            self.conclusion.prepare(prepared, best.best_weights)

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
            router = int(self.epoch.part.nodes[passing.router])
            self.outbox.extend((router, frame, passing.again) for frame in frames)
        self._pass.outbox.clear()

    def _begin_digest(self) -> bool:
        """Compare with the neighbours that are in this step already; return whether the episode goes on."""
        for neighbour in self._digests.begin(self.state.step, self.digest.value):
            self._abort_disagreement(neighbour, self.state.step)
        return not self.conclusion.over

    def _check_digest(self, neighbour: int, number: int, digest: bytes) -> None:
        if not self._digests.agrees(neighbour, number, digest):
            self._abort_disagreement(neighbour, number)

    def _abort_disagreement(self, neighbour: int, number: int) -> None:
        mine, theirs = self.topology.nodes[self.router], self.epoch.part.whole.nodes[neighbour]
        self.abort(f"{mine} and {theirs} disagree: digests of step {number} differ")
