"""What the judge knows of commits: one record for each episode that began one, and who may set which cost when.

A commit *reckons with* the links of its epoch: those that were up, in the part that hangs together. It sets those of
its members; links of routers without an agent are in the model, with the costs that they have. A link *belongs to* the
newest commit that reckons with it. One that restores costs finishes older ones: it reckons with its members' links
only, and takes none of them away.

All links that belong to a commit are to have their old costs or all their new ones, and those of a commit that restores
its new ones: when the next commit begins on them, and when nothing is under way and no fault is at work. What was set
by hand meanwhile is left out, and what nobody can set: links of a router whose agent is away, or is cut off.

An order is checked against its own episode's record, however late it comes: a process that was stopped, or a part of
the network that was cut off, goes back when it goes on. What it then sets on a link that

- still belongs to its episode is a part of that commit's way back (the others could not reach it, nor reckon with it);
- belongs to a later commit, **back**: nothing if that commit has gone back itself, for so the older one does end "all
  old". If the later one is carried out, it has settled the cost: the change has to be made good before the next commit
  begins, or everything is quiet, or it is a violation of I4. Nobody is excused from that for being away then;
- belongs to a later commit, **forward**: a violation of I4 at once. The others have left this episode behind, and no
  failing agent may start a change of routes; that it takes it back a moment later does not help who was routed by it.

A cost that no commit has ordered, or the way back of one that never had it, is a violation in any case.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.control import Start
from agent.epoch import Epoch
from agent.events import EpisodeEnded, SetCosts
from experiments.virtual_ospf import Area

_SHOWN = 3  # links in a violation


@dataclass(eq=False)
class Commit:
    """A commit that was begun.

    It may come in waves: until a router says how the episode ended, `new` is as far as any has got.

    Attributes
    ----------
    old, new : (L,) int64, all weights before it, and after it if it succeeds
    reach, own : (L,) bool, links with which it reckons, and those of them that its members set
    restores : it brings back costs that an older one should have left
    ordered : link -> costs that an agent was to set
    undone : link -> those of them that were a way back
    foreign : (L,) bool, links that were set by hand since it began
    late : (L,) bool, links of it that older commits have gone back on
    """

    episode: int
    old: NDArray[np.int64]
    new: NDArray[np.int64]
    reach: NDArray[np.bool_]
    own: NDArray[np.bool_]
    restores: bool = False
    ordered: dict[int, set[int]] = field(default_factory=dict)
    undone: dict[int, set[int]] = field(default_factory=dict)
    final: bool = False
    foreign: NDArray[np.bool_] = field(init=False)
    late: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.foreign, self.late = np.zeros((2, len(self.old)), dtype=bool)

    def aims_at(self, weights: NDArray[np.int64]) -> None:
        """Take where a member says that it leads to, (L,) int64."""
        self.new = np.where(self.own, weights, self.old)

    def has(self, link: int, cost: int) -> bool:
        """Whether a link has this cost before it or after it."""
        return cost in (self.old[link], self.new[link])

    def carried_out(self, now: NDArray[np.int64], links: NDArray[np.bool_]) -> bool:
        """Whether it is on one side on these links, (L,) bool, by the costs of now, (L,)."""
        if np.array_equal(now[links], self.new[links]):
            return True
        unmoved = links & ~self.late
        return not self.restores and np.array_equal(now[unmoved], self.old[unmoved])


class Commits:
    """All commits that were begun, by episode.

    Parameters
    ----------
    area : the costs
    violated : told what is wrong about an order or a cost
    """

    def __init__(self, area: Area, violated: Callable[[str], None]) -> None:
        self.begun: list[Commit] = []
        self._area = area
        self._violated = violated
        self._by_hand: set[int] = set()  # links that were ever set so

    def find(self, episode: int) -> Commit | None:
        """Return the record of an episode, if it began a commit."""
        return next((commit for commit in reversed(self.begun) if commit.episode == episode), None)

    def begin(self, event: SetCosts, start: Start) -> Commit:
        """Open the record of the episode of a first order; one of a later episode may be open already."""
        topology, old = self._area.topology, self._area.costs.copy()
        epoch = Epoch.of(topology, start.down, start.absent)
        reach = np.zeros(topology.num_links, dtype=bool)
        reach[epoch.part.links] = True
        own = reach & np.isin(topology.src, epoch.members)
        commit = Commit(event.episode, old, old, own if start.restore else reach, own, restores=start.restore)
        insort(self.begun, commit, key=lambda one: one.episode)
        return commit

    def order(self, commit: Commit, event: SetCosts, *, trusted: bool = True) -> None:
        """Take an order; a router that lies is not `trusted` to go back to what was there."""
        if not event.undo and not commit.final:
            commit.aims_at(event.weights)
        for link, cost in event.costs.items():
            known = cost in commit.ordered.get(link, ()) or commit.has(link, cost) or link in self._by_hand
            if event.undo and trusted and not known and not commit.restores:
                name = self._area.topology.link_name(link)
                self._violated(f"episode {commit.episode} goes back to {cost} on {name}, which it did not have")
            commit.ordered.setdefault(link, set()).add(cost)
            if event.undo:
                commit.undone.setdefault(link, set()).add(cost)

    def ended(self, event: EpisodeEnded) -> None:
        """Take what a router says of an episode that began a commit: all know the same end of it."""
        commit = self.find(event.episode)
        if commit is not None:
            commit.final = True
            commit.aims_at(event.best_weights)

    def set_by_hand(self, link: int) -> None:
        """Take a cost that no agent has set."""
        self._by_hand.add(link)
        for commit in self.begun:
            commit.foreign[link] = True

    def set_by(self, router: int, link: int, cost: int) -> None:
        """Judge a cost that an agent has set."""
        who, what = self._area.topology.nodes[router], self._area.topology.link_name(link)
        owner: Commit | None = None
        for commit in reversed(self.begun):
            ordered = cost in commit.ordered.get(link, ())
            if owner is None and not ordered:
                owner = commit if commit.reach[link] and not commit.restores else None
            elif ordered and (owner is None or owner.has(link, cost)):
                return
            elif ordered and owner is not None:
                if cost in commit.undone.get(link, ()):
                    owner.late[link] = True
                else:
                    behind = f"for episode {commit.episode}, which {owner.episode} has left behind"
                    self._violated(f"{who} set {what} to {cost} {behind}")
                return
        self._violated(f"{who} set {what} to {cost}, which no commit has ordered")

    def half_done(
        self, unset: NDArray[np.bool_] | None = None, gone: Collection[int] = (), before: Commit | None = None
    ) -> Iterator[str]:
        """Yield what is wrong about commits that are on no side, in words.

        unset : (L,) bool, links that nobody can set now; excused, unless an older commit has moved them late
        gone : routers whose agents are away; a link of theirs may stand at a cost between, which nobody else can set
        before : a commit that is left out, because it begins just now
        """
        now, away = self._area.costs, np.isin(self._area.topology.src, list(gone))
        for commit, links in self._belonging(before):
            if unset is not None:
                links &= ~unset | commit.late
            links &= ~(away & (now != commit.old) & (now != commit.new))
            if not commit.carried_out(now, links):
                yield self._described(commit, links)

    def _belonging(self, before: Commit | None) -> Iterator[tuple[Commit, NDArray[np.bool_]]]:
        """Yield the commits, the newest first, with the links that belong to them, (L,) bool."""
        left = np.ones(self._area.topology.num_links, dtype=bool)
        unrestored = left.copy()
        for commit in reversed([one for one in self.begun if one is not before]):
            yield commit, commit.reach & (unrestored if commit.restores else left) & ~commit.foreign
            unrestored &= ~commit.reach
            if not commit.restores:
                left &= ~commit.reach

    def _described(self, commit: Commit, links: NDArray[np.bool_]) -> str:
        now, names = self._area.costs, self._area.topology
        changed = links & (commit.old != commit.new)
        done = int(np.sum(changed & (now == commit.new)))
        odd = np.flatnonzero(links & (now != commit.new)).tolist()
        shown = ", ".join(f"{names.link_name(link)} {now[link]}, not {commit.new[link]}" for link in odd[:_SHOWN])
        more = f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
        return (
            f"episode {commit.episode} is half committed: {done} of {int(changed.sum())} changes are in ({shown}{more})"
        )
