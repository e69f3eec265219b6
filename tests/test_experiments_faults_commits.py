"""What the judge says of orders that come when others have gone on: by the record of their own episode."""

import numpy as np
import pytest

from agent.control import Start
from agent.events import SetCosts
from experiments.faults_commits import Commits
from experiments.faults_trial import small_network
from experiments.virtual_ospf import Area
from experiments.virtual_time import World

NET = small_network(0)
MINE, OTHER = NET.out_links(3).start, NET.out_links(0).start  # a link of the router that is stopped, and another's


class Watch:
    """Commits of a network whose costs are all 5; each episode brings some links to other costs."""

    def __init__(self) -> None:
        self.area = Area(World(1), NET, np.full(NET.num_links, 5, dtype=np.int64))
        self.found: list[str] = []
        self.commits = Commits(self.area, self.found.append)
        self.area.observers.append(lambda router, link, _, new: self.commits.set_by(router, link, new))

    def order(
        self,
        episode: int,
        costs: dict[int, int],
        *,
        undo: bool = False,
        down: tuple[int, ...] = (),
        absent: tuple[int, ...] = (),
        restore: bool = False,
    ) -> None:
        weights = self.area.costs.copy()
        weights[list(costs)] = list(costs.values())
        event = SetCosts(episode, costs, weights, undo=undo)
        start = Start(
            episode=episode,
            seed=1,
            steps=0 if restore else 1,
            topology="",
            checkpoint="",
            traffic=b"",
            start_weights=b"",
            down=list(down),
            absent=list(absent),
            restore=restore,
        )
        self.commits.order(self.commits.find(episode) or self.commits.begin(event, start), event)

    def carry_out(self, costs: dict[int, int]) -> None:
        for link, cost in costs.items():
            self.area.set_cost(link, cost)

    def half_begun(self, cost: int = 7) -> None:
        """Let the stopped router set its cost in episode 1, and all others go back."""
        self.order(1, {MINE: cost, OTHER: 9})
        self.carry_out({MINE: cost})

    def go_on_without(self, *, carried_out: bool, episode: int = 2) -> None:
        """Let the others begin another episode, which is carried out or goes back."""
        absent = (int(NET.src[MINE]),)
        self.order(episode, {OTHER: 8}, absent=absent)
        self.carry_out({OTHER: 8})
        if not carried_out:
            self.order(episode, {OTHER: 5}, undo=True)
            self.carry_out({OTHER: 5})

    def wrong(self) -> list[str]:
        return list(self.commits.half_done())


def test_an_order_belongs_to_its_own_episode_whatever_has_begun_since() -> None:
    watch = Watch()
    watch.order(1, {MINE: 7})
    watch.go_on_without(carried_out=True)
    before = watch.commits.begun[-1].old.copy()
    watch.order(1, {MINE: 5}, undo=True)  # it had set nothing yet: nothing is to be done
    watch.order(2, {OTHER: 8})
    assert [commit.episode for commit in watch.commits.begun] == [1, 2]
    np.testing.assert_array_equal(watch.commits.begun[-1].old, before)
    assert watch.found == watch.wrong() == []


def test_a_late_first_order_opens_a_record_before_the_later_ones() -> None:
    watch = Watch()
    watch.go_on_without(carried_out=True)
    watch.order(1, {MINE: 7})
    assert [commit.episode for commit in watch.commits.begun] == [1, 2]
    watch.carry_out({MINE: 7})
    assert watch.found == [f"n3 set {NET.link_name(MINE)} to 7 for episode 1, which 2 has left behind"]


def test_going_back_late_from_what_a_later_commit_has_settled_has_to_be_made_good() -> None:
    watch = Watch()
    watch.half_begun()
    watch.go_on_without(carried_out=True)
    assert watch.wrong() == []  # it reckons with 7
    watch.order(1, {MINE: 5}, undo=True)
    watch.carry_out({MINE: 5})
    assert watch.found == []
    missing = f"episode 2 is half committed: 1 of 1 changes are in ({NET.link_name(MINE)} 5, not 7)"
    assert watch.wrong() == [missing]
    away = np.isin(NET.src, [NET.src[MINE]])
    assert list(watch.commits.half_done(away)) == [missing]  # that its agent is away is no excuse
    watch.order(3, {MINE: 7}, restore=True)
    watch.carry_out({MINE: 7})
    assert watch.found == watch.wrong() == []


def test_going_back_late_is_right_if_the_later_commit_has_gone_back_too() -> None:
    watch = Watch()
    watch.half_begun()
    watch.go_on_without(carried_out=False)
    watch.order(1, {MINE: 5}, undo=True)
    watch.carry_out({MINE: 5})
    assert watch.found == watch.wrong() == []


def test_going_on_late_is_wrong_at_once_even_if_it_is_taken_back() -> None:
    watch = Watch()
    watch.order(1, {MINE: 7})
    watch.go_on_without(carried_out=True)
    watch.carry_out({MINE: 7})
    assert watch.found == [f"n3 set {NET.link_name(MINE)} to 7 for episode 1, which 2 has left behind"]
    watch.order(1, {MINE: 5}, undo=True)
    watch.carry_out({MINE: 5})
    assert len(watch.found) == 1 and watch.wrong() == []


def test_a_part_that_was_cut_off_goes_back_on_links_with_which_nobody_else_reckoned() -> None:
    watch = Watch()
    out = NET.out_links(3)
    watch.order(1, {MINE: 7, OTHER: 9})
    watch.carry_out({MINE: 7, OTHER: 9})
    watch.order(1, {OTHER: 5}, undo=True)
    watch.carry_out({OTHER: 5})
    for episode in range(2, 6):
        watch.order(episode, {OTHER: 4 + episode}, down=tuple(range(out.start, out.stop)))
        watch.carry_out({OTHER: 4 + episode})
    assert watch.wrong() == []  # alone, it may still be all new
    watch.order(1, {MINE: 5}, undo=True)
    watch.carry_out({MINE: 5})
    assert watch.found == watch.wrong() == []
    watch.area.set_cost(MINE, 6)
    assert watch.found == [f"n3 set {NET.link_name(MINE)} to 6, which no commit has ordered"]
    assert len(watch.wrong()) == 1


def test_a_cost_that_was_there_before_has_to_be_ordered_too() -> None:
    watch = Watch()
    watch.half_begun()
    watch.carry_out({MINE: 5})
    assert watch.found == [f"n3 set {NET.link_name(MINE)} to 5, which no commit has ordered"]


def test_nobody_goes_back_to_what_was_not_there() -> None:
    watch = Watch()
    watch.half_begun()
    watch.order(1, {MINE: 4}, undo=True)
    assert watch.found == [f"episode 1 goes back to 4 on {NET.link_name(MINE)}, which it did not have"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_commit_that_restores_has_to_reach_all_its_costs_but_those_that_were_set_by_hand(by_hand: bool) -> None:
    watch = Watch()
    watch.half_begun()
    watch.order(2, {MINE: 5}, restore=True)
    assert len(watch.wrong()) == 2  # neither what was half done is on a side, nor what was to restore it done
    if by_hand:
        watch.commits.set_by_hand(MINE)
    else:
        watch.carry_out({MINE: 5})
    assert watch.found == watch.wrong() == []


def test_what_is_restored_on_some_links_only_leaves_the_older_commit_half_done() -> None:
    watch = Watch()
    watch.order(1, {MINE: 7, OTHER: 9})
    watch.carry_out({MINE: 7, OTHER: 9})
    watch.order(2, {MINE: 5}, restore=True)
    watch.carry_out({MINE: 5})
    assert watch.found == []
    assert watch.wrong() == [f"episode 1 is half committed: 1 of 2 changes are in ({NET.link_name(MINE)} 5, not 7)"]
