"""All agents die in one commit, before one has told of it: what they have written down brings it to one side."""

import logging
from collections.abc import Callable

import numpy as np
import pytest

from agent.events import CommitBegun, Event
from coordinator.events import EpisodeEnded, EpisodeStarted, HalfCommitted
from experiments.faults_commits import Commit
from experiments.faults_lab import COORDINATOR, Lab
from experiments.faults_points import count_points, run_point
from experiments.faults_scenarios import FAULTS
from experiments.faults_trial import good_episode_since, make_setting, run_trial

ROUTERS = range(6)


def half_done(lab: Lab, least: int = 1) -> bool:
    """Whether at least so many changes of the newest commit are in and others are not."""
    if not lab.truth.commits:
        return False
    commit = lab.truth.commits[-1]
    now, moved = lab.area.costs, commit.old != commit.new
    return int(np.sum(now[moved] != commit.old[moved])) >= least and bool(np.any(now[moved] != commit.new[moved]))


def killed_half_way(lab: Lab, least: int = 1) -> Commit:
    """Run episodes until at least so many changes of a commit are in, not all, and kill all agents there."""
    lab.auto = True
    lab.submit()
    assert lab.wait(lambda: half_done(lab, least), 60.0)
    for router in ROUTERS:
        lab.kill(router)
    return lab.truth.commits[-1]


def boot(lab: Lab) -> None:
    for router in ROUTERS:
        if lab.processes[router].dead:
            lab.boot(router)


def settled(lab: Lab) -> None:
    """Wait until an episode has ended well that began after this, and nothing is under way."""
    if not lab.processes[COORDINATOR].program.protocol._start:
        lab.again()
    assert lab.wait(good_episode_since(lab, [lab.world.now]), 60.0)
    lab.auto = False
    lab.wait(lambda: lab.processes[COORDINATOR].program.protocol.idle, 60.0)
    lab.world.run_for(3.0)


def at_restoring(lab: Lab) -> Callable[[], bool]:
    """Whether a commit that restores costs is half done."""

    def reached() -> bool:
        return half_done(lab) and lab.truth._starts[lab.truth.commits[-1].episode].restore

    return reached


def test_the_seed_that_left_one_of_six_changes() -> None:
    trial = run_trial("crash-all-commit", FAULTS["crash-all-commit"], 41)
    assert trial.violations == [] and trial.next_s is not None


@pytest.mark.parametrize("seed", range(4))
def test_the_next_episode_that_decides_begins_on_one_side_and_the_user_is_told(seed: int) -> None:
    with Lab(make_setting(seed), seed) as lab:
        commit = killed_half_way(lab)
        lab.auto = False
        lab.world.run_for(1.0)
        before = len(lab.user)
        boot(lab)
        lab.auto = True
        assert lab.wait(lambda: any(isinstance(event, HalfCommitted) for _, event in lab.user[before:]), 5.0)
        restored = lab.wait(
            lambda: any(np.array_equal(lab.area.costs, side) for side in (commit.old, commit.new)), 10.0
        )
        assert restored
        settled(lab)
        assert lab.truth.violations == [] and lab.truth.all_old_or_new()
        named = [event.name for _, event in lab.user[before:] if isinstance(event, EpisodeStarted)]
        assert named[0] == f"restore the costs of episode {commit.episode}"


def test_what_is_restored_is_not_right_before_it_is() -> None:
    with Lab(make_setting(1), 2) as lab:
        commit = killed_half_way(lab, least=2)
        lab.world.run_for(0.5)
        boot(lab)
        assert lab.wait(lambda: lab.truth.commits[-1] is not commit, 20.0)
        assert lab.truth._starts[lab.truth.commits[-1].episode].restore
        assert np.array_equal(lab.area.costs, lab.truth.commits[-1].old)
        assert not lab.truth.all_old_or_new()
        assert lab.wait(lab.truth.all_old_or_new, 5.0)
        assert np.array_equal(lab.area.costs, commit.old)


def test_all_die_again_while_the_costs_are_restored() -> None:
    with Lab(make_setting(1), 2) as lab:
        commit = killed_half_way(lab, least=2)
        lab.world.run_for(0.5)
        boot(lab)
        assert lab.wait(at_restoring(lab), 20.0)
        for router in ROUTERS:
            lab.kill(router)
        lab.world.run_for(0.5)
        assert not np.array_equal(lab.area.costs, commit.old)
        boot(lab)
        assert lab.wait(lambda: bool(np.array_equal(lab.area.costs, commit.old)), 20.0)
        settled(lab)
        assert lab.truth.violations == [] and lab.truth.all_old_or_new()


@pytest.mark.parametrize("broker", [False, True])
def test_the_coordinator_dies_with_them(broker: bool) -> None:
    """A new one, perhaps on a broker that has forgotten everything, hears of it from the agents."""
    with Lab(make_setting(2), 3) as lab:
        commit = killed_half_way(lab)
        lab.kill(COORDINATOR)
        if broker:
            lab.broker.die()
            lab.broker.restart()
        lab.world.run_for(2.0)
        boot(lab)
        lab.world.run_for(3.0)
        assert half_done(lab)
        lab.boot(COORDINATOR)
        assert lab.wait(lambda: bool(np.array_equal(lab.area.costs, commit.old)), 10.0)
        settled(lab)
        assert lab.truth.violations == [] and lab.truth.all_old_or_new()


def test_only_one_disk_is_left() -> None:
    with Lab(make_setting(0), 5) as lab:
        commit = killed_half_way(lab)
        lab.world.run_for(0.05)
        for router in list(lab.disks):
            if router != 4:
                del lab.disks[router]
        boot(lab)
        assert lab.wait(lambda: bool(np.array_equal(lab.area.costs, commit.old)), 10.0)
        settled(lab)
        assert lab.truth.violations == []


def test_no_disk_is_left_and_the_next_episode_begins_with_what_is_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with Lab(make_setting(0), 5) as lab:
        commit = killed_half_way(lab)
        found = lab.area.costs.copy()
        for router in lab.disks:
            lab.disks[router] = b"nothing of ours"
        lab.world.run_for(1.0)
        begun: list[list[int]] = []

        def told(event: Event) -> None:
            if isinstance(event, CommitBegun) and event.episode > commit.episode:
                begun.append(event.live_weights.tolist())

        lab.truth.listeners.append(told)
        boot(lab)
        assert lab.wait(lambda: bool(begun), 20.0)
        assert begun[0] == found.tolist()
        assert caplog.text.count("the note of the last commit, disk ") == len(ROUTERS)
        assert caplog.text.count(" is ignored: damaged") == len(ROUTERS)
        (seen,) = lab.truth.violations  # the judge does not take it for right
        assert seen.invariant == "I4" and f"commits and episode {commit.episode} is half committed" in seen.what


def test_a_cost_set_by_hand_while_all_are_dead_is_left_alone() -> None:
    with Lab(make_setting(3), 4) as lab:
        commit = killed_half_way(lab)
        moved = np.flatnonzero(commit.old != commit.new)
        link = int(moved[0])
        lab.world.run_for(1.0)
        with lab.truth.by_hand():
            lab.area.set_cost(link, 4321)
        boot(lab)
        others = np.delete(np.arange(lab.topology.num_links), link)
        assert lab.wait(lambda: bool(np.array_equal(lab.area.costs[others], commit.old[others])), 10.0)
        assert lab.area.costs[link] == 4321
        settled(lab)
        assert lab.truth.violations == []


def test_who_is_told_again_of_the_episode_in_which_all_died_does_not_keep_the_others() -> None:
    """They are back before the coordinator has given the episode up; the one that has forgotten would begin it anew."""
    with Lab(make_setting(0), 5) as lab:
        commit = killed_half_way(lab)
        lab.disks.pop(2)
        died = lab.world.now
        boot(lab)
        ended: list[float] = []

        def over() -> bool:
            ended[:] = [at for at, event in lab.user if isinstance(event, EpisodeEnded) and at > died]
            return bool(ended)

        assert lab.wait(over, 5.0)
        assert ended[0] - died < 1.0
        assert lab.wait(lambda: bool(np.array_equal(lab.area.costs, commit.old)), 10.0)
        settled(lab)
        assert lab.truth.violations == []


def test_a_point_at_which_all_die_can_be_repeated_and_violates_nothing() -> None:
    number = count_points() // 2
    trial = run_point("crash-all-points", number, together=True)
    assert trial == run_point("crash-all-points", number, together=True)
    assert trial.violations == [] and trial.next_s is not None
