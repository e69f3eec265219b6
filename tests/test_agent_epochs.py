"""Epochs and commits on virtual links: what is left decides as the central engine does; no fault splits a commit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.epoch import Epoch
from agent.events import EpisodeEnded, SetCosts
from agent.order import Order
from agent.phase import Phase
from agent.waiting import Timing
from experiments.virtual_network import Impairment, VirtualNetwork
from policy.checkpoint import Checkpoint, make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.mpnn import Network
from policy.preset import PRESETS
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.state import RoutingState, inverse_capacity
from routing.traffic import uniform

GBN = load_topology("gbn")
TRAFFIC = uniform(GBN, 1)
LIVE = initial_weights("random:4", GBN)
TIMING = Timing(hello_s=0.1, dead_s=0.3, stall_s=4.0)
PATIENT = replace(TIMING, dead_s=3.5)  # where so much is lost that three hellos in a row may be
LINK = GBN.link_index(4, int(GBN.dst[GBN.out_links(4)][0]))


@cache
def checkpoint(name: str) -> Checkpoint:
    return make_checkpoint(PRESETS[name], random_parameters(PRESETS[name], 3))


def order(episode: int = 1, policy: str = "default", **changes: object) -> Order:
    one = Order(
        episode=episode,
        seed=7,
        steps=5,
        increments=1,
        temperature_milli=1000,
        share="candidate",
        ecmp=True,
        margin_milli=10,
        checkpoint=checkpoint(policy).hash,
        traffic=TRAFFIC,
        start=inverse_capacity(GBN),
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def network(
    impairment: Impairment | None = None, seed: int = 0, policy: str = "default", timing: Timing = TIMING
) -> VirtualNetwork:
    chosen = checkpoint(policy)
    engine = Network(chosen.preset, chosen.parameters)
    run = VirtualNetwork(GBN, engine, LIVE, impairment=impairment, seed=seed, timing=timing)
    assert run.run_until(run.ready, 5.0)
    return run


def stepped(run: VirtualNetwork, router: int, steps: int) -> None:
    assert run.run_until(lambda: len(run.agents[router]._trace) > steps, 60.0)


def reasons(run: VirtualNetwork) -> set[str]:
    return {end.reason for end in run.ended.values()}


def assert_as_central(one: Order, ends: Sequence[EpisodeEnded], live: NDArray[np.int64], policy: str) -> None:
    epoch = Epoch.of(GBN, one.down, one.absent)
    part = epoch.part
    trace = run_episode(
        part.network,
        part.traffic(one.traffic),
        one.first_weights(epoch, live[part.links]),
        checkpoint(policy),
        steps=one.steps,
        seed=one.seed,
        temperature=one.temperature_milli / 1000,
        increments=one.increments,
        absent=epoch.absent,
    )
    chain = one.digest(GBN, live)
    for links, scores in zip(trace.actions.tolist(), trace.scores.tolist(), strict=True):
        chain.extend(links, scores)
    assert len(ends) == len(epoch.members)
    for end in ends:
        assert (end.status, end.reason) == ("committed", "")
        assert end.digest == chain.value
        assert [list(step.links) for step in end.trace[1:]] == part.links[trace.actions].tolist()
        assert [step.mlu for step in end.trace] == trace.mlu.tolist()
        np.testing.assert_array_equal(end.best_weights, part.into(live, trace.best_weights))
    frozen = np.isin(GBN.src, [*one.absent])
    np.testing.assert_array_equal(ends[0].best_weights[frozen], live[frozen])


@pytest.mark.parametrize("policy", ["default", "paper"])
@pytest.mark.parametrize(("increments", "share"), [(1, "candidate"), (3, "logits")])
@pytest.mark.parametrize("case", ["agents", "links", "both"])
def test_what_is_left_decides_what_the_central_engine_decides(
    policy: str, increments: int, share: str, case: str
) -> None:
    run = network(policy=policy)
    if case != "agents":
        run.link_down(LINK)
        run.link_down(GBN.num_links - 1)
    if case != "links":
        run.down |= {2, 11}
    run.run_until(lambda: False, 1.0)
    one = run.here(order(policy=policy, increments=increments, share=share))
    ends = run.run_episode(one)
    assert_as_central(one, ends, np.where(run.lsdb() > 0, LIVE, 0), policy)
    np.testing.assert_array_equal(run.costs[np.array(run.lsdb()) > 0], ends[0].best_weights[np.array(run.lsdb()) > 0])


def test_a_router_that_is_cut_off_takes_its_demands_along() -> None:
    run = network()
    out = GBN.out_links(16)
    for link in range(out.start, out.stop):
        run.link_down(link)
    run.down.add(16)
    run.run_until(lambda: False, 1.0)
    one = run.here(order())
    ends = run.run_episode(one)
    assert len(ends) == GBN.num_nodes - 1
    assert_as_central(one, ends, np.where(run.lsdb() > 0, LIVE, 0), "default")


def test_a_link_that_goes_down_ends_the_episode_at_once_and_the_next_is_as_if_begun_afresh() -> None:
    run = network()
    run.start(order(steps=1000))
    stepped(run, 4, 3)
    began = run.now
    run.link_down(LINK)
    assert run.run_until(run.all_ended, 1.0)
    assert run.now - began < 0.05
    ends = " and ".join(GBN.nodes[int(node)] for node in (GBN.src[LINK], GBN.dst[LINK]))
    assert all("the link between" in reason for reason in reasons(run)), ends
    run.run_until(lambda: False, 0.2)
    one = run.here(order(2))
    live = run.lsdb()
    assert_as_central(one, run.run_episode(one), live, "default")


def test_a_link_that_fails_silently_is_found_by_the_hellos_and_left_out_once_ospf_knows() -> None:
    run = network()
    run.start(order(steps=1000))
    stepped(run, 4, 3)
    began = run.now
    run.link_down(LINK, after_s=4.0, device=False)
    assert run.run_until(run.all_ended, 2.0)
    assert run.now - began < 0.45
    assert all("was silent for 0.3 s" in reason for reason in reasons(run))
    run.run_until(lambda: False, 5.0)
    one = run.here(order(2))
    live = run.lsdb()
    assert_as_central(one, run.run_episode(one), live, "default")


def test_an_order_of_another_epoch_than_ospf_shows_is_not_followed() -> None:
    run = network()
    run.link_down(LINK)
    run.run_until(lambda: False, 1.0)
    run.start(order())
    assert run.run_until(run.all_ended, 2.0)
    assert all("the topology has changed" in reason for reason in reasons(run))
    run.link_up(LINK)
    assert run.run_until(run.ready, 5.0)
    run.start(replace(order(2), down=(LINK,)))
    assert run.run_until(run.all_ended, 2.0)
    assert all("is up" in reason for reason in reasons(run))
    np.testing.assert_array_equal(run.costs, LIVE)


def test_members_that_are_not_connected_abort_cleanly() -> None:
    run = network()
    neighbours = GBN.dst[GBN.out_links(16)].tolist()
    run.down |= set(neighbours)
    run.run_until(lambda: False, 1.0)
    run.start(run.here(order()))
    assert run.run_until(run.all_ended, 2.0)
    assert all("the live agents are not connected" in reason for reason in reasons(run))


def test_an_agent_that_crashes_or_is_stopped_ends_the_episode_and_the_others_go_on_without_it() -> None:
    run = network()
    run.start(order(steps=1000))
    stepped(run, 3, 2)
    run.down.add(3)
    began = run.now
    assert run.run_until(run.all_ended, 2.0)
    assert run.now - began < 0.45
    assert all(reason.startswith(f"{GBN.nodes[3]} was silent for 0.3") for reason in reasons(run))
    one = run.here(order(2))
    ends = run.run_episode(one)
    assert_as_central(one, ends, LIVE, "default")
    # It was only stopped. What it says now belongs to an episode, and to sessions, that are over.
    before = run.costs.copy()
    refused = [agent.refused_frames() for agent in run.agents]
    run.down.discard(3)
    run._fire(3, run.agents[3])
    run._timers[3] = -1.0
    run._pump(3)
    assert run.run_until(lambda: 3 in run.ended and run.ready(), 5.0)
    assert run.ended[3].status == "aborted"
    np.testing.assert_array_equal(run.costs, before)
    assert sum(agent.refused_frames() for agent in run.agents) >= sum(refused)
    live = run.lsdb()
    three = order(3, start=inverse_capacity(GBN) + 1)
    ends = run.run_episode(three)
    assert {(end.status, end.digest) for end in ends} == {(ends[0].status, ends[0].digest)}
    assert ends[0].digest != order(3).digest(GBN, live).value


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_restarted_agent_is_noticed_at_once(loss: float) -> None:
    run = network(Impairment(loss=loss), timing=PATIENT)
    run.start(order(steps=1000))
    stepped(run, 5, 2)
    began = run.now
    run.restart(5)
    run.ended[5] = EpisodeEnded(1, "aborted", "", b"", 0, 0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, LIVE)
    assert run.run_until(run.all_ended, 2.0)
    assert run.now - began < (0.1 if loss == 0 else 1.0)
    told = {end.reason for router, end in run.ended.items() if router != 5}
    assert all(GBN.nodes[5] in reason for reason in told), told


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("router", [0, 8, 16])
def test_who_refuses_tells_the_others(router: int, loss: float) -> None:
    run = network(Impairment(loss=loss), timing=PATIENT)
    run.agents[router].refuse_episode(1, "another checkpoint", run.now)
    run._pump(router)
    run.start(order(), [other for other in range(GBN.num_nodes) if other != router])
    began = run.now
    assert run.run_until(run.all_ended, 4.0)
    assert run.now - began < 2.0
    assert reasons(run) == {f"{GBN.nodes[router]} refuses: another checkpoint"}


@pytest.mark.parametrize("seed", range(4))
def test_an_abort_reaches_everybody_however_much_is_lost(seed: int) -> None:
    run = network(Impairment(loss=0.25), seed, timing=PATIENT)
    run.start(order(steps=1000))
    stepped(run, 16, 1)
    run.agents[16].abort("enough", run.now)
    run._pump(16)
    assert run.run_until(run.all_ended, 3.0)
    assert len(run.ended) == GBN.num_nodes
    run.run_until(lambda: False, 12.0)
    assert all(not agent._aborts._unaware for agent in run.agents)


# Commits


def wave_orders(run: VirtualNetwork) -> list[SetCosts]:
    return [event for _, router, event in run.events if router == 0 and isinstance(event, SetCosts)]


def test_a_commit_goes_in_waves_that_all_see_before_the_next_begins() -> None:
    run = network()
    ends = run.run_episode(order())
    assert {(end.status, end.began) for end in ends} == {("committed", True)}
    waves = wave_orders(run)
    assert len(waves) > 1
    np.testing.assert_array_equal(waves[-1].weights, ends[0].best_weights)
    assert {end.costs_changed for end in ends} == {int(np.count_nonzero(ends[0].best_weights != LIVE))}
    asked = [(when, event) for when, _, event in run.events if isinstance(event, SetCosts)]
    for earlier, later in pairwise(waves):
        last = max(when for when, event in asked if np.array_equal(event.weights, earlier.weights))
        first = min(when for when, event in asked if np.array_equal(event.weights, later.weights))
        assert first > last


def test_a_failing_wave_is_taken_back_wave_by_wave() -> None:
    run = network()
    calls = {"n": 0}

    def problem(router: int, event: SetCosts) -> str:
        calls["n"] += router == 7
        return "ospfd is gone" if router == 7 and calls["n"] == 3 else ""

    run.cost_problem = problem
    ends = run.run_episode(order())
    assert {(end.status, end.reason) for end in ends} == {("aborted", "ospfd is gone")}
    np.testing.assert_array_equal(run.costs, LIVE)
    weights = [event.weights.tolist() for event in wave_orders(run)]
    assert weights[3:] == [weights[1], weights[0], LIVE.tolist()]


def restored(run: VirtualNetwork) -> None:
    """Do what the coordinator does: once all are back, restore the side that the results tell."""
    began = [end for end in run.ended.values() if end.began]
    for router in sorted(run.down):
        run.restart(router)
    if began:
        committed = [end for end in began if end.status == "committed"]
        wanted = committed[0].best_weights if committed else began[0].live_weights
        one = order(9, steps=0, restore=True, start=wanted)
        ends = run.run_episode(one)
        assert {end.status for end in ends} <= {"committed", "kept"}, reasons(run)
        np.testing.assert_array_equal(run.costs, wanted)
    else:
        np.testing.assert_array_equal(run.costs, LIVE)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("router", [0, 7, 8])
def test_a_crash_at_any_point_of_a_commit_ends_all_old_or_all_new(router: int, ordered: bool) -> None:
    straight = network()
    straight.run_episode(order(ordered=ordered))
    moments = [when for when, _, event in straight.events if isinstance(event, SetCosts)]
    first, last = min(moments), max(moments)
    for share in np.linspace(-0.1, 1.3, 15):
        run = network()
        run.start(order(ordered=ordered))
        run.run_until(lambda: False, first + share * (last - first + 0.05) - run.now)
        run.down.add(router)
        run.ended.pop(router, None)
        assert run.run_until(run.all_ended, 60.0), run.waiting()
        alive = {end.status for end in run.ended.values()}
        assert len(alive) == 1, (share, alive)
        restored(run)


def test_whatever_dies_in_a_commit_the_others_are_done_within_moments() -> None:
    straight = network()
    straight.run_episode(order())
    last = max(when for when, _, event in straight.events if isinstance(event, SetCosts))
    for router in (0, 7, 8):
        for after in (0.001, 0.01, 0.02, 0.03):
            run = network()
            run.start(order())
            run.run_until(lambda: False, last + after - run.now)
            run.down.add(router)
            run.ended.pop(router, None)
            died = run.now
            assert run.run_until(run.all_ended, 60.0), run.waiting()
            assert run.now - died < TIMING.dead_s + TIMING.hello_s + TIMING.doubt_s, reasons(run)


@pytest.mark.parametrize("away_s", [0.05, 1.0])
def test_a_restarted_agent_that_is_told_of_an_episode_that_is_over_does_not_wait_for_it(away_s: float) -> None:
    run = network()
    assert {end.status for end in run.run_episode(order())} == {"committed"}
    run.down.add(5)
    run.run_until(lambda: False, away_s)
    run.restart(5)
    assert run.run_until(run.ready, 5.0)
    began = run.now
    run.start(order(), [5])
    assert run.run_until(run.all_ended, 5.0)
    assert run.now - began < 0.2
    assert run.ended[5].reason == f"the agent of {GBN.nodes[5]} was restarted"
    assert {end.status for router, end in run.ended.items() if router != 5} == {"committed"}
    assert run.run_until(lambda: not any(agent._aborts._unaware for agent in run.agents), 5.0)


class RootDies(VirtualNetwork):
    """The root's last word, that the commit is done, reaches only `heard` of its children; then it is gone."""

    heard = 0

    def _transmit(self, sender: int, receiver: int, data: bytes) -> None:
        agent = self.agents[sender]
        if agent.is_root and agent._run is not None and agent._run.phase is Phase.ENDED:
            self.heard -= 1
            if self.heard < 0:
                return
        super()._transmit(sender, receiver, data)


@pytest.mark.parametrize("heard", [0, 1, 2])
def test_a_root_that_dies_between_telling_some_and_others_splits_nobody(heard: int) -> None:
    chosen = checkpoint("default")
    run = RootDies(GBN, Network(chosen.preset, chosen.parameters), LIVE, timing=TIMING)
    assert run.run_until(run.ready, 5.0)
    run.heard = heard
    root = next(router for router, agent in enumerate(run.agents) if agent.is_root)
    run.start(order())
    assert run.run_until(lambda: root in run.ended, 10.0)
    run.down.add(root)
    run.ended.pop(root)
    assert run.run_until(run.all_ended, 60.0), run.waiting()
    assert {end.status for end in run.ended.values()} == {"committed"}
    assert any("the LSDB shows all new costs" in reason for reason in reasons(run))
    np.testing.assert_array_equal(run.costs, next(iter(run.ended.values())).best_weights)


def test_a_stale_abort_does_not_undo_a_commit() -> None:
    run = network()
    root = next(router for router, agent in enumerate(run.agents) if agent.is_root)
    run.start(order())
    assert run.run_until(lambda: root in run.ended, 10.0)
    waiting = next(router for router in range(GBN.num_nodes) if router not in run.ended)
    run.agents[waiting].abort("superseded", run.now)
    run._pump(waiting)
    assert run.run_until(run.all_ended, 10.0)
    assert {end.status for end in run.ended.values()} == {"committed"}


def test_a_cost_set_by_hand_ends_the_episode_and_is_live_in_the_next() -> None:
    run = network()
    run.start(order(steps=1000))
    stepped(run, 2, 2)
    run.set_by_hand(9, 17)
    assert run.run_until(run.all_ended, 1.0)
    assert reasons(run) == {f"the cost of {GBN.link_name(9)} was changed from {LIVE[9]} to 17 by hand"}
    assert run.costs[9] == 17
    live = run.lsdb()
    ends = run.run_episode(order(2))
    assert ends[0].mlu_live == RoutingState(GBN, TRAFFIC, live).mlu


def test_a_cost_set_by_hand_during_a_commit_wins() -> None:
    run = network()
    run.start(order())
    assert run.run_until(lambda: len(wave_orders(run)) == 2, 10.0)
    run.set_by_hand(9, 777)
    assert run.run_until(run.all_ended, 20.0)
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert any("by hand" in reason for reason in reasons(run))
    assert run.costs[9] == 777
    others = np.arange(GBN.num_links) != 9
    np.testing.assert_array_equal(run.costs[others], LIVE[others])
