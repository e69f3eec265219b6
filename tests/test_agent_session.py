"""Two real sessions over a pipe that loses, repeats, reorders, records and forges."""

import random
import sys
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages import MAX_DATAGRAM, Abort, Hello, Init, MalformedFrame, State, encode
from agent.session import OVERHEAD, TAG_BYTES, WINDOW, Session, _tag

KEY = b"a key of twenty-two by"
TOPOLOGY = b"digest of the topology"


def session(local: int = 0, remote: int = 1, *, boot: int = 0, key: bytes = KEY, context: bytes = TOPOLOGY) -> Session:
    return Session(key=key, secret=b"boot %d" % boot, local=local, remote=remote, context=context)


def connect(a: Session, b: Session) -> list[bytes]:
    """Establish a session; return every datagram that was sent."""
    recorded = [a.init()]
    receiver, sender = b, a
    answer: bytes | None = recorded[0]
    while answer is not None:
        _, answer = receiver.open(answer)
        if answer is not None:
            recorded.append(answer)
        receiver, sender = sender, receiver
    assert a.established and b.established
    return recorded


def pair() -> tuple[Session, Session]:
    a, b = session(0, 1, boot=1), session(1, 0, boot=2)
    connect(a, b)
    return a, b


def numbered(step: int) -> State:
    return State(1, step, 0, False, b"\0" * 4, b"hidden state")


def refuses(receiver: Session, data: bytes) -> bool:
    before = receiver.refused
    with pytest.raises(MalformedFrame):
        receiver.open(data)
    return receiver.refused == before + 1


def test_three_datagrams_make_a_session() -> None:
    a, b = session(0, 1, boot=1), session(1, 0, boot=2)
    assert not a.established
    with pytest.raises(ValueError, match="no session"):
        a.seal(Hello())
    assert len(connect(a, b)) == 3
    for sender, receiver in ((a, b), (b, a)):
        assert receiver.open(sender.seal(numbered(3))) == (numbered(3), None)
    assert (a.refused, b.refused) == (0, 0)


def test_a_frame_costs_twelve_bytes_more_than_its_body() -> None:
    a, _ = pair()
    assert OVERHEAD == 12
    assert len(a.seal(numbered(1))) == len(encode(numbered(1))) + OVERHEAD
    assert a.seal(Hello())[:4] == (2).to_bytes(4, "big")


@pytest.mark.parametrize("size", [0, 15, 33])
def test_a_domain_key_has_16_to_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"domain key of {size} bytes, expected 16..32"):
        session(key=bytes(size))


@pytest.mark.parametrize("lost", range(3))
def test_any_datagram_of_the_beginning_may_be_lost(lost: int) -> None:
    a, b = session(0, 1, boot=1), session(1, 0, boot=2)
    datagrams = 0
    for _ in range(3):
        if a.established:
            break
        flying: tuple[Session, bytes | None] = (b, a.init())
        while flying[1] is not None:
            receiver, data = flying
            datagrams += 1
            if datagrams - 1 == lost:
                break
            assert data is not None
            flying = (a if receiver is b else b, receiver.open(data)[1])
    assert a.established
    if lost == 2:
        assert not b.established  # its challenge was answered, the answer was lost: a's first frame proves as much
    assert b.open(a.seal(numbered(7))) == (numbered(7), None)
    assert b.established
    assert a.open(b.seal(numbered(8))) == (numbered(8), None)


def test_both_may_begin_at_once() -> None:
    a, b = session(0, 1, boot=1), session(1, 0, boot=2)
    to_b, to_a = [a.init()], [b.init()]
    for _ in range(6):
        answers_b = [b.open(data)[1] for data in to_b]
        answers_a = [a.open(data)[1] for data in to_a]
        to_a, to_b = [d for d in answers_b if d is not None], [d for d in answers_a if d is not None]
    assert (to_a, to_b) == ([], [])
    assert b.open(a.seal(numbered(1)))[0] == numbered(1)
    assert a.open(b.seal(numbered(2)))[0] == numbered(2)


def test_a_restarted_peer_replaces_its_session_and_nothing_of_the_old_one_is_taken() -> None:
    a, b = pair()
    old_frames = [b.seal(numbered(step)) for step in range(3)]
    again = session(1, 0, boot=3)
    recorded = connect(again, a)
    assert a.begun == 2
    assert a.open(again.seal(numbered(9)))[0] == numbered(9)
    assert again.open(a.seal(numbered(10)))[0] == numbered(10)
    assert all(refuses(a, frame) for frame in old_frames)
    assert all(refuses(again, frame) for frame in old_frames)  # not even from itself
    for data in recorded:
        for receiver in (a, again):
            try:
                receiver.open(data)
            except MalformedFrame:
                continue
    assert (a.begun, again.begun) == (2, 1)


def test_an_end_that_is_still_being_asked_keeps_its_session() -> None:
    a, b = pair()
    again = session(1, 0, boot=3)
    challenge = a.open(again.init())[1]
    assert challenge is not None
    assert a.open(b.seal(numbered(1)))[0] == numbered(1)
    assert a.established
    assert a.begun == 1


def test_frames_of_before_are_refused_after_both_were_restarted() -> None:
    a, b = session(0, 1, boot=1), session(1, 0, boot=2)
    recorded = [*connect(a, b), a.seal(numbered(1)), b.seal(numbered(2)), a.seal(Abort(1, "old"))]
    a, b = session(0, 1, boot=3), session(1, 0, boot=4)
    for data, receiver in product(recorded, (a, b)):
        try:
            frame, _ = receiver.open(data)
        except MalformedFrame:
            continue
        assert frame is None
    assert (a.begun, b.begun) == (0, 0)
    connect(a, b)
    for data, receiver in product(recorded, (a, b)):
        try:
            frame, answer = receiver.open(data)
        except MalformedFrame:
            continue
        assert frame is None and answer is not None  # a recorded Init brings a challenge,
        assert refuses(b if receiver is a else a, answer)  # which its addressee did not ask for
    assert (a.begun, b.begun) == (1, 1)
    assert b.open(a.seal(numbered(5)))[0] == numbered(5)
    assert a.open(b.seal(numbered(6)))[0] == numbered(6)


def test_a_reset_end_gets_a_new_session_and_both_keys_change() -> None:
    a, b = pair()
    old = b.seal(numbered(1))
    a.reset()
    assert not a.established
    assert refuses(a, old)
    connect(a, b)
    assert refuses(a, old)
    assert (a.begun, b.begun) == (2, 2)


def test_each_frame_is_taken_once_in_any_order_within_the_window() -> None:
    a, b = pair()
    frames = [a.seal(numbered(step)) for step in range(WINDOW)]
    order = list(range(WINDOW))
    random.Random(4).shuffle(order)
    for step in order:
        assert b.open(frames[step])[0] == numbered(step)
    assert all(refuses(b, frame) for frame in frames)


def test_frames_that_have_not_come_are_known_while_the_window_remembers() -> None:
    a, b = pair()
    assert not b.lossy
    first, late, lost = (a.seal(numbered(step)) for step in range(3))
    b.open(first)
    assert not b.lossy
    b.open(a.seal(numbered(3)))
    assert b.lossy
    b.open(lost)
    assert b.lossy
    b.open(late)
    assert not b.lossy
    a.seal(numbered(4))
    for step in range(WINDOW):
        b.open(a.seal(numbered(step)))
        assert b.lossy == (step < WINDOW - 1)


def test_a_new_session_misses_nothing() -> None:
    a, b = pair()
    a.seal(numbered(0))
    b.open(a.seal(numbered(1)))
    assert b.lossy
    b.reset()
    assert not b.lossy
    connect(a, b)
    b.open(a.seal(numbered(2)))
    assert not b.lossy


def test_frames_older_than_the_window_are_refused() -> None:
    a, b = pair()
    frames = [a.seal(numbered(step)) for step in range(WINDOW + 1)]
    assert b.open(frames[-1])[0] is not None
    assert refuses(b, frames[0])
    assert b.open(frames[1])[0] == numbered(1)


def counted_from(sender: Session, counter: int) -> None:
    assert sender._out is not None
    sender._out.counter = counter


def test_a_very_old_frame_costs_no_memory() -> None:
    a, b = pair()
    old = a.seal(numbered(0))
    counted_from(a, 2**31)
    assert b.open(a.seal(numbered(1)))[0] == numbered(1)
    assert refuses(b, old)
    assert b._in is not None
    assert sys.getsizeof(b._in.seen) < 100


def test_a_used_up_counter_asks_for_a_new_session() -> None:
    a, b = pair()
    counted_from(a, 2**32 - 2)
    last = a.seal(numbered(1))
    assert b.open(last)[0] == numbered(1)
    assert not a.established
    with pytest.raises(OverflowError):
        a.seal(numbered(2))
    assert a.open(b.seal(numbered(3)))[0] == numbered(3)
    connect(a, b)
    assert b.open(a.seal(numbered(4)))[0] == numbered(4)
    assert refuses(b, last)


@pytest.mark.parametrize(
    "stranger",
    [
        session(0, 1, boot=1, key=b"another key of 22 byte"),
        session(0, 1, boot=1, context=b"another topology"),
        session(0, 2, boot=1),
        session(2, 1, boot=1),
        session(1, 0, boot=1),
    ],
    ids=["key", "topology", "receiver", "sender", "direction"],
)
def test_only_the_other_end_of_the_link_is_heard(stranger: Session) -> None:
    assert refuses(session(1, 0, boot=2), stranger.init())


def test_frames_of_another_link_or_direction_are_refused_within_a_session() -> None:
    a, b = pair()
    c, d = session(0, 2, boot=1), session(2, 0, boot=2)
    connect(c, d)
    assert refuses(b, c.seal(numbered(1)))
    assert refuses(a, a.seal(numbered(1)))  # reflected


def test_an_init_is_no_frame_and_a_frame_no_init() -> None:
    a, b = pair()
    assert refuses(b, a.seal(Init(b"12345678", b"", False)))
    data = bytes(4) + encode(Hello())
    assert refuses(b, data + _tag(a._init_out, data))


@pytest.mark.parametrize("size", [0, 1, 11, 12, MAX_DATAGRAM + 1, 65507])
def test_sizes_out_of_bounds_are_refused(size: int) -> None:
    _, b = pair()
    assert refuses(b, bytes(size))
    assert refuses(b, b"\0\0\0\1" + bytes(size))


@given(st.data())
@settings(max_examples=300)
def test_damaged_and_forged_datagrams_are_never_taken(data: st.DataObject) -> None:
    a, b = pair()
    real = data.draw(st.sampled_from([a.seal(numbered(1)), a.init(), a.seal(Hello())]))
    at, change = data.draw(st.integers(0, len(real) - 1)), data.draw(st.integers(1, 255))
    damaged = bytearray(real)
    damaged[at] ^= change
    assert refuses(b, bytes(damaged))
    assert refuses(b, real[: data.draw(st.integers(0, len(real) - 1))])
    assert refuses(b, real + data.draw(st.binary(min_size=1, max_size=9)))
    assert refuses(b, data.draw(st.binary(max_size=100)) + bytes(TAG_BYTES))
    assert (a.begun, b.begun) == (1, 1)


class Pipe:
    """Two ends that behave as `agent.neighbour` does (ask, say hello, forget after silence), and what is on its way."""

    def __init__(self) -> None:
        self.boots = count(1)
        self.ends = [session(0, 1, boot=next(self.boots)), session(1, 0, boot=next(self.boots))]
        self.unheard = [0, 0]
        self.flying: list[tuple[int, bytes]] = []  # (receiver, datagram)
        self.recorded: list[tuple[int, bytes]] = []
        self.steps = count()
        self.sent: set[tuple[int, int]] = set()
        self.taken: set[tuple[int, int]] = set()

    def send(self, receiver: int, data: bytes) -> None:
        self.flying.append((receiver, data))
        self.recorded.append((receiver, data))

    def tick(self, end: int) -> None:
        self.unheard[end] += 1
        sender = self.ends[end]
        if sender.established and self.unheard[end] > 4:
            sender.reset()
        if sender.established:
            step = next(self.steps)
            self.sent.add((end, step))
            self.send(1 - end, sender.seal(numbered(step)))
        else:
            self.send(1 - end, sender.init())

    def restart(self, end: int) -> None:
        self.ends[end] = session(end, 1 - end, boot=next(self.boots))
        self.unheard[end] = 0

    def deliver(self, receiver: int, data: bytes) -> None:
        end = self.ends[receiver]
        begun = end.begun
        try:
            frame, answer = end.open(data)
        except MalformedFrame:
            return
        if answer is not None:
            self.send(1 - receiver, answer)
        if frame is not None or end.begun != begun:
            self.unheard[receiver] = 0
        if frame is not None:
            assert isinstance(frame, State)
            taken = (1 - receiver, frame.step)
            assert taken in self.sent, "taken, but never sent"
            assert taken not in self.taken, "taken twice"
            self.taken.add(taken)

    def settle(self) -> None:
        """Deliver everything in order; a storm of answers would not end."""
        for _ in range(200):
            if not self.flying:
                return
            self.deliver(*self.flying.pop(0))
        raise AssertionError(f"{len(self.flying)} datagrams still fly")


@given(st.lists(st.tuples(st.sampled_from("tttdddddDlrRRx"), st.integers(0, 1), st.integers(0, 1000)), max_size=120))
@settings(max_examples=300)
def test_any_beginning_ends_in_a_session_and_no_frame_is_taken_twice(schedule: list[tuple[str, int, int]]) -> None:
    pipe = Pipe()
    for action, end, which in schedule:
        if action == "t":
            pipe.tick(end)
        elif action == "x":
            pipe.restart(end)
        elif action == "R" and pipe.recorded:  # an attacker, now or much later
            pipe.deliver(*pipe.recorded[which % len(pipe.recorded)])
        elif pipe.flying and action in "dDl":
            at = which % min(64, len(pipe.flying))
            receiver, data = pipe.flying[at] if action == "D" else pipe.flying.pop(at)
            if action != "l":
                pipe.deliver(receiver, data)
    if len(pipe.flying) > 50:
        del pipe.flying[50:]
    pipe.settle()
    for _ in range(8):  # five periods of silence, then three datagrams
        for end in (0, 1):
            pipe.tick(end)
        pipe.settle()
    assert all(end.established for end in pipe.ends)
    taken = len(pipe.taken)
    pipe.tick(0)
    pipe.tick(1)
    pipe.settle()
    assert len(pipe.taken) == taken + 2


@given(st.lists(st.integers(0, 10_000), max_size=200))
def test_whoever_replays_recorded_datagrams_changes_nothing(which: list[int]) -> None:
    pipe = Pipe()
    for _ in range(3):
        for end in (0, 1):
            pipe.restart(end)
        for _ in range(6):
            pipe.tick(0)
            pipe.tick(1)
            pipe.settle()
    recorded = list(pipe.recorded)
    begun = [end.begun for end in pipe.ends]
    taken = len(pipe.taken)
    for at in which:
        pipe.deliver(*recorded[at % len(recorded)])
        pipe.settle()
    assert len(pipe.taken) == taken
    assert [end.begun for end in pipe.ends] == begun
