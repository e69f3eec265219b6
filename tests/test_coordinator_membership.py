"""The next epoch from statuses, and what a coordinator does with it: retries, lost agents, half done commits, guard."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.control import Ending, Result, Start, Status
from coordinator.events import (
    EpisodeEnded,
    EpisodeStarted,
    EpochFormed,
    Event,
    HalfCommitted,
    LateResult,
    MoreThanPredicted,
    OutdatedResult,
)
from coordinator.membership import propose
from coordinator.protocol import CoordinatorProtocol, Patience, Phase, Request
from coordinator.report import record
from coordinator.settlement import settle
from routing.topology import Topology

RING = Topology.from_links("ring", list("abcde"), [(i, (i + d) % 5) for i in range(5) for d in (1, 4)], [1e9] * 10)
ONES = np.ones(RING.num_links, dtype=np.int64)
PATIENCE = Patience(hold_s=0.0)


def packed(weights: NDArray[np.int64]) -> bytes:
    return weights.astype("<u2").tobytes()


def without(*links: int) -> NDArray[np.int64]:
    weights = ONES.copy()
    weights[list(links)] = 0
    weights[RING.reverse[list(links)]] = 0
    return weights


def status(router: str, weights: NDArray[np.int64] = ONES, *, misses: str = "", **more: object) -> Status:
    return Status(
        router=router,
        online=True,
        ready=not misses,
        waiting_for=list(misses),
        weights=packed(weights),
        **more,  # type: ignore[arg-type]
    )


def everybody(weights: NDArray[np.int64] = ONES) -> dict[str, Status]:
    return {router: status(router, weights) for router in RING.nodes}


def test_all_there_is_the_whole_network() -> None:
    found = propose(RING, everybody(), {})
    assert (found.down, found.absent, found.why_absent, found.obstacle) == ((), (), {}, "")
    assert found.members(RING) == RING.nodes


def test_links_that_ospf_has_lost_are_down() -> None:
    link = RING.link_index(1, 2)
    found = propose(RING, everybody(without(link)), {})
    assert set(found.down) == {link, int(RING.reverse[link])}
    assert found.obstacle == "" and found.absent == ()


def test_agents_that_disagree_about_the_network_wait_for_each_other() -> None:
    agents = everybody()
    agents["d"] = status("d", without(3))
    assert propose(RING, agents, {}).obstacle == "the LSDB of d shows another network"
    agents["d"] = status("d", ONES + 1)
    assert "another network" in propose(RING, agents, {}).obstacle


def test_who_is_cut_off_does_not_have_to_agree() -> None:
    out = range(RING.out_links(4).start, RING.out_links(4).stop)
    agents = everybody(without(*out))
    agents["e"] = status("e", ONES)
    found = propose(RING, agents, {})
    assert found.why_absent == {"e": "its router is cut off"}
    assert found.obstacle == "" and found.absent == ()
    assert found.members(RING) == ("a", "b", "c", "d")


@pytest.mark.parametrize(("missed", "by"), [("c", "bd"), ("a", "be"), ("e", "d")])
def test_a_stopped_agent_is_found_by_those_that_miss_it(missed: str, by: str) -> None:
    agents = everybody() | {router: status(router, misses=missed) for router in by}
    found = propose(RING, agents, {})
    assert found.absent == (RING.nodes.index(missed),)
    assert found.why_absent == {missed: f"not heard by {', '.join(by)}"}


def test_less_than_half_or_unconnected_members_are_no_epoch() -> None:
    agents = {router: status(router) for router in "ab"}
    assert "expected more than half" in propose(RING, agents, {}).obstacle
    line = Topology.from_links("line", list("abc"), [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9)
    ones = np.ones(4, dtype=np.int64)
    found = propose(line, {router: status(router, ones) for router in "ac"}, {})
    assert "the live agents are not connected" in found.obstacle


def test_who_misses_a_router_that_is_no_neighbour_of_its_own_is_not_believed() -> None:
    found = propose(RING, {**everybody(), "a": status("a", misses="c")}, {})
    assert (found.down, found.absent, found.why_absent, found.obstacle) == ((), (), {}, "")


class Bench:
    """A coordinator with its clock."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.now = 1000.0
        self.protocol = CoordinatorProtocol(RING, first=1, patience=patience)
        self.protocol.connection_made(self.now)
        self.told: list[Event] = []
        for one in everybody().values():
            self.receive(one)

    def receive(self, message: Status | Result) -> None:
        self.protocol.receive(message, self.now)

    def submit(self, name: str = "m", **changes: object) -> None:
        start = Start(
            episode=1,
            seed=1,
            steps=3,
            topology="0" * 32,
            checkpoint="1" * 32,
            traffic=b"",
            start_weights=b"",
            **changes,  # type: ignore[arg-type]
        )
        self.protocol.submit(Request(name, start), self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (timer := self.protocol.get_timer()) is not None and timer <= end:
            assert timer > self.now or self.protocol.phase is not Phase.RUNNING
            before = timer
            self.now = max(self.now, timer)
            self.protocol.handle_timer(self.now)
            assert self.protocol.get_timer() != before, "a timer that does nothing"
        self.now = end

    def results(self, status: Ending, routers: str = "abcde", reason: str = "", **more: object) -> None:
        about = {"episode": self.starts[-1].episode, "steps": self.starts[-1].steps, "digest": "d", **more}
        for router in routers:
            self.receive(Result(router=router, status=status, reason=reason, **about))  # type: ignore[arg-type]

    @property
    def starts(self) -> list[Start]:
        self._sent = [*getattr(self, "_sent", []), *self.protocol.messages_to_publish()]
        return [message for message in self._sent if isinstance(message, Start)]

    def of(self, kind: type) -> list[Event]:
        while (event := self.protocol.next_event()) is not None:
            self.told.append(event)
        return [event for event in self.told if isinstance(event, kind)]


def test_an_aborted_episode_is_tried_again_with_pauses_that_grow() -> None:
    bench = Bench(replace(PATIENCE, attempts=3))
    bench.submit()
    for attempt in (1, 2, 3):
        assert len(bench.starts) == attempt
        bench.results("aborted", reason="c was silent")
        ended = bench.of(EpisodeEnded)[-1]
        assert isinstance(ended, EpisodeEnded) and ended.outcome.again is (attempt < 3)
        bench.wait(0.05 * 2.0 ** (attempt - 1))
    bench.wait(100.0)
    assert len(bench.starts) == 3 and bench.protocol.idle
    assert [start.episode for start in bench.starts] == [1, 2, 3]


def test_a_lost_agent_is_left_out_after_a_moment_and_taken_back() -> None:
    bench = Bench()
    bench.submit()
    bench.receive(Status(router="c", online=False))
    for router in "bd":
        bench.receive(status(router, misses="c"))
    bench.results("aborted", routers="abde", reason="c was silent")
    bench.wait(1.0)
    assert bench.starts[-1].absent == [2]
    formed = bench.of(EpochFormed)
    assert isinstance(formed[-1], EpochFormed) and "without c (no agent)" in formed[-1].epoch
    bench.results("kept", routers="abde")
    assert bench.protocol.idle
    for one in everybody().values():
        bench.receive(one)
    bench.submit()
    assert bench.starts[-1].absent == []
    assert len(bench.of(EpochFormed)) == 2


def test_an_agent_that_has_been_away_for_a_moment_is_not_waited_for_at_the_end() -> None:
    bench = Bench()
    bench.submit()
    bench.receive(Status(router="c", online=False))  # its last will
    bench.wait(0.3)
    for router in "bd":
        bench.receive(status(router, misses="c"))
    bench.wait(0.1)
    bench.results("aborted", routers="abde", reason="c was silent")
    assert len(bench.starts) == 1
    bench.wait(0.1)  # half a second since c went
    assert len(bench.of(EpisodeEnded)) == 1
    bench.wait(0.05)
    assert bench.starts[-1].absent == [2]


def test_costs_that_reach_the_lsdbs_one_by_one_do_not_delay_those_who_are_left() -> None:
    bench = Bench()
    bench.receive(Status(router="c", online=False))
    bench.wait(1.0)
    bench.submit()
    for router in "abde":
        bench.receive(status(router, 2 * ONES))
    bench.results("committed", routers="abde", began=True, live_weights=packed(ONES), best_weights=packed(2 * ONES))
    bench.submit("again")
    assert len(bench.starts) == 2


def test_agents_that_were_never_there_are_waited_for_longer() -> None:
    bench = Bench()
    bench.protocol.connection_lost()
    bench.protocol = CoordinatorProtocol(RING, first=1, patience=PATIENCE)
    bench.protocol.connection_made(bench.now)
    bench.submit()
    for router in "abcd":
        bench.receive(status(router))
    bench.wait(9.9)
    assert bench.starts == []
    bench.wait(0.2)
    assert bench.starts[-1].absent == [4]


def test_a_half_done_commit_is_told_and_restored_once_its_router_is_back() -> None:
    bench = Bench()
    bench.submit()
    new = ONES + np.arange(RING.num_links) % 2
    kept = {"began": True, "live_weights": packed(ONES), "best_weights": packed(new)}
    bench.receive(Status(router="c", online=False))
    out = range(RING.out_links(2).start, RING.out_links(2).stop)
    half = ONES.copy()
    half[list(out)] = new[list(out)]
    for router in "abde":
        bench.receive(status(router, half, misses="c" if router in "bd" else ""))
    bench.results("aborted", routers="abde", reason="c was silent", **kept)
    bench.wait(PATIENCE.grace_s + 0.5)
    bench.wait(PATIENCE.look_s)
    told = bench.of(HalfCommitted)
    assert isinstance(told[0], HalfCommitted) and told[0].links.startswith("c->")
    assert not bench.starts[-1].restore and bench.starts[-1].absent == [2]  # meanwhile the others go on
    bench.results("kept", routers="abde")
    for one in everybody(half).values():
        bench.receive(one)
    bench.wait(PATIENCE.look_s + 1.0)
    start = bench.starts[-1]
    assert (start.restore, start.steps, start.absent) == (True, 0, [])
    np.testing.assert_array_equal(np.frombuffer(start.start_weights, "<u2"), ONES)
    for one in everybody().values():
        bench.receive(one)
    bench.results("committed")
    bench.wait(10.0)
    assert bench.protocol.idle
    assert bench.of(HalfCommitted)[-1] == HalfCommitted(start.episode, "")


def test_costs_are_restored_while_a_link_is_down_that_was_down_in_the_commit() -> None:
    """Agents say 0 of such a link, and refuse an order with a weight of 0."""
    bench = Bench()
    bench.submit()
    gone = RING.link_index(0, 1)
    live, new = without(gone), without(gone) * 2
    for router in RING.nodes:
        bench.receive(status(router, live))
    told = {"began": True, "live_weights": packed(live), "best_weights": packed(new)}
    bench.results("aborted", reason="OSPF does not show the route", **told)
    half = live.copy()
    half[RING.link_index(2, 3)] = 2
    for router in RING.nodes:
        bench.receive(status(router, half))
    bench.wait(PATIENCE.look_s + 1.0)
    start = bench.starts[-1]
    assert start.restore
    weights = np.frombuffer(start.start_weights, "<u2")
    assert weights.min() >= 1
    up = live > 0
    np.testing.assert_array_equal(weights[up], live[up])


def test_a_cost_on_links_that_were_down_is_looked_at_when_they_come_back() -> None:
    """A router that is cut off in a commit may end it otherwise than those who are left, who go on meanwhile."""
    bench = Bench()
    bench.submit()
    new = ONES + 1
    out = range(RING.out_links(4).start, RING.out_links(4).stop)
    for router in "abcd":
        bench.receive(status(router, without(*out)))
    told = {"began": True, "live_weights": packed(ONES), "best_weights": packed(new)}
    bench.results("aborted", routers="abcd", reason="the topology has changed", **told)
    bench.wait(PATIENCE.look_s + 1.0)
    bench.results("committed", routers="abcd", **(told | {"best_weights": packed(ONES + 2)}))
    back = ONES + 2
    back[[*out]] = new[[*out]]
    for router in RING.nodes:
        bench.receive(status(router, back))
    bench.wait(2 * PATIENCE.look_s + 1.0)
    start = bench.starts[-1]
    assert start.restore
    weights = np.frombuffer(start.start_weights, "<u2")
    assert weights[[*out]].tolist() == [1] * len(out)
    assert {*np.delete(weights, [*out]).tolist()} == {3}


def test_links_between_routers_that_are_cut_off_together_are_looked_at_when_they_come_back() -> None:
    """The others' LSDB shows what these had before; those who are cut off have taken their costs back since."""
    bench = Bench()
    bench.submit()
    new, cut = ONES + 1, [RING.link_index(2, 3), RING.link_index(4, 0)]
    island = [RING.link_index(3, 4), RING.link_index(4, 3)]
    left = without(*cut)
    for router in "abc":
        bench.receive(status(router, left * 2))
    told = {"began": True, "live_weights": packed(ONES), "best_weights": packed(new)}
    bench.results("aborted", routers="de", reason="the topology has changed", **told)
    bench.results("committed", routers="abc", **told)
    bench.submit("next")
    bench.wait(PATIENCE.look_s + 1.0)
    assert not bench.starts[-1].restore and set(cut) <= set(bench.starts[-1].down)
    kept = left * 2
    bench.results("committed", routers="abc", **(told | {"live_weights": packed(kept), "best_weights": packed(kept)}))
    back = new.copy()
    back[island] = 1
    for router in RING.nodes:
        bench.receive(status(router, back))
    bench.wait(2 * PATIENCE.look_s + 1.0)
    start = bench.starts[-1]
    assert start.restore
    assert np.frombuffer(start.start_weights, "<u2")[island].tolist() == [2, 2]


def test_the_side_is_new_if_anybody_committed_and_an_operators_cost_is_right() -> None:
    new = ONES * 9
    results = [
        Result(router=router, episode=4, status=ending, began=True, live_weights=packed(ONES), best_weights=packed(new))
        for router, ending in (("a", "aborted"), ("b", "committed"))
    ]
    found = settle(4, results)
    assert found is not None
    np.testing.assert_array_equal(found.wanted, new)
    seen = new.copy()
    seen[[0, 1, 2, 3]] = 1, 5, 77, 0  # old, of a wave, by hand, down
    assert found.wrong(seen) == [0, 1]
    target = found.target(seen, [0])
    assert target[:4].tolist() == [9, 5, 77, 9]
    assert settle(4, [Result(router="a", episode=4, status="aborted")]) is None


def test_a_commit_after_which_links_carry_more_than_predicted_is_taken_back() -> None:
    bench = Bench(replace(PATIENCE, look_s=1.0))
    bench.submit(watch_s=60.0)
    new = ONES * 3
    bench.results(
        "committed", mlu_best=0.5, began=True, live_weights=packed(ONES), best_weights=packed(new)
    )  # fmt: skip
    for one in everybody(new).values():
        bench.receive(one)
    for window in range(1, 13):
        load = 0.9e9 if window >= 4 else 0.54e9
        for router in "abcde":
            carried = [load if router == "b" else 1e8, 1e8]
            bench.receive(status(router, new, window=window, carried=carried))
        if bench.of(MoreThanPredicted):
            break
        bench.wait(5.0)
    assert window == 10  # 30 s after the first excess
    (told,) = bench.of(MoreThanPredicted)
    assert isinstance(told, MoreThanPredicted)
    assert (told.measured, told.limit) == pytest.approx((0.9, 0.55))
    start = bench.starts[-1]
    assert start.restore
    np.testing.assert_array_equal(np.frombuffer(start.start_weights, "<u2"), ONES)
    for one in everybody().values():
        bench.receive(one)
    bench.results("committed", began=True, live_weights=packed(new), best_weights=packed(ONES))
    bench.wait(20.0)
    assert {start.episode for start in bench.starts} == {1, 2} and bench.protocol.idle
    assert bench.of(HalfCommitted) == []
    bench.submit("the same again")  # is held back for as long as was watched
    bench.wait(39.0)
    assert len(bench.of(EpisodeStarted)) == 2
    bench.wait(2.0)
    assert len(bench.of(EpisodeStarted)) == 3


def test_old_costs_set_by_hand_while_a_commit_is_watched_are_an_operators() -> None:
    bench = Bench()
    bench.submit(watch_s=600.0)
    new = ONES * 3
    for one in everybody(new).values():
        bench.receive(one)
    bench.results("committed", mlu_best=0.5, began=True, live_weights=packed(ONES), best_weights=packed(new))
    bench.submit("again")
    bench.wait(PATIENCE.look_s)
    bench.results("kept")
    for one in everybody().values():
        bench.receive(one)
    bench.submit("once more")
    assert len(bench.starts) == 3 and not bench.starts[-1].restore
    assert bench.of(HalfCommitted) == []


@pytest.mark.parametrize("size", [3, 2 * RING.num_links + 2])
@pytest.mark.parametrize("wrong", ["live_weights", "best_weights"])
def test_weights_that_are_not_of_this_network_say_nothing_of_a_commit(wrong: str, size: int) -> None:
    bench = Bench()
    bench.submit()
    weights = {"live_weights": packed(ONES), "best_weights": packed(2 * ONES), wrong: b"\1" * size}
    bench.results("aborted", "a", reason="x", began=True, **weights)
    bench.results("kept", "bcde")
    (ended,) = bench.of(EpisodeEnded)
    json.dumps(record(ended))
    bench.wait(10.0)
    assert not bench.of(HalfCommitted)


def test_commits_are_held_apart() -> None:
    bench = Bench(replace(PATIENCE, hold_s=20.0))
    bench.submit()
    bench.results("committed")
    new = packed(ONES)
    bench.submit("again")
    assert len(bench.starts) == 2  # nothing was changed, so nothing to wait for
    bench.results("committed", began=True, live_weights=new, best_weights=new)
    bench.submit("once more")
    bench.wait(19.0)
    assert len(bench.starts) == 2
    bench.wait(2.0)
    assert len(bench.starts) == 3
    assert isinstance(bench.of(EpisodeStarted)[-1], EpisodeStarted)


def test_after_the_broker_was_dead_agents_have_time_to_find_it_again() -> None:
    bench = Bench()
    bench.protocol.connection_lost()
    bench.protocol.connection_made(bench.now)
    for router in "abde":
        bench.receive(status(router))
    bench.submit()
    bench.wait(2.0)
    assert bench.starts == []  # c pauses between its attempts, and then has to connect
    bench.receive(status("c"))
    bench.wait(0.1)
    assert bench.starts[-1].absent == []


NEW = ONES + 3 * (np.arange(RING.num_links) % 2)
HALF = np.where(np.arange(RING.num_links) < 4, NEW, ONES)
SIDES: dict[str, Any] = {"began": True, "live_weights": packed(ONES), "best_weights": packed(NEW)}


def died(bench: Bench) -> int:
    """Let all agents die in a commit before one has told of it; return the episode."""
    bench.submit()
    for router in RING.nodes:
        bench.receive(Status(router=router, online=False))
    bench.wait(1.0)
    assert isinstance(bench.of(EpisodeEnded)[-1], EpisodeEnded)
    return bench.starts[-1].episode


def remember(bench: Bench, episode: int, routers: str = "abcde", **changes: object) -> None:
    values = {"status": "aborted", "reason": "died", "steps": 3, "remembered": True, **SIDES, **changes}
    for router in routers:
        bench.receive(Result(router=router, episode=episode, **values))  # type: ignore[arg-type]


def come_back(bench: Bench, weights: NDArray[np.int64] = HALF) -> None:
    for one in everybody(weights).values():
        bench.receive(one)
    bench.wait(PATIENCE.look_s + 1.0)


@pytest.mark.parametrize("committed", [False, True])
def test_what_agents_remember_that_died_together_is_brought_to_one_side(committed: bool) -> None:
    bench = Bench()
    episode = died(bench)
    remember(bench, episode, "abce")  # d's disk is lost
    if committed:
        remember(bench, episode, "d", status="committed", began=False, live_weights=b"", best_weights=b"")
    come_back(bench)
    assert [start.restore for start in bench.starts] == [False, True]
    wanted = NEW if committed else ONES
    np.testing.assert_array_equal(np.frombuffer(bench.starts[-1].start_weights, "<u2"), wanted)
    assert bench.of(HalfCommitted)
    for router in RING.nodes:
        bench.receive(status(router, wanted, episode=bench.starts[-1].episode))
    bench.results("committed", began=True, live_weights=packed(HALF), best_weights=packed(wanted))
    bench.wait(PATIENCE.look_s + 1.0)
    assert bench.of(HalfCommitted)[-1] == HalfCommitted(bench.starts[1].episode, "")
    assert [start.restore for start in bench.starts] == [False, True, False]  # and the request is tried again


def test_nobody_remembers_and_the_costs_are_taken_as_they_are() -> None:
    bench = Bench()
    died(bench)
    come_back(bench)
    assert [start.restore for start in bench.starts] == [False, False]


def test_who_set_costs_and_died_is_heard_after_an_episode_without_it_that_kept_the_costs() -> None:
    bench = Bench()
    bench.submit()
    first = bench.starts[-1].episode
    bench.receive(Status(router="c", online=False))
    bench.results("aborted", "abde", reason="c was silent")
    bench.wait(1.0)
    for router in "abde":
        bench.receive(status(router, HALF, misses="c" if router in "bd" else ""))
    bench.wait(PATIENCE.grace_s + 1.0)
    bench.results("kept", "abde")
    assert bench.protocol.idle and not bench.starts[-1].restore
    remember(bench, first, "c")
    come_back(bench)
    assert bench.starts[-1].restore


def test_what_is_remembered_of_a_commit_before_a_later_one_is_out_of_date() -> None:
    bench = Bench()
    bench.submit()
    for router in RING.nodes:
        bench.receive(status(router, NEW, episode=bench.starts[-1].episode))
    bench.results("committed", **SIDES)
    bench.submit("next")
    bench.results("committed", **SIDES | {"live_weights": packed(NEW), "best_weights": packed(NEW + 1)})
    first = bench.starts[0].episode
    remember(bench, first, "c")
    assert bench.of(OutdatedResult)
    remember(bench, first - 1, "c")  # before this coordinator's time
    come_back(bench, NEW + 1)
    assert [start.restore for start in bench.starts] == [False, False]
    assert len(bench.of(OutdatedResult)) == 2 and not bench.of(HalfCommitted)


def test_what_was_wanted_before_a_commit_of_which_only_its_end_is_remembered_counts_no_more() -> None:
    """All agents died after the second commit, before they could tell; one remembers that it is settled."""
    bench = Bench()
    bench.submit()
    told = {"began": True, "live_weights": packed(ONES), "best_weights": packed(ONES * 9)}
    bench.results("committed", **told)
    for one in everybody(ONES * 9).values():
        bench.receive(one)
    bench.submit("next")
    bench.wait(0.1)
    assert len(bench.starts) == 2  # before it is looked at what became of the first one's costs
    second = bench.starts[-1].episode
    for one in everybody(ONES * 5).values():
        bench.receive(one)
    bench.receive(Result(router="a", episode=second, status="committed", remembered=True))
    bench.results("aborted", routers="bcde", reason="the agent of a was restarted")
    bench.wait(3 * PATIENCE.look_s)
    assert [start.restore for start in bench.starts].count(True) == 0


def test_what_a_router_has_said_itself_says_more_than_what_it_remembers() -> None:
    bench = Bench()
    bench.submit()
    bench.results("committed", "abcd", **SIDES)
    remember(bench, bench.starts[-1].episode, "c")
    bench.results("committed", "e", **SIDES)
    (ended,) = bench.of(EpisodeEnded)
    assert isinstance(ended, EpisodeEnded) and ended.outcome.verdict == "committed"
    remember(bench, bench.starts[-1].episode)
    come_back(bench, NEW)
    assert bench.protocol.idle and len(bench.starts) == 1 and not bench.of(LateResult)


def fresh(bench: Bench) -> Bench:
    """Return a coordinator that is started anew, on the broker of another."""
    new = Bench.__new__(Bench)
    new.now, new.told = bench.now, []
    new.protocol = CoordinatorProtocol(RING, first=1000, patience=PATIENCE)
    new.protocol.connection_made(new.now)
    return new


def test_a_coordinator_that_is_new_hears_of_the_last_commit_first_and_restores_it() -> None:
    bench = fresh(Bench())
    remember(bench, 7, "ab")
    remember(bench, 6, "c", live_weights=packed(NEW), best_weights=packed(ONES))  # was away since long ago
    bench.submit()
    come_back(bench)
    assert [start.restore for start in bench.starts] == [True]
    np.testing.assert_array_equal(np.frombuffer(bench.starts[-1].start_weights, "<u2"), ONES)
    (started,) = bench.of(EpisodeStarted)
    assert isinstance(started, EpisodeStarted) and started.name == "restore the costs of episode 7"
    told = bench.of(HalfCommitted)[0]
    assert isinstance(told, HalfCommitted) and told.episode == 7


def test_a_coordinator_that_is_new_leaves_costs_alone_that_were_set_by_hand_after_a_good_commit() -> None:
    bench = fresh(Bench())
    for router in RING.nodes:
        bench.receive(Result(router=router, episode=7, status="committed", steps=3, **SIDES))
    bench.submit()
    come_back(bench, HALF)
    assert [start.restore for start in bench.starts] == [False]


def test_what_is_remembered_does_not_hide_what_the_broker_has_kept() -> None:
    bench = fresh(Bench())
    for router in RING.nodes:
        bench.receive(Result(router=router, episode=8, status="kept", steps=3))
    remember(bench, 7)
    bench.submit()
    come_back(bench, HALF)
    assert [start.restore for start in bench.starts] == [False]


def test_a_restoring_episode_that_fails_is_tried_again_and_at_last_given_up() -> None:
    bench = Bench(replace(PATIENCE, attempts=3))
    remember(bench, died(bench))
    come_back(bench)
    half = {"began": True, "live_weights": packed(HALF), "best_weights": packed(ONES)}
    for attempt in range(1, 4):
        assert [start.restore for start in bench.starts] == [False] + attempt * [True]
        np.testing.assert_array_equal(np.frombuffer(bench.starts[-1].start_weights, "<u2"), ONES)
        bench.results("aborted", "abcd", reason="e was silent", **half)
        bench.results("aborted", "e", reason="e was silent", **half)
        bench.wait(PATIENCE.look_s + 0.5)
    assert not bench.starts[-1].restore  # the request's turn


def test_a_restoring_episode_that_dies_with_all_agents_goes_on_to_the_same_side() -> None:
    bench = Bench()
    remember(bench, died(bench))
    come_back(bench)
    restoring = bench.starts[-1].episode
    for router in RING.nodes:
        bench.receive(Status(router=router, online=False))
    bench.wait(1.0)
    quarter = np.where(np.arange(RING.num_links) < 2, NEW, ONES)
    remember(bench, restoring, steps=0, live_weights=packed(HALF), best_weights=packed(ONES))
    come_back(bench, quarter)
    assert bench.starts[-1].restore and bench.starts[-1].episode > restoring
    np.testing.assert_array_equal(np.frombuffer(bench.starts[-1].start_weights, "<u2"), ONES)


def test_the_costs_of_a_router_that_comes_back_later_are_restored_later() -> None:
    bench = Bench()
    episode = died(bench)
    remember(bench, episode, "bcde")
    for router in "bcde":
        bench.receive(status(router, HALF, misses="a" if router in "be" else ""))
    bench.wait(PATIENCE.look_s + 1.0)
    start = bench.starts[-1]
    own = range(RING.out_links(0).start, RING.out_links(0).stop)
    assert start.restore and start.absent == [0]
    target = np.frombuffer(start.start_weights, "<u2").astype(np.int64)
    assert [int(target[link]) for link in own] == [int(HALF[link]) for link in own] != [1, 1]
    bench.results("committed", "bcde", began=True, live_weights=packed(HALF), best_weights=packed(target))
    remember(bench, episode, "a")
    come_back(bench, target)
    np.testing.assert_array_equal(np.frombuffer(bench.starts[-1].start_weights, "<u2"), ONES)
    assert bench.starts[-1].restore and bench.starts[-1].absent == []


def test_an_agent_that_remembers_puts_nothing_off() -> None:
    """The others have told of the commit; the one that died in it comes back just before its costs are restored."""
    bench = Bench()
    bench.submit()
    bench.receive(Status(router="c", online=False))
    for router in "abde":
        bench.receive(status(router, HALF, misses="c" if router in "bd" else "", episode=1))
    bench.results("aborted", "abde", reason="c was silent", **SIDES)
    while not bench.of(EpisodeEnded):
        bench.wait(0.1)
    ended = bench.now
    bench.wait(1.2)
    remember(bench, bench.starts[-1].episode, "c")
    for one in everybody(HALF).values():
        bench.receive(one)
    while not bench.starts[-1].restore:
        bench.wait(0.1)
    assert bench.now - ended <= PATIENCE.look_s + 0.1


def test_who_died_after_a_good_commit_before_it_could_tell_is_believed() -> None:
    bench = Bench()
    bench.submit()
    bench.results("committed", "abcd", **SIDES)
    told = {"status": "committed", "reason": "", "began": False, "live_weights": b"", "best_weights": b""}
    remember(bench, bench.starts[-1].episode, "e", digest="d", **told)
    (ended,) = bench.of(EpisodeEnded)
    assert isinstance(ended, EpisodeEnded) and ended.outcome.verdict == "committed"
    come_back(bench, NEW)
    assert bench.protocol.idle and not bench.of(HalfCommitted)
