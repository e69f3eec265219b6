"""One episode on one router: Algorithm 1 of paper 003, driven by its neighbours' frames.

For its states see `agent.phase`. Tree pass number t belongs to step t. The pass after the last step (pass T, unless
the episode's patience ends it before) is PREPARE, those after it are the commit's (`agent.conclusion`). All frames of
step t carry the digest as it was when the step began; a neighbour with another one has decided differently, and the
episode is aborted.

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
from agent.exchange import Exchange
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up
from agent.order import Order
from agent.phase import Phase
from agent.tree import TreePass
from policy.episode import Episode
from policy.mpnn import Network
from policy.sampling import NonFiniteLogit, quantise
from routing.state import RoutingState


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
        self._reborn: set[int] = set()  # neighbours that have forgotten this episode
        self.outbox: list[tuple[int, Frame, bool]] = []  # (neighbour, by its whole number, frame, was it sent before)
        self.events: deque[Event] = deque()
        out = self.topology.out_links(self.router)
        self.links: NDArray[np.int32] = np.arange(out.start, out.stop, dtype=np.int32)
        self.neighbours: list[int] = [int(part.nodes[peer]) for peer in epoch.neighbours(self.router)]
        rows = np.flatnonzero(np.isin(self.topology.dst[out], epoch.neighbours(self.router)))  # own links to members
        self._index = {neighbour: i for i, neighbour in enumerate(self.neighbours)}
        self._numbers = {neighbour: part.node(neighbour) for neighbour in self.neighbours}
        self._sharing = SHARING[order.share]
        self._exchange = Exchange(network, len(self.links), rows.tolist(), order.episode)
        self._pass = TreePass(epoch.tree, self.router)
        traffic, features = part.traffic(order.traffic), network.preset.features
        start = order.first_weights(epoch, live[part.links])
        self.state = Episode(
            self.topology, traffic, start, order.steps, features, ecmp=order.ecmp, patience=order.patience
        )
        self.mlu_live = RoutingState(self.topology, traffic, live[part.links], ecmp=order.ecmp).mlu
        self.mlu_start = self.state.mlu
        self.digest = order.digest(part.whole, live, epoch)
        self.conclusion = Conclusion(order, epoch, self.links, live, self._pass, self.events)
        self._digests = StepDigests(order.steps)
        self._draw = Draw(order.seed, 0, order.increments)
        self._asked = False  # for the outcome of the present pass, before time

    @property
    def lossy(self) -> bool:
        """Whether this network loses frames, as far as is known."""
        return self._exchange.lossy

    @property
    def sharing_passes(self) -> int:
        """How many tree passes share candidates, as far as is known: that many steps has the episode."""
        return self.state.step if self.state.over else self.order.steps

    @property
    def phase(self) -> Phase:
        """Where the episode stands."""
        return self.conclusion.phase

    def begin(self, *, lossy: bool = False) -> None:
        """Take the first step; `lossy`: the links have lost frames lately."""
        self._exchange.lossy = lossy
        self.events.append(StepDone(self.order.episode, 0, (), self.state.mlu))
        self._guarded(self._prepare if self.state.over else self._begin_step)
        self._guarded(self._advance)

    def receive(self, neighbour: int, frame: Frame, *, lossy: bool = False) -> None:
        """Act on a frame of this episode from a neighbour, whose frames get lost if `lossy`.

        Raises `MalformedFrame` for one that makes no sense.
        """
        sender = self._numbers.get(neighbour)
        if sender is None:
            raise MalformedFrame(f"router {neighbour} is no member of this epoch")
        self.heard.add(neighbour)
        self._exchange.lossy |= lossy
        if isinstance(frame, Abort):
            self.abort(frame.reason)
        elif neighbour in self._reborn:  # it was told of this episode again, and would wait for what is over
            self.outbox.append((neighbour, Abort.because(self.order.episode, self._forgotten(neighbour)), True))
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

    def reborn(self, neighbour: int) -> None:
        """Take that a neighbour's agent was restarted: if it was in this episode, it is no more."""
        if neighbour in self.heard:
            self._reborn.add(neighbour)
            self.abort(self._forgotten(neighbour))

    def _forgotten(self, neighbour: int) -> str:
        return f"the agent of {self.epoch.part.whole.nodes[neighbour]} was restarted"

    def repeat(self) -> None:
        """Ask again for what is missing: the caller has waited long enough."""
        self.outbox.extend((self.neighbours[i], frame, True) for i, frame in self._exchange.ask())
        self._pass.repeat()
        self._flush_pass()

    def waiting_for(self) -> list[str]:
        """Names of the neighbours whose frames are missing."""
        part = self.epoch.part
        missing = [self.neighbours[i] for i in self._exchange.rounds.missing()]
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
        features = self.state.features(self.links)
        self._exchange.begin(self.state.step, self._digests.at(self.state.step), features)
        self._exchange_or_share()

    def _exchange_or_share(self) -> None:
        if not self._exchange.done:
            self.conclusion.phase = Phase.EXCHANGING
            frames = list(zip(self.neighbours, self._exchange.enter(), strict=True))
            self.outbox.extend((peer, frame, False) for peer, frame in frames)
            if self.lossy and self._exchange.last:  # no other follows soon that would make up for a lost one
                self.outbox.extend((peer, frame, True) for peer, frame in frames)
            return
        self.conclusion.phase = Phase.SHARING
        logits = quantise(self._exchange.logits(), self.order.temperature_milli / 1000)
        draw = self._draw = Draw.of(self.order, self.state.step)
        own = self._sharing.contribution(logits, self.links, draw)
        self._asked = False
        self._pass.begin(own, lambda payloads: self._sharing.merge(payloads, draw))

    def _advance(self) -> None:
        """Go on as far as the frames at hand allow."""
        while True:
            if self.phase is Phase.EXCHANGING:
                if not self._exchange.complete():
                    return
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
        if self.state.over:
            self._prepare()
        else:
            self._begin_step()

    def _prepare(self) -> None:
        """All steps are done: agree on the result."""
        if self._begin_digest():
            best = self.state
            prepared = Prepared(self.digest.value, best.best_step, best.best_mlu, self.mlu_live)
            self.conclusion.prepare(prepared, best.best_weights)

    def _receive_state(self, neighbour: int, frame: State) -> None:
        self._check_digest(neighbour, frame.step, frame.digest)
        i = self._index[neighbour]
        self.outbox.extend((neighbour, answer, True) for answer in self._exchange.receive(i, frame))
        # Others know the outcome already: what the parent said may be lost.
        if frame.step > self.state.step and self.lossy and self._pass.waiting and not self._asked:
            self._asked = True
            self._pass.repeat()

    def _flush_pass(self) -> None:
        """Turn what the tree pass wants to say into frames."""
        for passing in self._pass.outbox:
            frames = passing.frames(self.order.episode, self._digests.at(passing.number))
            router = int(self.epoch.part.nodes[passing.router])
            self.outbox.extend((router, frame, passing.again) for frame in frames)
            if self.lossy and not passing.again:  # a lost one would make the whole network wait
                self.outbox.extend((router, frame, True) for frame in frames)
        self._pass.outbox.clear()

    def _begin_digest(self) -> bool:
        """Compare with the neighbours that are in this step already; return whether the episode goes on."""
        for neighbour in self._digests.begin(self.state.step, self.digest.value, last=self.state.over):
            self._abort_disagreement(neighbour, self.state.step)
        return not self.conclusion.over

    def _check_digest(self, neighbour: int, number: int, digest: bytes) -> None:
        if not self._digests.agrees(neighbour, number, digest):
            self._abort_disagreement(neighbour, number)

    def _abort_disagreement(self, neighbour: int, number: int) -> None:
        mine, theirs = self.topology.nodes[self.router], self.epoch.part.whole.nodes[neighbour]
        self.abort(f"{mine} and {theirs} disagree: digests of step {number} differ")
