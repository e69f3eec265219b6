"""The neighbour round under any schedule of deliveries, losses and repetitions."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_networks import random_topology

from agent.rounds import Rounds
from routing.topology import Topology

ROUNDS = 4


def content(router: int, number: int, neighbour: int) -> bytes:
    """Return what `router` sends to `neighbour` in a round."""
    return f"{router}>{neighbour} in {number}".encode()


class Network:
    """Routers with nothing but rounds, wired as `agent.run` wires them."""

    def __init__(self, topology: Topology) -> None:
        self.peers = [topology.dst[topology.out_links(r)].tolist() for r in range(topology.num_nodes)]
        self.rounds = [Rounds(len(peers)) for peers in self.peers]
        self.received: list[list[list[bytes]]] = [[] for _ in self.peers]
        self.flying: list[tuple[int, int, int, bool, bytes]] = []  # receiver, sender, number, want, payload
        self.frames = 0
        for router in range(len(self.peers)):
            self.enter(router)

    def enter(self, router: int) -> None:
        number = self.rounds[router].number + 1
        if number < ROUNDS:
            self.rounds[router].enter([content(router, number, peer) for peer in self.peers[router]])
            for i in range(len(self.peers[router])):
                self.send(router, i, number, want=False)

    def send(self, router: int, i: int, number: int, *, want: bool) -> None:
        payload = self.rounds[router].sent(i, number)
        if payload is not None:
            self.frames += 1
            self.flying.append((self.peers[router][i], router, number, want, payload))

    def deliver(self, at: int, *, lose: bool = False, keep: bool = False) -> None:
        receiver, sender, number, want, payload = self.flying[at] if keep else self.flying.pop(at)
        if lose:
            return
        rounds, i = self.rounds[receiver], self.peers[receiver].index(sender)
        if want:
            self.send(receiver, i, number, want=False)
        rounds.receive(i, number, payload)
        if rounds.overtaken(i):
            self.send(receiver, i, rounds.number, want=True)
        while (payloads := rounds.complete()) is not None:
            self.received[receiver].append(payloads)
            self.enter(receiver)
        self.check(receiver)

    def repeat(self, router: int) -> None:
        for i in self.rounds[router].missing():
            self.send(router, i, self.rounds[router].number, want=True)

    def check(self, router: int) -> None:
        rounds = self.rounds[router]
        assert len(rounds._sent) <= 2
        for peer in self.peers[router]:
            assert abs(self.rounds[peer].number - rounds.number) <= 1, "a neighbour lags by more than one round"

    def done(self) -> bool:
        return all(len(received) == ROUNDS for received in self.received)

    def assert_right(self) -> None:
        for router, rounds in enumerate(self.received):
            for number, payloads in enumerate(rounds):
                assert payloads == [content(peer, number, router) for peer in self.peers[router]]


topologies = st.builds(random_topology, st.integers(3, 9), st.integers(0, 10), st.integers(0, 99))


@given(topologies, st.integers(0, 2**32))
def test_without_loss_each_frame_is_sent_once_in_whatever_order_links_deliver(topology: Topology, seed: int) -> None:
    network, random = Network(topology), Random(seed)
    while network.flying:
        # Within a link frames keep their order here: overtaking is another test.
        first = {(receiver, sender): at for at, (receiver, sender, *_) in reversed(list(enumerate(network.flying)))}
        network.deliver(random.choice(list(first.values())))
    assert network.done()
    network.assert_right()
    assert network.frames == ROUNDS * topology.num_links


@given(topologies, st.integers(0, 2**32), st.floats(0, 0.5), st.floats(0, 0.5))
def test_all_rounds_end_whatever_is_lost_repeated_and_overtaken(
    topology: Topology, seed: int, loss: float, repetition: float
) -> None:
    network, random = Network(topology), Random(seed)
    for _ in range(5000):
        if network.done():
            break
        if network.flying and random.random() < 0.95:
            network.deliver(
                random.randrange(len(network.flying)),
                lose=random.random() < loss,
                keep=random.random() < repetition / 2,
            )
        else:
            network.repeat(random.randrange(topology.num_nodes))
    # However unlucky the schedule was: from here on nothing is lost and whoever waits asks.
    for _ in range(2 * ROUNDS * topology.num_nodes):
        while network.flying:
            network.deliver(0)
        for router in range(topology.num_nodes):
            network.repeat(router)
    assert network.done()
    assert network.flying == []
    network.assert_right()


def test_what_a_neighbour_cannot_lack_is_not_repeated() -> None:
    rounds = Rounds(1)
    for number in range(3):
        assert rounds.enter([b"%d" % number]) == number
        rounds.receive(0, number, b"theirs")
        assert rounds.complete() == [b"theirs"]
    assert [rounds.sent(0, number) for number in range(4)] == [None, b"1", b"2", None]
    assert rounds.missing() == []


def test_old_repeated_and_impossible_frames_change_nothing() -> None:
    rounds = Rounds(2)
    rounds.enter([b"a", b"b"])
    for number, payload in ((2, b"far ahead"), (1, b"next"), (1, b"next again"), (0, b"now"), (0, b"now again")):
        rounds.receive(0, number, payload)
    assert rounds.complete() is None
    assert rounds.missing() == [1]
    rounds.receive(1, 0, b"now")
    assert rounds.complete() == [b"now", b"now"]
    assert rounds.complete() is None
    rounds.enter([b"c", b"d"])
    rounds.receive(1, 0, b"old")
    rounds.receive(1, 1, b"next")
    assert rounds.complete() == [b"next", b"next"]


def test_a_round_is_entered_after_the_one_before() -> None:
    rounds = Rounds(1)
    rounds.enter([b""])
    with pytest.raises(ValueError, match="round 0 is not complete"):
        rounds.enter([b""])


def test_a_frame_of_the_next_round_tells_that_one_was_lost() -> None:
    rounds = Rounds(1)
    rounds.enter([b""])
    assert not rounds.overtaken(0)
    rounds.receive(0, 1, b"next")
    assert rounds.overtaken(0)
    rounds.receive(0, 0, b"now")
    assert not rounds.overtaken(0)
