"""All agents of a network on virtual links: the same decisions as the central engine, whatever the links do."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from numpy.typing import NDArray
from policy_networks import preset, random_arrays, random_topology

from agent.events import EpisodeEnded, NeighborSilent, NeighborUp, SetCosts, StepDone
from agent.messages import MAX_DATAGRAM
from agent.order import Order
from agent.overhead import Overhead, sent_since
from agent.protocol import AgentProtocol
from agent.waiting import Timing
from experiments.virtual_network import Impairment, VirtualNetwork
from policy.checkpoint import Checkpoint, make_checkpoint, random_parameters
from policy.episode import run_episode
from policy.mpnn import Network
from policy.preset import PRESETS
from policy.trace import EpisodeTrace
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import uniform

GBN = load_topology("gbn")
TRAFFIC = uniform(GBN, 1)
START = inverse_capacity(GBN)
LIVE = initial_weights("random:4", GBN)  # worse than the start, so there is something to commit
QUICK = Timing(stall_s=4.0)
STEPS = 6


@cache
def checkpoint(name: str = "default") -> Checkpoint:
    if name == "no rounds":
        chosen = preset(rounds=0)
        return make_checkpoint(chosen, random_arrays(chosen, 3))
    return make_checkpoint(PRESETS[name], random_parameters(PRESETS[name], 3))


def order(episode: int = 1, **changes: object) -> Order:
    one = Order(
        episode=episode,
        seed=7,
        steps=STEPS,
        increments=1,
        temperature_milli=1000,
        share="candidate",
        ecmp=True,
        margin_milli=10,
        checkpoint=checkpoint().hash,
        traffic=TRAFFIC,
        start=START,
        ordered=False,
    )
    return replace(one, **changes)  # type: ignore[arg-type]


class Recorded(VirtualNetwork):
    """Counts what crosses each link; OSPF may fail, hang, or be slow."""

    answer_after_s: float | None = 0.02

    def __init__(self, topology: Topology, network: Network, costs: NDArray[np.int64], **options: object) -> None:
        self.crossed = {link: Overhead() for link in range(topology.num_links)}
        self.log: list[tuple[int, int, bytes]] = []
        self.costs_written: list[tuple[int, bool]] = []
        self.busy_until: dict[int, float] = {}
        super().__init__(topology, network, costs, **options)  # type: ignore[arg-type]

    def _transmit(self, sender: int, receiver: int, data: bytes) -> None:
        assert len(data) <= MAX_DATAGRAM
        count = self.crossed[self.topology.link_index(sender, receiver)]
        count.frames += 1
        count.bytes += len(data)
        self.log.append((sender, receiver, data))
        super()._transmit(sender, receiver, data)

    def _set_costs(self, router: int, event: SetCosts) -> None:
        self.costs_written.append((router, event.undo))
        if self.answer_after_s == 0.02:
            super()._set_costs(router, event)
        elif self.answer_after_s is not None:
            busy_s = max(0.0, self.busy_until.get(router, 0.0) - self.now)  # one after the other, as the program does
            self.busy_until[router] = self.now + busy_s + self.answer_after_s
            self.at(self.busy_until[router] - 0.02, partial(self._late, router, self.agents[router], event))

    def _late(self, router: int, agent: AgentProtocol, event: SetCosts) -> None:
        if self.agents[router] is agent and router not in self.down:
            super()._set_costs(router, event)


def network(
    impairment: Impairment | None = None, seed: int = 0, policy: str = "default", live: NDArray[np.int64] = LIVE
) -> Recorded:
    chosen = checkpoint(policy)
    engine = Network(chosen.preset, chosen.parameters)
    return Recorded(GBN, engine, live, impairment=impairment, seed=seed, timing=QUICK)


def central(one: Order, topology: Topology = GBN, policy: str = "default") -> EpisodeTrace:
    return run_episode(
        topology,
        one.traffic,
        one.start,
        checkpoint(policy),
        steps=one.steps,
        seed=one.seed,
        temperature=one.temperature_milli / 1000,
        increments=one.increments,
        opening=one.opening,
        patience=one.patience,
        ecmp=one.ecmp,
    )


def assert_as_central(
    one: Order,
    ends: Sequence[EpisodeEnded],
    topology: Topology = GBN,
    policy: str = "default",
    live: NDArray[np.int64] = LIVE,
) -> None:
    trace = central(one, topology, policy)
    chain = one.digest(topology, live)
    for links, scores in zip(trace.actions.tolist(), trace.scores.tolist(), strict=True):
        chain.extend(links, scores)
    assert len(ends) == topology.num_nodes
    for end in ends:
        assert (end.episode, end.steps, end.best_step) == (one.episode, len(trace.actions), trace.best_step)
        assert end.digest == chain.value
        assert [list(step.links) for step in end.trace[1:]] == trace.actions.tolist()
        assert [step.mlu for step in end.trace] == trace.mlu.tolist()
        assert [step.step for step in end.trace] == list(range(len(trace.mlu)))
        assert end.mlu_best == trace.best_mlu
        np.testing.assert_array_equal(end.best_weights, trace.best_weights)


def assert_committed(run: VirtualNetwork, ends: Sequence[EpisodeEnded]) -> None:
    assert {(end.status, end.reason) for end in ends} == {("committed", "")}
    np.testing.assert_array_equal(run.costs, ends[0].best_weights)
    assert {end.costs_changed for end in ends} == {int((ends[0].best_weights != LIVE).sum())}


@pytest.mark.parametrize("share", ["candidate", "logits"])
@pytest.mark.parametrize("policy", ["default", "moves", "paper", "no rounds"])
@pytest.mark.parametrize(("increments", "ecmp", "temperature"), [(1, True, 1000), (2, True, 300), (1, False, 2000)])
def test_the_routers_decide_what_the_central_engine_decides(
    share: str, policy: str, increments: int, ecmp: bool, temperature: int
) -> None:
    one = order(
        share=share,
        checkpoint=checkpoint(policy).hash,
        increments=increments,
        ecmp=ecmp,
        temperature_milli=temperature,
        steps=4,
    )
    run = network(policy=policy)
    ends = run.run_episode(one)
    assert_as_central(one, ends, policy=policy)
    assert_committed(run, ends)


def test_links_that_fall_fall_alike_everywhere() -> None:
    one = order(checkpoint=checkpoint("moves").hash, temperature_milli=1000, steps=30)
    run = network(policy="moves")
    ends = run.run_episode(one)
    assert_as_central(one, ends, policy="moves")
    assert_committed(run, ends)
    changes = ends[0].best_weights - one.start
    assert (changes < 0).any() and (changes > 0).any()


@pytest.mark.parametrize(
    "impairment",
    [
        Impairment(loss=0.01),
        Impairment(loss=0.05),
        Impairment(loss=0.1),
        Impairment(duplication=0.5),
        Impairment(reordering=0.5, reorder_depth=64),
        Impairment(corruption=0.1),
        Impairment(loss=0.1, duplication=0.5, reordering=0.3, reorder_depth=64, corruption=0.02),
    ],
    ids=["loss 1 %", "loss 5 %", "loss 10 %", "duplication", "reordering", "corruption", "everything"],
)
@pytest.mark.parametrize("share", ["candidate", "logits"])
def test_impaired_links_change_nothing_but_the_time(impairment: Impairment, share: str) -> None:
    one = order(share=share)
    for seed in range(3):
        run = network(impairment, seed)
        ends = run.run_episode(one)
        assert_as_central(one, ends)
        assert_committed(run, ends)
        if impairment.corruption:
            assert sum(agent.refused_frames() for agent in run.agents) > 0


@pytest.mark.parametrize("seed", range(4))
def test_any_network_and_any_delays(seed: int) -> None:
    topology = random_topology(4 + 3 * seed, 2 * seed, seed)
    random = np.random.default_rng(seed)
    costs = random.integers(1, 5, topology.num_links)
    one = order(traffic=uniform(topology, seed), start=inverse_capacity(topology), margin_milli=1000)
    chosen = checkpoint()
    run = Recorded(
        topology,
        Network(chosen.preset, chosen.parameters),
        costs,
        impairment=Impairment(loss=0.05, reordering=0.2),
        delays=random.uniform(1e-4, 0.05, topology.num_links),
        seed=seed,
    )
    assert_as_central(one, run.run_episode(one), topology, live=costs)


def test_without_loss_each_frame_is_sent_once() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    before = [agent.overhead() for agent in run.agents]
    one = order(margin_milli=1000)  # no commit: while OSPF works, whoever waits asks again
    run.run_episode(one)
    rounds = checkpoint().preset.rounds
    sharing = 0
    for agent, earlier in zip(run.agents, before, strict=True):
        for counters in sent_since(earlier, agent.overhead()):
            assert counters.retransmitted_frames == 0
            assert counters.hidden_bytes > 32 * one.steps * rounds
            hidden_frames = one.steps * rounds
            assert counters.frames >= hidden_frames
            sharing += counters.frames - hidden_frames
    # T passes of sharing and PREPARE: 2 (N - 1) frames each; and no hello is needed meanwhile.
    assert sharing == (one.steps + 1) * 2 * (GBN.num_nodes - 1)


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_counters_equal_what_was_transmitted(loss: float) -> None:
    run = network(Impairment(loss=loss, duplication=0.2))
    for episode in (1, 2):
        run.run_episode(order(episode))
    for agent in run.agents:
        for link, counted in agent.overhead().items():
            crossed = run.crossed[link]
            assert (counted.frames, counted.bytes) == (crossed.frames, crossed.bytes)
            assert counted.hidden_bytes + counted.sharing_bytes + counted.control_bytes == counted.bytes
            assert (counted.retransmitted_frames > 0) or loss == 0
            assert counted.retransmitted_bytes < counted.bytes


@pytest.mark.parametrize("delay_s", [0.001, 0.02])
def test_hardly_a_frame_is_sent_twice_without_loss_however_long_the_links_are(delay_s: float) -> None:
    run = network(Impairment(delay_s=delay_s))
    run.run_episode(order(steps=40, margin_milli=1000))
    total = sum(counted.frames for agent in run.agents for counted in agent.overhead().values())
    again = sum(counted.retransmitted_frames for agent in run.agents for counted in agent.overhead().values())
    assert again < 0.01 * total


@pytest.mark.parametrize(("loss", "times"), [(0.01, 1.5), (0.1, 4.0)])
@pytest.mark.parametrize("delay_s", [0.001, 0.005])
def test_loss_lengthens_no_episode_by_much(loss: float, times: float, delay_s: float) -> None:
    def seconds(impairment: Impairment) -> list[float]:
        run = network(impairment)
        return [run.run_episode(order(number, steps=25))[0].episode_s for number in range(1, 4)]

    assert max(seconds(Impairment(loss=loss, delay_s=delay_s))) < times * min(seconds(Impairment(delay_s=delay_s)))


def test_a_network_that_has_lost_frames_is_spoken_to_twice_until_that_is_long_ago() -> None:
    run = network(Impairment(loss=0.1))
    run.run_episode(order(1))
    run.impairment = Impairment()
    repeated = []
    for number in range(2, 7):
        before = [agent.overhead() for agent in run.agents]
        run.run_episode(order(number, steps=40, margin_milli=1000))
        counted = [
            c for agent, earlier in zip(run.agents, before, strict=True) for c in sent_since(earlier, agent.overhead())
        ]
        repeated.append(min(counters.retransmitted_frames for counters in counted))
    assert repeated[0] >= 40  # the last round of each step
    assert repeated[-1] == 0


@pytest.mark.parametrize("share", ["candidate", "logits"])
@pytest.mark.parametrize("policy", ["default", "no rounds"])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_all_stop_at_the_same_step_when_nothing_better_comes(share: str, policy: str, loss: float) -> None:
    one = order(steps=60, patience=4, share=share, checkpoint=checkpoint(policy).hash)
    run = network(Impairment(loss=loss), policy=policy)
    ends = run.run_episode(one)
    assert_as_central(one, ends, policy=policy)
    assert_committed(run, ends)
    steps = ends[0].steps
    assert steps == ends[0].best_step + 4 < 60
    if not loss:
        frames = sum(counted.frames for agent in run.agents for counted in agent.overhead().values())
        hidden = GBN.num_links * steps * checkpoint(policy).preset.rounds
        # No more is said than in so many steps: the passes of sharing, of PREPARE and of one wave.
        assert frames - hidden - 2 * (GBN.num_nodes - 1) * (steps + 2) < 4 * GBN.num_links  # greetings


def test_who_is_less_patient_than_the_others_is_found_at_once() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    one = order(steps=60, patience=4)
    run.start(replace(one, patience=3), [5])
    run.start(one, [router for router in range(GBN.num_nodes) if router != 5])
    assert run.run_until(run.all_ended, 10.0)
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert "digests of step 0 differ" in run.ended[5].reason


def test_a_step_is_told_when_it_is_done() -> None:
    run = network()
    run.run_episode(order())
    for router in range(GBN.num_nodes):
        own = [event for _, who, event in run.events if who == router]
        assert [event.router for event in own if isinstance(event, NeighborUp)] != []
        steps = [event for event in own if isinstance(event, StepDone)]
        assert tuple(steps) == run.ended[router].trace
        (costs,) = [event for event in own if isinstance(event, SetCosts)]
        out = GBN.out_links(router)
        assert costs.costs == {link: int(run.ended[router].best_weights[link]) for link in range(out.start, out.stop)}
        assert isinstance(own[-1], EpisodeEnded)


def test_a_margin_that_is_not_reached_keeps_the_costs() -> None:
    run = network()
    ends = run.run_episode(order(margin_milli=999))
    assert {end.status for end in ends} == {"kept"}
    assert len({end.reason for end in ends}) == 1
    assert ends[0].reason.startswith("best MLU")
    assert "is not 99.9 % below the live" in ends[0].reason
    np.testing.assert_array_equal(run.costs, LIVE)
    assert run.costs_written == []


def test_what_cannot_be_computed_aborts_everywhere() -> None:
    chosen = checkpoint()
    broken = {name: np.full_like(array, np.nan) for name, array in chosen.parameters.items()}
    run = Recorded(GBN, Network(chosen.preset, broken), LIVE, timing=QUICK)
    ends = run.run_episode(order())
    assert {end.status for end in ends} == {"aborted"}
    assert all("logit 0 is nan" in end.reason for end in ends)
    assert {end.steps for end in ends} == {0}
    np.testing.assert_array_equal(run.costs, LIVE)
    assert run.costs_written == []


@pytest.mark.parametrize("router", [0, 8, 16])
def test_a_router_that_cannot_set_its_costs_rolls_all_back(router: int) -> None:
    run = network(Impairment(loss=0.02))
    name = GBN.nodes[router]
    run.cost_problem = lambda who, event: f"{name}: ospfd is gone" if who == router and not event.undo else ""
    ends = run.run_episode(order())
    assert {end.status for end in ends} == {"aborted"}
    assert {end.reason for end in ends} == {f"{name}: ospfd is gone"}
    np.testing.assert_array_equal(run.costs, LIVE)
    assert len(run.costs_written) >= 2 * GBN.num_nodes
    run.cost_problem = lambda who, event: ""
    ends = run.run_episode(order(2))
    assert_as_central(order(2), ends)
    assert_committed(run, ends)


def test_what_could_not_be_restored_is_in_the_reason() -> None:
    run = network()
    run.cost_problem = lambda who, event: "no answer" if who == 5 else ""
    ends = run.run_episode(order())
    assert {end.reason for end in ends} == {"no answer; not restored: no answer"}


def test_a_silent_neighbour_ends_the_episode_and_is_named_and_the_next_one_works() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    run.start(order(steps=1000))
    run.run_until(lambda: run.agents[3]._trace[-1].step >= 2, 5.0)
    run.down.add(3)
    began = run.now
    assert run.run_until(run.all_ended, 10.0)
    assert run.now - began < QUICK.dead_s + 0.5
    assert {end.status for end in run.ended.values()} == {"aborted"}
    for end in run.ended.values():
        assert end.reason.startswith(f"{GBN.nodes[3]} was silent for 1.")
        assert end.steps >= 1
    np.testing.assert_array_equal(run.costs, LIVE)
    assert any(isinstance(event, NeighborSilent) and event.router == GBN.nodes[3] for _, _, event in run.events)
    for agent in run.agents[:3]:
        assert agent.ready is (3 not in agent._neighbours)
    run.restart(3)
    ends = run.run_episode(order(2))
    assert_as_central(order(2), ends)
    assert_committed(run, ends)


def test_an_agent_that_was_restarted_between_episodes_takes_part_in_the_next() -> None:
    run = network(Impairment(loss=0.05, duplication=0.2))
    run.run_episode(order())
    for router in (0, 7, 8):
        run.restart(router)
    one = order(2, start=inverse_capacity(GBN), seed=8)
    live = run.costs.copy()
    ends = run.run_episode(one)
    assert_as_central(one, ends, live=live)


def test_a_router_with_other_live_weights_is_found_before_anything_is_decided() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    other = LIVE.copy()
    other[17] += 1
    for router, agent in enumerate(run.agents):
        agent.start_episode(order(), other if router == 6 else LIVE.copy(), run.now)
        run._pump(router)
    assert run.run_until(run.all_ended, 10.0)
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert all(
        f"{GBN.nodes[6]}" in end.reason and "digests of step 0 differ" in end.reason for end in run.ended.values()
    )
    assert {end.steps for end in run.ended.values()} == {0}
    np.testing.assert_array_equal(run.costs, LIVE)


def test_a_newer_episode_supersedes_a_running_one() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    run.start(order(steps=1000))
    run.run_until(lambda: run.agents[0]._trace[-1].step >= 3, 5.0)
    run.start(order(2))
    assert run.run_until(lambda: all(end.episode == 2 for end in run.ended.values()), 10.0)
    ends = [run.ended[router] for router in sorted(run.ended)]
    assert_as_central(order(2), ends)
    assert_committed(run, ends)
    first = [event for _, _, event in run.events if isinstance(event, EpisodeEnded) and event.episode == 1]
    assert len(first) == GBN.num_nodes
    assert {end.status for end in first} == {"aborted"}


def test_a_cancelled_episode_ends_everywhere_with_the_reason() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    run.start(order(steps=1000))
    run.run_until(lambda: run.agents[9]._trace[-1].step >= 1, 5.0)
    run.agents[9].abort("the coordinator was stopped", run.now)
    run._pump(9)
    assert run.run_until(run.all_ended, 1.0)
    assert {end.reason for end in run.ended.values()} == {"the coordinator was stopped"}


def test_an_episode_that_some_routers_were_not_told_of_is_aborted_and_they_are_named() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    run.start(order(), [router for router in range(GBN.num_nodes) if router != 4])
    assert run.run_until(lambda: len(run.ended) == GBN.num_nodes - 1, 10.0)
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert all(" waited 4 s for " in end.reason for end in run.ended.values())
    neighbours = [run.ended[router].reason for router in run.agents[4]._neighbours]
    assert all(f"for {GBN.nodes[4]} (exchanging hidden states)" in reason for reason in neighbours)
    run.start(order(), [4])  # late: its neighbours have told it meanwhile
    assert run.run_until(run.all_ended, 2.0)
    assert run.ended[4].status == "aborted"


def test_routers_may_be_told_one_after_the_other() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    for router in np.random.default_rng(1).permutation(GBN.num_nodes).tolist():
        run.start(order(), [router])
        run.run_until(lambda: False, 0.1)
    assert run.run_until(run.all_ended, 5.0)
    ends = [run.ended[router] for router in sorted(run.ended)]
    assert_as_central(order(), ends)
    assert_committed(run, ends)


def test_an_episode_without_sessions_is_aborted_at_once() -> None:
    run = network()
    run.down.add(2)
    run.run_until(lambda: False, 2.0)
    run.start(order())
    assert run.run_until(run.all_ended, 2.0)
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert any(end.reason.endswith(f"has no session with {GBN.nodes[2]}") for end in run.ended.values())
    assert run.costs_written == []


def test_recorded_frames_of_the_last_episode_do_no_harm_in_the_next() -> None:
    run = network()
    run.run_episode(order())
    live = run.costs.copy()
    for router in (0, 1, 2, 3):
        run.restart(router)
    assert run.run_until(run.ready, 5.0)
    recorded = list(run.log)
    one = order(2, seed=11)
    for number, (sender, receiver, data) in enumerate(recorded):
        run.at(run.now + 1e-5 * number, partial(run._deliver, sender, receiver, data))
    ends = run.run_episode(one)
    assert_as_central(one, ends, live=live)


@pytest.mark.parametrize("share", ["candidate", "logits"])
def test_memory_is_bounded_between_and_during_episodes(share: str) -> None:
    run = network(Impairment(loss=0.1, duplication=0.5))
    for episode in range(1, 6):
        run.run_episode(order(episode, share=share))
        for agent in run.agents:
            assert agent.datagrams_to_send() == []
            assert agent.next_event() is None
            assert all(len(neighbour.early) <= 4 for neighbour in agent._neighbours.values())
            assert agent._run is not None and agent._run.outbox == [] and len(agent._run.events) == 0


# Faults during a commit


def in_commit(answer_after_s: float | None = 0.02, loss: float = 0.0) -> Recorded:
    """Return a network all of whose routers have just begun to set costs, which takes `answer_after_s`."""
    run = network(Impairment(loss=loss))
    run.answer_after_s = answer_after_s
    assert run.run_until(run.ready, 5.0)
    run.start(order())
    assert run.run_until(lambda: len(run.costs_written) == GBN.num_nodes, 30.0 if loss else 5.0)
    return run


def test_a_crash_before_its_costs_are_verified_takes_the_others_back() -> None:
    run = in_commit(1.0)
    run.down.add(11)
    began = run.now
    assert run.run_until(run.all_ended, 60.0)
    assert run.now - began < 1.0 + QUICK.dead_s + 0.5
    assert {end.status for end in run.ended.values()} == {"aborted"}
    assert all(end.reason.startswith(f"{GBN.nodes[11]} was silent for ") for end in run.ended.values())
    others = np.array([link for link in range(GBN.num_links) if GBN.src[link] != 11])
    np.testing.assert_array_equal(run.costs[others], LIVE[others])


@pytest.mark.parametrize("woken_by", ["timer", "frame", "ospf", "answer", "order to stop"])
@pytest.mark.parametrize("asleep_s", [1.0, 4.0])
def test_who_was_stopped_in_a_commit_touches_no_cost_once_the_others_have_given_it_up(
    woken_by: str, asleep_s: float
) -> None:
    run = in_commit(1.0)
    run.down.add(11)
    stopped = run.now
    run.run_until(lambda: False, asleep_s)
    agent, orders = run.agents[11], len(run.costs_written)
    long = asleep_s > QUICK.dead_s
    assert agent.awake(run.now) != long
    run.down.remove(11)
    if woken_by == "timer":
        agent.handle_timer(run.now)
    elif woken_by == "frame":
        agent.receive_datagram(b"an old frame", int(GBN.dst[GBN.out_links(11).start]), run.now)
    elif woken_by == "ospf":
        agent.ospf_shows(LIVE, run.now)
    elif woken_by == "answer":
        agent.costs_set("", 1, run.now)
    else:
        agent.abort("episode 2 supersedes it", run.now)
    run._timers[11] = -1.0
    run._pump(11)
    if not long:
        assert 11 not in run.ended
        return
    end = run.ended[11]
    assert (end.status, end.began) == ("aborted", True)
    assert end.reason.startswith(f"{GBN.nodes[11]} did not run for ")
    assert end.reason.endswith(" s; it left its costs as they were then")
    assert float(end.reason.split()[5]) == pytest.approx(run.now - stopped, abs=0.4)
    assert run.run_until(run.all_ended, 60.0)
    assert not [router for router, _ in run.costs_written[orders:] if router == 11]
    assert agent.awake(run.now)


def test_who_was_stopped_before_the_commit_aborts_like_everybody() -> None:
    run = network()
    assert run.run_until(run.ready, 5.0)
    run.start(order(steps=100000))
    run.down.add(11)
    run.run_until(lambda: False, 4.0)
    run.down.remove(11)
    run.agents[11].handle_timer(run.now)
    run._pump(11)
    assert run.ended[11].reason.startswith(f"{GBN.nodes[11]} did not run for ")
    assert not run.ended[11].began


@pytest.mark.parametrize("moment_s", [0.0, 0.005, 0.021, 0.023, 0.025, 0.027, 0.03])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_who_is_told_to_stop_during_a_commit_stops_all_or_none(moment_s: float, loss: float) -> None:
    for router in (0, 9, 16):
        run = in_commit(loss=loss)
        run.run_until(lambda: False, moment_s)
        run.agents[router].abort("the coordinator was stopped", run.now)
        run._pump(router)
        assert run.run_until(run.all_ended, 60.0)
        assert len({end.status for end in run.ended.values()}) == 1
        committed = run.ended[0].status == "committed"
        np.testing.assert_array_equal(run.costs, run.ended[0].best_weights if committed else LIVE)


def test_an_answer_to_setting_costs_does_not_pass_for_one_to_restoring_them() -> None:
    """The abort comes while OSPF still writes."""
    run = in_commit(1.0)
    run.cost_problem = lambda who, event: "ospfd is gone" if who == 2 else ""  # when it comes to restoring
    run.agents[9].abort("the coordinator was stopped", run.now)
    run._pump(9)
    assert run.run_until(run.all_ended, 60.0)
    assert run.ended[2].reason == "the coordinator was stopped; not restored: ospfd is gone"
    assert {end.reason for router, end in run.ended.items() if router != 2} == {"the coordinator was stopped"}


def test_an_ospf_that_never_answers_aborts_and_does_not_spin() -> None:
    run = in_commit(None)
    frames = run.frames
    assert not run.run_until(lambda: False, 30.0)
    assert run.frames - frames < 30 * GBN.num_links * 10
    assert len(run.costs_written) == 2 * GBN.num_nodes  # the roll-back was ordered
    assert all(agent.running == 1 for agent in run.agents)  # nobody claims that it was carried out


def test_no_episode_begins_before_costs_are_restored() -> None:
    run = in_commit(0.5)
    with pytest.raises(ValueError, match="episode 1 has costs to set or to restore"):
        run.start(order(2), [5])
    run._pump(5)
    assert run.run_until(run.all_ended, 30.0)
    assert {(end.status, end.reason) for end in run.ended.values()} == {("aborted", "episode 2 supersedes it")}
    np.testing.assert_array_equal(run.costs, LIVE)
