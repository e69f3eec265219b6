"""What a neighbour can make an agent store: nothing without the key; with it, what docs/security.md says."""

import random
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from agent.messages import MAX_DATAGRAM, MAX_PART, MAX_PARTS, Abort, Down, Frame, MalformedFrame, State, Up
from agent.order import Order
from agent.protocol import AgentProtocol
from agent.session import Session
from policy.checkpoint import random_parameters
from policy.mpnn import Network
from policy.preset import PRESETS
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import uniform

KEY = b"the key of the whole domain"
PRESET = PRESETS["default"]
STAR = Topology.from_links("star", "abcd", [(0, n) for n in (1, 2, 3)] + [(n, 0) for n in (1, 2, 3)], 1e9)
WIRE = 64  # bytes that Python adds to each piece of a payload, and some more for tables
KB = 1024


class Siege:
    """An agent between hostile neighbours, who have the domain key or not."""

    def __init__(self, router: int = 0, key: bytes = KEY) -> None:
        self.victim = AgentProtocol(
            topology=STAR,
            network=Network(PRESET, random_parameters(PRESET, 1)),
            router=router,
            key=KEY,
            boot_nonce=b"b" * 16,
            now=0.0,
        )
        peers = STAR.dst[STAR.out_links(router)].tolist()
        context = STAR.digest()
        self.peers = {n: Session(key=key, secret=b"p%d" % n, local=n, remote=router, context=context) for n in peers}

    def meet(self) -> None:
        for peer, session in self.peers.items():
            data: bytes | None = session.init()
            while data is not None:
                self.victim.receive_datagram(data, peer, 0.0)
                answers = [datagram for to, datagram in self.victim.datagrams_to_send() if to == peer]
                data = session.open(answers[-1])[1] if answers else None
        assert self.victim.ready
        self.drain()

    def begin(self, share: str = "candidate") -> None:
        order = Order(
            episode=1,
            seed=1,
            steps=5,
            increments=1,
            temperature_milli=1000,
            share=share,
            ecmp=True,
            margin_milli=10,
            checkpoint="0" * 32,
            traffic=uniform(STAR, 1),
            start=inverse_capacity(STAR),
        )
        self.victim.start_episode(order, inverse_capacity(STAR), 0.0)
        assert self.victim.running
        self.drain()

    def drain(self) -> int:
        """Take what the adapter would take; return the bytes to be sent."""
        while self.victim.next_event() is not None:
            pass
        return sum(len(data) for _, data in self.victim.datagrams_to_send())

    def say(self, peer: int, frame: Frame) -> int:
        self.victim.receive_datagram(self.peers[peer].seal(frame), peer, 0.0)
        return self.drain()


def grown(act: Callable[[], None]) -> int:
    """Bytes that are still there after `act`."""
    act()  # once before, so that what is made once only does not count
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("running", [False, True])
def test_without_the_key_nothing_is_stored(running: bool) -> None:
    """Random datagrams, recorded ones again and again, recorded beginnings, and those of another key."""
    siege = Siege()
    recorded = [siege.peers[1].init() for _ in range(3)]
    siege.meet()
    if running:
        siege.begin()
    for frame in (State(1, 0, 0, True, b"\0" * 4, bytes(32)), Up(1, 0, True, b"\0" * 4, 0, 1, b"x"), Abort(7, "x")):
        recorded.append(siege.peers[1].seal(frame))
    for data in recorded[3:]:
        siege.victim.receive_datagram(data, 1, 0.0)
    stranger = Session(key=b"another key of a domain", secret=b"s", local=1, remote=0, context=STAR.digest())
    chance = random.Random(1)
    sent = [0]

    def flood() -> None:
        for number in range(20_000):
            if number % 4 == 0:
                data = chance.randbytes(chance.randrange(MAX_DATAGRAM + 100))
            elif number % 4 == 1:
                data = stranger.init()
            else:
                data = chance.choice(recorded)
            siege.victim.receive_datagram(data, 1, 0.0)
            sent[0] += siege.drain()

    assert grown(flood) < 4 * KB
    assert sent[0] < 2 * 20_000 * 2 * len(recorded[0])  # a challenge for a recorded Init, no more than came


def frames(chance: random.Random, episode: int) -> Iterator[Frame]:
    """Frames as large and as many as the schema admits, of this and all other episodes, passes, steps and parts."""
    digest = bytes(4)
    largest = 2**32 - 1
    while True:
        number = chance.choice((0, 1, 2, chance.randrange(largest)))
        other = chance.choice((episode, episode, episode + 1, chance.randrange(largest)))
        parts = chance.choice((MAX_PARTS, MAX_PARTS, chance.randrange(2, MAX_PARTS)))
        part = chance.randrange(parts)
        payload = chance.randbytes(MAX_PART)
        yield Up(other, number, False, digest, part, parts, payload)
        yield Down(other, number, digest, part, parts, payload)
        hidden = chance.randbytes(2 * PRESET.hidden)
        yield State(other, chance.choice((0, 1, largest)), chance.randrange(256), False, digest, hidden)


@pytest.mark.parametrize("router", [0, 1])
def test_with_the_key_a_neighbour_fills_two_passes_and_no_more(router: int) -> None:
    siege = Siege(router)
    siege.meet()
    siege.begin()
    chance = random.Random(2)

    def flood() -> None:
        for peer in siege.peers:
            for _, frame in zip(range(12_000), frames(chance, 1), strict=False):
                siege.say(peer, frame)

    bound = len(siege.peers) * 2 * MAX_PARTS * (MAX_PART + WIRE) + 64 * KB
    tracemalloc.start()
    flood()
    held = tracemalloc.get_traced_memory()[0]
    flood()
    again = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < bound
    assert again < bound
    assert again > MAX_PARTS * MAX_PART // 2 or not siege.victim.running, "the flood did not get in"


def test_before_an_episode_four_frames_and_eight_aborts_are_kept() -> None:
    siege = Siege()
    siege.meet()
    chance = random.Random(3)

    def flood() -> None:
        for _, frame in zip(range(6000), frames(chance, 1), strict=False):
            siege.say(1, frame)
        for _ in range(2000):
            siege.say(1, Abort(chance.randrange(2**32), "r" * 400))

    assert grown(flood) < (4 + 4) * MAX_DATAGRAM + 8 * (400 + WIRE) + 8 * KB


def test_a_frame_that_asks_is_answered_by_what_it_lacks_only() -> None:
    """No frame of a neighbour makes more than one datagram per part of what it lacks: here one."""
    siege = Siege()
    siege.meet()
    siege.begin()
    ask = State(1, 0, 0, True, b"\0" * 4, bytes(2 * PRESET.hidden))
    for _ in range(50):
        assert siege.say(1, ask) < 2 * MAX_DATAGRAM


def test_a_tree_pass_that_is_full_of_nothing_ends_the_episode_with_a_reason() -> None:
    """The largest payload there can be, decoded: what it takes in memory is bounded, and it aborts."""
    siege = Siege()
    siege.meet()
    siege.begin()
    payload = b"\xdc\xff\xff" + b"\x92\x00\x00" * 65_535
    pieces = [payload[at : at + MAX_PART] for at in range(0, len(payload), MAX_PART)]
    tracemalloc.start()
    for peer in siege.peers:
        for part, piece in enumerate(pieces):
            try:
                siege.say(peer, Up(1, 0, False, b"\0" * 4, part, len(pieces), piece))
            except MalformedFrame as error:  # pragma: no cover
                raise AssertionError("the peer's failure is not to reach the adapter") from error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20
