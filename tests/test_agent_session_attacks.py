"""Attackers between two agents: they record, hold back, replay and damage, also across restarts without any disk.

What is promised: a frame is taken at most once, and only by the very process (not a former one of the same router) for
which the router at the other end of the link sealed it. When the attacker rests, the two talk again.
"""

import random
from dataclasses import dataclass

import pytest

from agent.messages import Abort, Hello, MalformedFrame
from agent.session import Session

KEY = b"the key of the whole domain"


@dataclass(frozen=True)
class Sealed:
    """A frame on the wire: who sealed it, in which life, and for which life of the receiver."""

    number: int
    receiver: int
    life: int


class Duel:
    """Two routers, and an attacker who sees and decides all that travels."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.life = [0, 0]
        self.ends = [self.born(0), self.born(1)]
        self.wire: list[tuple[int, bytes]] = []  # (receiver, datagram), ever sent
        self.sealed: dict[int, Sealed] = {}
        self.taken: set[int] = set()
        self.lives: dict[bytes, int] = {}  # nonce -> life

    def born(self, end: int) -> Session:
        """Start an agent: nothing is left of its former life."""
        secret = b"%d" % self.chance.getrandbits(128)
        return Session(key=KEY, secret=secret, local=end, remote=1 - end, context=b"net")

    def restart(self, end: int) -> None:
        self.life[end] += 1
        self.ends[end] = self.born(end)

    def ask(self, end: int) -> None:
        self.wire.append((1 - end, self.ends[end].init()))

    def speak(self, end: int) -> None:
        if self.ends[end].established:
            number = len(self.sealed)
            self.sealed[number] = Sealed(number, 1 - end, self.life_met(end))
            self.wire.append((1 - end, self.ends[end].seal(Abort(number, "x"))))

    def life_met(self, end: int) -> int:
        """The life of the other end whose nonce is in this end's session."""
        return self.lives[self.ends[end]._theirs]

    def deliver(self, receiver: int, data: bytes) -> None:
        end = self.ends[receiver]
        try:
            frame, answer = end.open(data)
        except MalformedFrame:
            return
        if answer is not None:
            self.wire.append((1 - receiver, answer))
        if isinstance(frame, Abort):
            seal = self.sealed[frame.episode]
            assert frame.episode not in self.taken, "taken twice"
            assert (seal.receiver, seal.life) == (receiver, self.life[receiver]), "meant for another or a former one"
            self.taken.add(frame.episode)

    def note_lives(self) -> None:
        """Remember whose nonce is whose: each life's offers are drawn from its own secret."""
        for end in (0, 1):
            self.lives[self.ends[end]._offer] = self.life[end]
            self.lives[self.ends[end]._mine] = self.life[end]

    def attack(self, steps: int) -> None:
        for _ in range(steps):
            self.note_lives()
            end = self.chance.randrange(2)
            match self.chance.choices("rasdfxhm", (1, 6, 10, 14, 8, 2, 1, 3))[0]:
                case "r":
                    self.restart(end)
                case "a":
                    self.ask(end)
                case "s":
                    self.speak(end)
                case "d" if self.wire:  # the newest, as an honest network would
                    self.deliver(*self.wire[-1])
                case "f" if self.wire:  # anything ever seen, and to either end
                    receiver, data = self.chance.choice(self.wire)
                    self.deliver(receiver if self.chance.random() < 0.8 else 1 - receiver, data)
                case "x" if self.wire:
                    receiver, data = self.chance.choice(self.wire)
                    damaged = bytearray(data)
                    damaged[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
                    self.deliver(receiver, bytes(damaged))
                case "h":
                    self.ends[end].reset()  # it heard nothing for long
                case "m" if self.wire:  # everything at once, shuffled
                    for receiver, data in self.chance.sample(self.wire, min(20, len(self.wire))):
                        self.deliver(receiver, data)
                case _:
                    continue

    def peace(self) -> None:
        """An honest network: nothing is lost, everything comes once."""
        for end in (0, 1):
            self.ends[end].reset()  # after `dead_s` of frames that do not verify
        for end in (0, 1):
            before = len(self.wire)
            self.ask(end)
            while before < len(self.wire):
                self.note_lives()
                receiver, data = self.wire[before]
                before += 1
                self.deliver(receiver, data)
        self.note_lives()
        taken = len(self.taken)
        for end in (0, 1):
            self.speak(end)
            self.deliver(*self.wire[-1])
        assert len(self.taken) == taken + 2


@pytest.mark.parametrize("block", range(8))
def test_no_frame_twice_and_none_across_lives(block: int) -> None:
    taken = 0
    for seed in range(block * 40, block * 40 + 40):
        duel = Duel(seed)
        for _ in range(3):
            duel.attack(120)
            duel.peace()
        taken += len(duel.taken)
    assert taken > 40 * 6, "the attacker was let through nothing that counts"


def test_an_old_beginning_draws_no_session_and_little_traffic() -> None:
    """A million recorded Inits make as many challenges at most, none larger than what came, and store nothing."""
    duel = Duel(1)
    inits = []
    for _ in range(50):
        duel.restart(0)
        inits.append(duel.ends[0].init())
    victim = duel.ends[1]
    state = set(vars(victim))
    for data in inits * 20:
        frame, answer = victim.open(data)
        assert frame is None
        assert answer is not None and len(answer) <= len(data) + 8  # the other's nonce as an echo
    assert victim.begun == 0 and not victim.established
    assert set(vars(victim)) == state


def test_the_domain_key_alone_hides_nothing_of_a_former_session() -> None:
    """Two pairs with one key, and the same routers after both restarted: every session has keys of its own."""
    first, second = Duel(1), Duel(2)
    for duel in (first, second):
        duel.peace()
    data = first.ends[0].seal(Hello())
    with pytest.raises(MalformedFrame):
        second.ends[1].open(data)
    first.restart(0)
    first.restart(1)
    first.peace()
    with pytest.raises(MalformedFrame):
        first.ends[1].open(data)
