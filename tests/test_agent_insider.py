"""A neighbour that has the key and lies: whatever it says, the agent stands, and tells why an episode ended."""

import random

import pytest
from test_agent_memory import PRESET, STAR, Siege

from agent import messages
from agent.agreement import Applied, Prepared, encode
from agent.choice import SHARING, Draw
from agent.events import EpisodeEnded, SetCosts
from agent.messages import Abort, Down, Frame, MalformedFrame, State, Up
from agent.session import Session, _tag
from experiments.fuzz_mutate import damaged

DIGEST = bytes(4)
DRAW = Draw(1, 0, 1)


def payloads() -> list[bytes]:
    """What a tree pass carries when all is well, and what can be made of it."""
    pairs = [b"\x90", b"\x91\x92\x05\x00", b"\x91\x92\x05\xce\x7f\xff\xff\xff", b"\x92\x92\x05\x01\x92\x05\x01"]
    nan, inf = float("nan"), float("inf")
    prepared = [
        encode(Prepared(b"d" * 16, 5, mlu, 0.9, routers)) for mlu in (0.5, nan, inf, -inf) for routers in (0, 1, 2**31)
    ]
    applied = [encode(Applied(routers, 2**31, "p" * 300)) for routers in (0, 1, 4, 2**31)]
    return [b"", *pairs, *prepared, *applied]


def lies(chance: random.Random) -> Frame:
    number = chance.choice((0, 0, 0, 1, 2, 4, 5, 6, 7, 2**32 - 1))
    parts = chance.choice((1, 1, 1, 2, 512))
    part = chance.randrange(parts)
    payload = (
        damaged(payloads(), str(chance.random()))[: messages.MAX_PART]
        if chance.random() < 0.5
        else chance.choice(payloads())
    )
    want = chance.random() < 0.3
    hidden = chance.choice((bytes(2 * PRESET.hidden), b"\xff" * (2 * PRESET.hidden), b"\0\x7c" * PRESET.hidden, b"xx"))
    return chance.choice(
        (
            Up(1, number, want, DIGEST, part, parts, payload),
            Down(1, number, DIGEST, part, parts, payload),
            State(
                1, chance.choice((0, 0, 0, 1, 4, 2**32 - 1)), chance.randrange(PRESET.rounds + 1), want, DIGEST, hidden
            ),
            State(1, 0, chance.randrange(PRESET.rounds), want, DIGEST, bytes(2 * PRESET.hidden)),
            Abort(chance.choice((1, 2, 2**32 - 1)), chance.choice(("", "r" * 400, "\x1b[2J\n\0"))),
        )
    )


def say_raw(siege: Siege, peer: int, body: bytes) -> None:
    """Send a body that no honest encoder makes, well sealed."""
    out = siege.peers[peer]._out
    assert out is not None
    out.counter += 1
    data = out.counter.to_bytes(4, "big") + body
    siege.victim.receive_datagram(data + _tag(out.keyed, data), peer, 0.0)


@pytest.mark.parametrize("router", [0, 1])
@pytest.mark.parametrize("share", list(SHARING))
def test_no_lie_breaks_the_agent(router: int, share: str) -> None:
    ended = commits = 0
    for seed in range(60):
        chance = random.Random(seed)
        siege = Siege(router)
        siege.meet()
        siege.begin(share)
        now = 0.0
        for _ in range(120):
            peer = chance.choice(list(siege.peers))
            frame = lies(chance)
            if chance.random() < 0.3:
                say_raw(siege, peer, damaged([messages.encode(frame)], str(chance.random())))
            else:
                siege.victim.receive_datagram(siege.peers[peer].seal(frame), peer, now)
            if chance.random() < 0.1:
                now = max(now, min(siege.victim.get_timer(), now + 1.0))
                siege.victim.handle_timer(now)
            while (event := siege.victim.next_event()) is not None:
                if isinstance(event, EpisodeEnded):
                    ended += 1
                    assert event.status == "committed" or event.reason
                elif isinstance(event, SetCosts):
                    commits += 1
                    assert all(1 <= cost <= 65535 for cost in event.costs.values())
                    siege.victim.costs_set("", 0, now)
            siege.victim.datagrams_to_send()
    assert ended > 10


def test_frames_of_another_kind_within_a_session_are_refused() -> None:
    siege = Siege()
    siege.meet()
    before = siege.victim.refused_frames()
    say_raw(siege, 1, messages.encode(messages.Init(b"12345678", b"", False)))
    say_raw(siege, 1, b"")
    say_raw(siege, 1, b"\x91\x07")
    assert siege.victim.refused_frames() == before + 3


def test_a_member_cannot_speak_for_another_link() -> None:
    """Neighbour 1 has the domain key, and takes neighbour 2's place on the wire to router 0: only the link protects."""
    siege = Siege()
    siege.meet()
    stolen = siege.peers[1].seal(Abort(1, "x"))
    with pytest.raises(MalformedFrame):
        Session(key=b"the key of the whole domain", secret=b"s", local=0, remote=2, context=STAR.digest()).open(stolen)
    before = siege.victim.refused_frames()
    siege.victim.receive_datagram(stolen, 2, 0.0)
    assert siege.victim.refused_frames() == before + 1


def test_nonsense_in_a_tree_pass_ends_the_episode_at_once_and_is_said() -> None:
    siege = Siege()
    siege.meet()
    siege.begin()
    hidden = bytes(2 * PRESET.hidden)
    digest = siege.victim._run._digests.at(0)  # type: ignore[union-attr]
    for peer in siege.peers:
        for number in range(PRESET.rounds):
            siege.say(peer, State(1, 0, number, False, digest, hidden))
    for peer in siege.peers:
        siege.victim.receive_datagram(siege.peers[peer].seal(Up(1, 0, False, digest, 0, 1, b"\xc1nonsense")), peer, 0.0)
    event = siege.victim.next_event()
    assert isinstance(event, EpisodeEnded)
    assert event.status == "aborted"
    assert event.reason.startswith("a received nonsense in a tree pass: not a list of (integer, link)")
