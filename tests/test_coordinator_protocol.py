"""The coordinator without a network: requests, statuses, results in; messages and events out; a clock of our own."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.control import Cancel, Ending, Progress, Result, Start, Status
from coordinator.events import (
    AgentJoined,
    AgentLost,
    AllReady,
    BrokerConnected,
    BrokerLost,
    EpisodeCancelled,
    EpisodeEnded,
    EpisodeStarted,
    Event,
    LateResult,
    RequestDropped,
    StepDone,
    UnknownAgent,
)
from coordinator.outcome import Outcome
from coordinator.protocol import MAX_EPISODE, CoordinatorProtocol, Patience, Phase, Request, first_episode
from routing.topology import Topology

ROUTERS = ("a", "b", "c")
TOPOLOGY, CHECKPOINT = "0" * 32, "1" * 32
FIRST = 100
PATIENCE = Patience(silence_s=30.0, grace_s=5.0, gather_s=1e9, settle_s=1e9, attempts=1)
NET = Topology.from_links("abc", ROUTERS, [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)], 1e9)


def request(name: str) -> Request:
    start = Start(
        episode=1, seed=1, steps=3, topology=TOPOLOGY, checkpoint=CHECKPOINT, traffic=name.encode(), start_weights=b""
    )
    return Request(name, start)


def result(router: str, episode: int, status: Ending = "committed", digest: str = "d", reason: str = "") -> Result:
    return Result(router=router, episode=episode, status=status, digest=digest, reason=reason, steps=3)


def drained(protocol: CoordinatorProtocol) -> list[Event]:
    def events() -> Iterator[Event]:
        while (event := protocol.next_event()) is not None:
            yield event

    return list(events())


class Bench:
    """A protocol with its clock; `online` agents are ready at once."""

    def __init__(self, online: tuple[str, ...] = ROUTERS, patience: Patience = PATIENCE) -> None:
        self.now = 1000.0
        self.protocol = CoordinatorProtocol(NET, first=FIRST, patience=patience)
        self.protocol.connection_made(self.now)
        for router in online:
            self.status(router)
        drained(self.protocol)

    def status(self, router: str, *, online: bool = True, ready: bool = True, episode: int = 0, **more: str) -> None:
        self.protocol.receive(Status(router=router, online=online, ready=ready, episode=episode, **more), self.now)

    def submit(self, name: str) -> None:
        self.protocol.submit(request(name), self.now)

    def results(self, episode: int, *routers: str, status: Ending = "committed", digest: str = "d") -> None:
        for router in routers or ROUTERS:
            self.protocol.receive(result(router, episode, status, digest), self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, with the timer called when it is due."""
        end = self.now + seconds
        while (timer := self.protocol.get_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.protocol.handle_timer(self.now)
        self.now = end

    @property
    def sent(self) -> list[Start | Cancel]:
        return self.protocol.messages_to_publish()

    @property
    def events(self) -> list[Event]:
        return drained(self.protocol)

    @property
    def outcome(self) -> Outcome:
        (ended,) = [event for event in self.events if isinstance(event, EpisodeEnded)]
        return ended.outcome


def test_one_episode_from_request_to_outcome() -> None:
    bench = Bench(online=())
    bench.submit("m1")
    assert bench.sent == [] and bench.events == []
    assert bench.protocol.waiting_for() == dict.fromkeys(ROUTERS, "no agent")
    bench.status("a")
    bench.status("b", ready=False)
    assert bench.protocol.waiting_for() == {"b": "not ready", "c": "no agent"}
    bench.status("c")
    assert bench.sent == []
    bench.status("b")
    (start,) = bench.sent
    assert isinstance(start, Start) and (start.episode, start.traffic) == (FIRST, b"m1")
    joined = [AgentJoined("a"), AgentJoined("b"), AgentJoined("c")]
    assert bench.events == [*joined, AllReady(3), EpisodeStarted(FIRST, "m1", 3)]
    bench.protocol.receive(Progress(episode=FIRST, step=0, links=[], mlu=0.9), bench.now)
    bench.protocol.receive(Progress(episode=FIRST, step=1, links=[4], mlu=0.8), bench.now)
    bench.protocol.receive(Progress(episode=FIRST, step=1, links=[4], mlu=0.8), bench.now)  # QoS 1: once more
    assert bench.events == [StepDone(FIRST, 0, (), 0.9), StepDone(FIRST, 1, (4,), 0.8)]
    bench.results(FIRST, "a", "b")
    assert bench.events == [] and bench.protocol.missing == ("c",)
    bench.results(FIRST, "c")
    outcome = bench.outcome
    assert (outcome.verdict, outcome.reason, outcome.digest, outcome.missing) == ("committed", "", "d", ())
    assert bench.protocol.phase is Phase.IDLE and bench.protocol.get_timer() is None
    bench.submit("m2")
    assert [message.episode for message in bench.sent] == [FIRST + 1]


def test_numbers_begin_with_the_clock_and_never_return() -> None:
    assert first_episode(1_577_836_800 + 77) == 77
    assert first_episode(0.0) == 1  # a machine without a clock
    assert first_episode(1e12) == MAX_EPISODE
    bench = Bench(online=("a", "b"))
    bench.status("c", episode=5000)  # it has seen a coordinator whose clock was ahead
    bench.submit("m")
    assert bench.sent[0].episode == 5001
    bench.results(5001)
    bench.status("c", episode=MAX_EPISODE)  # nonsense must not stop us
    bench.submit("m")
    assert bench.sent[0].episode == MAX_EPISODE


def test_newer_matrix_supersedes_and_only_the_newest_waits() -> None:
    bench = Bench()
    bench.submit("m1")
    bench.submit("m2")
    bench.submit("m3")
    start, cancel = bench.sent
    assert isinstance(start, Start)
    assert cancel == Cancel(episode=FIRST, reason="superseded by m2")
    assert bench.events == [
        EpisodeStarted(FIRST, "m1", 3),
        EpisodeCancelled(FIRST, "superseded by m2"),
        RequestDropped("m2", "m3"),
    ]
    bench.results(FIRST, "a", "b", status="aborted")
    assert bench.sent == []  # c may still be in it
    bench.results(FIRST, "c", status="aborted")
    ended, started = bench.events
    assert isinstance(ended, EpisodeEnded) and ended.outcome.superseded
    assert (ended.outcome.verdict, ended.outcome.reason) == ("aborted", "superseded by m2")
    assert started == EpisodeStarted(FIRST + 1, "m3", 3)
    assert [message.episode for message in bench.sent] == [FIRST + 1]


def test_an_episode_that_committed_before_the_cancellation_stays_committed() -> None:
    bench = Bench()
    bench.submit("m1")
    bench.submit("m2")
    bench.results(FIRST)
    ended = bench.events[2]
    assert isinstance(ended, EpisodeEnded) and ended.outcome.verdict == "committed"


def test_silence_ends_an_episode_and_names_the_missing() -> None:
    bench = Bench()
    bench.submit("m")
    bench.results(FIRST, "b", status="aborted")
    assert bench.events and bench.sent
    bench.wait(20.0)
    bench.protocol.receive(Progress(episode=FIRST, step=1, links=[0], mlu=0.5), bench.now)  # a sign of life
    assert bench.events == [StepDone(FIRST, 1, (0,), 0.5)]
    bench.wait(29.0)
    assert bench.events == []
    bench.wait(1.0)
    assert [type(message) for message in bench.sent] == [Cancel]
    outcome = bench.outcome
    assert (outcome.verdict, outcome.missing) == ("aborted", ("a", "c"))
    assert outcome.reason == "no result from a, c"
    bench.results(FIRST, "c")
    assert bench.events == [LateResult(result("c", FIRST))]
    bench.results(FIRST, "c")  # its retained result again
    assert bench.events == []


def test_no_long_wait_for_agents_that_are_offline() -> None:
    bench = Bench(patience=replace(PATIENCE, settle_s=0.5))
    bench.submit("m")
    bench.results(FIRST, "a", "b", status="aborted")
    bench.wait(4.0)
    bench.status("c", online=False)
    assert AgentLost("c") in bench.events
    bench.wait(0.4)
    assert bench.events == []
    bench.wait(0.1)
    assert bench.outcome.missing == ("c",)


def test_a_flapping_agent_does_not_keep_an_episode_alive() -> None:
    bench = Bench()
    bench.submit("m")
    bench.results(FIRST, "a", "b")
    for _ in range(15):
        bench.wait(2.0)
        bench.status("c", online=False, episode=FIRST)
        bench.wait(2.0)
        bench.status("c", episode=FIRST)
    outcome = bench.outcome
    assert outcome.verdict == "partial" and outcome.missing == ("c",)


def test_a_cancelled_episode_is_not_waited_for_long() -> None:
    bench = Bench()
    bench.submit("m1")
    bench.protocol.cancel("stop", bench.now)
    bench.wait(5.0)
    outcome = bench.outcome
    assert (outcome.verdict, outcome.reason) == ("aborted", "stop; no result from a, b, c")


def test_time_stands_still_without_the_broker() -> None:
    bench = Bench()
    bench.submit("m")
    bench.protocol.connection_lost()
    assert bench.events[-1] == BrokerLost()
    assert bench.protocol.get_timer() is None
    bench.wait(1000.0)
    bench.protocol.connection_made(bench.now)
    assert bench.events == [BrokerConnected()]
    assert bench.protocol.get_timer() == bench.now + PATIENCE.grace_s
    bench.wait(4.0)
    for router in ROUTERS:
        bench.status(router, episode=FIRST)
        bench.results(FIRST, router)
    assert bench.outcome.verdict == "committed"


def test_nothing_starts_without_the_broker() -> None:
    bench = Bench()
    bench.protocol.connection_lost()
    bench.submit("m")
    assert bench.sent == []
    assert bench.protocol.waiting_for() == dict.fromkeys(ROUTERS, "no broker")
    bench.protocol.connection_made(bench.now)
    for router in ROUTERS:
        bench.status(router)
    assert len(bench.sent) == 1


def test_an_agent_that_missed_the_start_gets_it_again() -> None:
    bench = Bench()
    bench.submit("m")
    (start,) = bench.sent
    bench.status("b", episode=FIRST)
    assert bench.sent == []
    bench.status("c", episode=FIRST - 1)
    bench.status("a", episode=FIRST - 1)
    assert bench.sent == [start]
    bench.results(FIRST, "c", status="aborted")
    bench.status("c", episode=FIRST - 1)  # has ended it without ever starting
    assert bench.sent == []


def test_agents_with_other_inputs_are_waited_for() -> None:
    bench = Bench(online=("a",))
    bench.submit("m")
    bench.status("b", topology="2" * 32)
    bench.status("c", checkpoint="3" * 32)
    assert bench.protocol.waiting_for() == {
        "b": "its agent has another topology (22222222, expected 00000000)",
        "c": "its agent has another checkpoint (33333333, expected 11111111)",
    }
    bench.status("b", topology=TOPOLOGY)
    bench.status("c", checkpoint=CHECKPOINT)
    assert len(bench.sent) == 1


def test_strangers_are_told_once_and_ignored() -> None:
    bench = Bench()
    bench.submit("m")
    bench.status("z")
    bench.results(FIRST, "z")
    bench.status("z", online=False)
    assert bench.events[1:] == [UnknownAgent("z")]
    assert bench.protocol.missing == ROUTERS


def test_a_crowd_of_strangers_is_told_of_and_kept_no_longer_than_it_matters() -> None:
    bench = Bench()
    for number in range(500):
        bench.status(f"z{number}")
    assert sum(isinstance(event, UnknownAgent) for event in bench.events) == 100
    assert len(bench.protocol._gathering._strangers) == 100


def test_a_late_result_of_the_last_episode_does_not_count_for_the_next() -> None:
    bench = Bench()
    bench.submit("m1")
    bench.results(FIRST)
    bench.submit("m2")
    assert bench.protocol.missing == ROUTERS
    bench.results(FIRST, status="aborted")  # they come again after a reconnection
    assert bench.protocol.missing == ROUTERS and bench.protocol.phase is Phase.RUNNING
    bench.results(FIRST + 1, "a", "b", "c")
    assert [event.outcome.verdict for event in bench.events if isinstance(event, EpisodeEnded)] == ["committed"] * 2


def test_other_episodes_are_ignored() -> None:
    bench = Bench()
    bench.submit("m")
    bench.results(FIRST - 1)
    bench.results(FIRST + 1)
    bench.protocol.receive(Progress(episode=FIRST - 1, step=2, links=[1], mlu=0.1), bench.now)
    assert bench.events == [EpisodeStarted(FIRST, "m", 3)]


@pytest.mark.parametrize("how", ["timer early", "timer idle"])
def test_a_timer_that_is_not_due_changes_nothing(how: str) -> None:
    bench = Bench()
    if how == "timer early":
        bench.submit("m")
    assert len(bench.events) == (how == "timer early")
    bench.protocol.handle_timer(bench.now + 1)
    assert bench.events == []


class Storm(RuleBasedStateMachine):
    """Whatever comes in whatever order: one episode at a time, growing numbers, every start is followed by one end."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.open: int | None = None
        self.numbers: list[int] = []
        self.connected = True

    @rule(name=st.sampled_from(["m1", "m2"]))
    def submit(self, name: str) -> None:
        self.bench.submit(name)

    @rule()
    def cancel(self) -> None:
        self.bench.protocol.cancel("stop", self.bench.now)

    @rule(router=st.sampled_from([*ROUTERS, "z"]), online=st.booleans(), ready=st.booleans(), back=st.integers(-1, 3))
    def status(self, router: str, online: bool, ready: bool, back: int) -> None:
        if self.connected:
            newest = self.numbers[-1] if self.numbers else FIRST
            self.bench.status(router, online=online, ready=ready, episode=max(0, newest - back))

    @rule(
        router=st.sampled_from([*ROUTERS, "z"]),
        back=st.integers(0, 2),
        status=st.sampled_from(["committed", "kept", "aborted"]),
    )
    def result(self, router: str, back: int, status: Ending) -> None:
        if self.connected and self.numbers:
            self.bench.results(self.numbers[-1] - back, router, status=status)

    @rule(step=st.integers(0, 5))
    def progress(self, step: int) -> None:
        if self.connected and self.numbers:
            progress = Progress(episode=self.numbers[-1], step=step, links=[], mlu=0.5)
            self.bench.protocol.receive(progress, self.bench.now)

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.bench.wait(seconds)

    @rule()
    def broker(self) -> None:
        if self.connected:
            self.bench.protocol.connection_lost()
        else:
            self.bench.protocol.connection_made(self.bench.now)
        self.connected = not self.connected

    @invariant()
    def episodes_are_one_at_a_time(self) -> None:
        for event in self.bench.events:
            if isinstance(event, EpisodeStarted):
                assert self.open is None and self.connected
                assert not self.numbers or event.episode > self.numbers[-1]
                self.numbers.append(event.episode)
                self.open = event.episode
            elif isinstance(event, EpisodeEnded):
                assert event.outcome.episode == self.open
                assert not event.outcome.missing or event.outcome.verdict in ("aborted", "partial")
                self.open = None
        for message in self.bench.sent:
            assert message.episode in self.numbers
            assert isinstance(message, Cancel) or message.episode == self.numbers[-1]
        protocol = self.bench.protocol
        assert (self.open is None) == (protocol.phase is Phase.IDLE)
        timer = protocol.get_timer()
        assert self.open is None or (timer is not None) == self.connected
        assert not protocol.waiting or protocol.waiting_for() or self.open is not None or not self.connected

    def teardown(self) -> None:
        """Whatever happened: with the broker back and time passing, nothing runs for ever."""
        if not self.connected:
            self.bench.protocol.connection_made(self.bench.now)
        self.bench.protocol.withdraw()
        self.bench.wait(100.0)
        assert self.bench.protocol.phase is Phase.IDLE


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
