"""Rounds between routers over links that lose, repeat and reorder: the hidden states are the central engine's."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from policy_networks import random_topology

from agent.exchange import Exchange
from agent.messages import MalformedFrame, State
from policy.checkpoint import random_parameters
from policy.mpnn import PRESETS, Network

TOPOLOGY = random_topology(5, 3, 2)
PRESET = replace(PRESETS["default"], rounds=2)
NETWORK = Network(PRESET, random_parameters(PRESET, 3))
STEPS, SIZE = 4, 32
DIGEST = b"same"


def features(step: int) -> np.ndarray:
    shape = (TOPOLOGY.num_links, NETWORK.preset.num_features)
    return np.random.default_rng(step).normal(size=shape).astype(np.float32)


class Routers:
    """All routers' exchanges; frames are in `flying` until they are delivered."""

    def __init__(self) -> None:
        nodes = range(TOPOLOGY.num_nodes)
        self.own = [TOPOLOGY.out_links(node) for node in nodes]
        self.peers = [TOPOLOGY.dst[links].tolist() for links in self.own]
        self.exchanges = [Exchange(NETWORK, len(peers), range(len(peers)), 7) for peers in self.peers]
        self.step = [-1] * len(self.exchanges)
        self.logits = np.zeros((STEPS, TOPOLOGY.num_links), dtype=np.float32)
        self.flying: list[tuple[int, int, State]] = []  # from, to, frame
        self.sent = 0
        for node in nodes:
            self._next_step(node)

    @property
    def done(self) -> bool:
        return min(self.step) == STEPS

    def deliver(self, sender: int, receiver: int, frame: State) -> None:
        for answer in self.exchanges[receiver].receive(self.peers[receiver].index(sender), frame):
            self._send(receiver, sender, answer)
        self._advance(receiver)

    def ask(self, node: int) -> None:
        for i, frame in self.exchanges[node].ask():
            self._send(node, self.peers[node][i], frame)

    def _send(self, sender: int, receiver: int, frame: State) -> None:
        self.sent += 1
        self.flying.append((sender, receiver, frame))

    def _next_step(self, node: int) -> None:
        self.step[node] += 1
        if self.step[node] < STEPS:
            self.exchanges[node].begin(self.step[node], DIGEST, features(self.step[node])[self.own[node]])
            self._enter(node)

    def _enter(self, node: int) -> None:
        for peer, frame in zip(self.peers[node], self.exchanges[node].enter(), strict=True):
            self._send(node, peer, frame)

    def _advance(self, node: int) -> None:
        while self.step[node] < STEPS and self.exchanges[node].complete():
            if self.exchanges[node].done:
                self.logits[self.step[node], self.own[node]] = self.exchanges[node].logits()
                self._next_step(node)
            else:
                self._enter(node)


def play(seed: int, loss: float, duplication: float = 0.0, *, in_order: bool = False) -> Routers:
    routers, random = Routers(), Random(seed)
    while not routers.done:
        if not routers.flying:
            routers.ask(random.randrange(TOPOLOGY.num_nodes))
            continue
        at = 0 if in_order else random.randrange(min(len(routers.flying), 64))
        frame = routers.flying[at] if random.random() < duplication else routers.flying.pop(at)
        if random.random() >= loss:
            routers.deliver(*frame)
    return routers


def central() -> np.ndarray:
    return np.stack([NETWORK.logits(TOPOLOGY, features(step)) for step in range(STEPS)])


@pytest.mark.parametrize("seed", range(60))
def test_logits_are_the_central_ones_whatever_links_do(seed: int) -> None:
    routers = play(seed, loss=(0.0, 0.1, 0.5)[seed % 3], duplication=0.3)
    assert routers.logits.tobytes() == central().tobytes()


def test_without_loss_every_frame_is_sent_once_with_one_state() -> None:
    routers = Routers()
    while routers.flying:
        sender, receiver, frame = routers.flying.pop(0)
        assert len(frame.hidden) == SIZE
        routers.deliver(sender, receiver, frame)
    assert routers.done
    assert routers.sent == TOPOLOGY.num_links * STEPS * NETWORK.preset.rounds
    assert not any(exchange.lossy for exchange in routers.exchanges)


def pair() -> tuple[Exchange, Exchange]:
    both = Exchange(NETWORK, 1, [0], 7), Exchange(NETWORK, 1, [0], 7)
    for exchange in both:
        exchange.begin(0, DIGEST, features(0)[:1])
    return both


def test_a_lost_frame_is_noticed_by_the_next_one_and_said_again_by_all_that_follow() -> None:
    a, b = pair()
    lost, theirs = a.enter()[0], b.enter()[0]
    assert a.receive(0, theirs) == []
    assert a.complete()
    next_ = a.enter()[0]
    (question,) = b.receive(0, next_)
    assert question.want
    assert b.lossy
    assert len(question.hidden) == SIZE  # there was no round before the first
    (answer,) = a.receive(0, question)
    assert (answer.round, answer.hidden) == (0, lost.hidden)
    b.receive(0, answer)
    assert b.complete()
    doubled = b.enter()[0]
    assert doubled.hidden[SIZE:] == theirs.hidden
    assert a.receive(0, doubled) == []
    assert a.lossy


def test_the_last_round_of_a_step_is_known() -> None:
    a, b = pair()
    rounds = NETWORK.preset.rounds
    for number in range(rounds):
        theirs = b.enter()[0]
        b.receive(0, a.enter()[0])
        a.receive(0, theirs)
        assert a.last == (number == rounds - 1)
        assert a.complete() and b.complete()
    assert a.done and not a.last


def test_a_doubled_frame_stands_in_for_the_one_before() -> None:
    a, b = pair()
    a.lossy = True
    theirs = b.enter()[0]
    a.enter()
    a.receive(0, theirs)
    assert a.complete()
    assert b.receive(0, a.enter()[0]) == []  # the first frame never came
    assert b.complete()


@pytest.mark.parametrize("length", [2, SIZE - 2, SIZE + 2, 3 * SIZE])
def test_states_of_another_length_are_malformed(length: int) -> None:
    a, b = pair()
    frame = a.enter()[0]
    b.enter()
    with pytest.raises(MalformedFrame):
        b.receive(0, State(7, 0, 0, False, DIGEST, bytes(length)))
    with pytest.raises(MalformedFrame):
        b.receive(0, State(7, 0, NETWORK.preset.rounds, False, DIGEST, frame.hidden))
