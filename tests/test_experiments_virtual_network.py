"""The network in one process: the same seed gives the same run, and links do what they are told to."""

import numpy as np
import pytest
from policy_networks import random_topology

from agent.events import EpisodeEnded, StepDone
from agent.order import Order
from agent.waiting import Timing
from experiments.virtual_network import Impairment, VirtualNetwork
from policy.checkpoint import make_checkpoint, random_parameters
from policy.mpnn import Network
from policy.preset import PRESETS
from routing.state import inverse_capacity
from routing.traffic import uniform

NET = random_topology(6, 3, 1)
CHECKPOINT = make_checkpoint(PRESETS["default"], random_parameters(PRESETS["default"], 1))
COSTS = np.full(NET.num_links, 7, dtype=np.int64)
ORDER = Order(
    episode=1,
    seed=2,
    steps=5,
    increments=1,
    temperature_milli=1000,
    share="candidate",
    ecmp=True,
    margin_milli=1000,
    checkpoint=CHECKPOINT.hash,
    traffic=uniform(NET, 1),
    start=inverse_capacity(NET),
)
EVERYTHING = Impairment(loss=0.1, duplication=0.3, corruption=0.05, reordering=0.2)


def network(impairment: Impairment | None = None, seed: int = 0, delay_s: float | None = None) -> VirtualNetwork:
    delays = None if delay_s is None else np.full(NET.num_links, delay_s)
    engine = Network(CHECKPOINT.preset, CHECKPOINT.parameters)
    return VirtualNetwork(NET, engine, COSTS, impairment=impairment, seed=seed, delays=delays)


def history(run: VirtualNetwork) -> list[tuple[float, int, str]]:
    return [(at, router, repr(event)) for at, router, event in run.events]


def test_the_same_seed_is_the_same_run_to_the_last_event() -> None:
    runs = [network(EVERYTHING, seed) for seed in (5, 5, 6)]
    for run in runs:
        run.run_episode(ORDER)
    assert history(runs[0]) == history(runs[1]) != history(runs[2])
    assert (runs[0].frames, runs[0].now) == (runs[1].frames, runs[1].now)


def test_time_is_what_links_take() -> None:
    short, long = network(delay_s=0.001), network(delay_s=0.01)
    took = [run.run_episode(ORDER)[0].episode_s for run in (short, long)]
    assert took[1] == pytest.approx(10 * took[0])
    # Per step: as many rounds as the policy has, at least, and a pass up and down.
    assert took[0] >= ORDER.steps * 0.001 * (CHECKPOINT.preset.rounds + 2)


@pytest.mark.parametrize(
    ("impairment", "per_frame"),
    [
        (Impairment(), 1.0),
        (Impairment(loss=1.0), 0.0),
        (Impairment(loss=0.25), 0.75),
        (Impairment(duplication=1.0), 2.0),
        (Impairment(loss=0.5, duplication=0.5), 0.75),
    ],
)
def test_loss_and_duplication_have_their_rates(impairment: Impairment, per_frame: float) -> None:
    run = network(impairment)
    run.run_until(lambda: False, 0.5)
    run.down.update(range(NET.num_nodes))
    queued = len(run._queue)
    for _ in range(4000):
        run._transmit(0, int(NET.dst[0]), b"datagram")
    assert len(run._queue) - queued == pytest.approx(4000 * per_frame, rel=0.05)


def test_corruption_changes_one_byte() -> None:
    run = network(Impairment(corruption=1.0))
    for _ in range(100):
        damaged = run._corrupted(bytes(20))
        assert len(damaged) == 20
        assert sum(byte != 0 for byte in damaged) == 1
    assert network()._corrupted(bytes(20)) == bytes(20)


def test_reordering_delays_by_up_to_its_depth() -> None:
    run = network(Impairment(reordering=1.0, reorder_depth=8, delay_s=0.001))
    run._queue.clear()
    for _ in range(300):
        run._transmit(0, int(NET.dst[0]), b"datagram")
    delays = sorted({round((at - run.now) * 1000) for at, _, _ in run._queue})
    assert delays == list(range(2, 10))


def test_without_links_nothing_is_ever_ready() -> None:
    run = network(Impairment(loss=1.0))
    with pytest.raises(TimeoutError, match=r"no sessions after 5\.0 s"):
        run.run_episode(ORDER, 5.0)
    assert run.now <= 5.0


def test_a_router_that_is_down_hears_and_says_nothing() -> None:
    run = network()
    assert run.run_until(run.ready, 1.0)
    run.down.add(2)
    before = len(run.events)
    run.run_until(lambda: False, 10.0)
    assert all(router != 2 for _, router, _ in run.events[before:])
    run.restart(2)
    assert run.run_until(run.ready, 5.0)
    run.run_episode(ORDER)


def test_things_can_be_done_at_a_moment() -> None:
    run = network()
    done: list[float] = []
    run.at(0.25, lambda: done.append(run.now))
    run.run_until(lambda: bool(done), 1.0)
    run.at(0.1, lambda: done.append(run.now))  # past: now
    run.run_until(lambda: len(done) == 2, 1.0)
    assert done == [0.25, 0.25]


def test_events_are_kept_with_their_time_and_router() -> None:
    run = network()
    ends = run.run_episode(ORDER)
    times = [at for at, _, _ in run.events]
    assert times == sorted(times)
    steps = [event.step for _, router, event in run.events if router == 3 and isinstance(event, StepDone)]
    assert steps == list(range(ORDER.steps + 1))
    assert [event for _, router, event in run.events if router == 3 and isinstance(event, EpisodeEnded)] == [ends[3]]
    np.testing.assert_array_equal(run.costs, COSTS)


def test_who_waits_for_whom_is_told_when_an_episode_does_not_end() -> None:
    engine = Network(CHECKPOINT.preset, CHECKPOINT.parameters)
    run = VirtualNetwork(NET, engine, COSTS, timing=Timing(dead_s=100.0, stall_s=200.0))
    assert run.run_until(run.ready, 1.0)
    run.down.add(1)
    with pytest.raises(TimeoutError, match=r"episode not ended after 3.0 s: .*'exchanging hidden states', 'n1'"):
        run.run_episode(ORDER, 3.0)
