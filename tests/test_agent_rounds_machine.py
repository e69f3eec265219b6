"""The neighbour round as a state machine: whatever links do, in whatever order, barriers hold and no payload errs."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.rounds import Rounds

# (router, router): a ring with a chord and a router that hangs on it
PAIRS = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (3, 4)]
NEIGHBOURS = [[b if a == router else a for a, b in PAIRS if router in (a, b)] for router in range(5)]
ROUNDS = 6


def content(sender: int, receiver: int, number: int) -> bytes:
    return bytes([sender, receiver, number])


class RoundsMachine(RuleBasedStateMachine):
    """Routers that enter a round as soon as they may; frames on their way, which the rules deliver, repeat or lose."""

    @initialize()
    def begin(self) -> None:
        self.routers = [Rounds(len(peers)) for peers in NEIGHBOURS]
        self.flying: list[tuple[int, int, int, bytes, bool]] = []  # sender, receiver, number, payload, want
        self.heard: list[list[list[bytes]]] = [[] for _ in self.routers]
        for router in range(len(self.routers)):
            self._enter(router)

    def _enter(self, router: int) -> None:
        rounds = self.routers[router]
        number = rounds.number + 1
        payloads = [content(router, peer, number) for peer in NEIGHBOURS[router]]
        assert rounds.enter(payloads) == number
        for peer, payload in zip(NEIGHBOURS[router], payloads, strict=True):
            self.flying.append((router, peer, number, payload, False))

    def _advance(self, router: int) -> None:
        rounds = self.routers[router]
        while (payloads := rounds.complete()) is not None:
            self.heard[router].append(payloads)
            if rounds.number + 1 < ROUNDS:
                self._enter(router)

    def _arrive(self, frame: tuple[int, int, int, bytes, bool]) -> None:
        sender, receiver, number, payload, want = frame
        rounds, index = self.routers[receiver], NEIGHBOURS[receiver].index(sender)
        if want:
            again = rounds.sent(index, number)
            if again is not None:
                self.flying.append((receiver, sender, number, again, False))
        rounds.receive(index, number, payload)
        if rounds.overtaken(index):
            self._ask(receiver, index)
        self._advance(receiver)

    def _ask(self, router: int, index: int) -> None:
        rounds = self.routers[router]
        payload = rounds.sent(index, rounds.number)
        assert payload is not None
        self.flying.append((router, NEIGHBOURS[router][index], rounds.number, payload, True))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self._arrive(self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1))))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def deliver_and_keep(self, data: st.DataObject) -> None:
        self._arrive(self.flying[data.draw(st.integers(0, len(self.flying) - 1))])

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))

    @rule(router=st.integers(0, len(NEIGHBOURS) - 1))
    def ask_again(self, router: int) -> None:
        for index in self.routers[router].missing():
            self._ask(router, index)

    @invariant()
    def neighbours_are_at_most_one_round_apart(self) -> None:
        for a, b in PAIRS if hasattr(self, "routers") else ():
            assert abs(self.routers[a].number - self.routers[b].number) <= 1

    @invariant()
    def what_was_heard_is_what_was_said(self) -> None:
        for router, rounds in enumerate(getattr(self, "heard", ())):
            for number, payloads in enumerate(rounds):
                assert payloads == [content(peer, router, number) for peer in NEIGHBOURS[router]]

    def teardown(self) -> None:
        """Links that lose nothing any more bring all to the end."""
        for _ in range(20 * ROUNDS):
            while self.flying:
                self._arrive(self.flying.pop(0))
            for router, rounds in enumerate(getattr(self, "routers", ())):
                for index in rounds.missing():
                    self._ask(router, index)
        assert all(len(rounds) == ROUNDS for rounds in getattr(self, "heard", ()))


TestRounds = RoundsMachine.TestCase
TestRounds.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
