"""How an episode ends on one router: verdict, waves of the commit, way back, doubt; for the states see `agent.phase`.

It works on the numbers of the epoch's part; what it tells the adapter (`SetCosts`) has those of the whole topology.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.agreement import Applied, Prepared, Verdict, decode, encode, merge_applied, merge_prepared, verdict
from agent.commit import Commit, plan_waves, told_waves
from agent.control import Ending
from agent.epoch import Epoch
from agent.events import CommitBegun, Event, SetCosts
from agent.order import Order
from agent.phase import Phase
from agent.tree import TreePass

_SHOWN = 3  # links in a reason


class Conclusion:
    """The end of one router's episode.

    Parameters
    ----------
    order, epoch : as in `EpisodeRun`
    links : (d,) int32, the router's own links
    live : (L,) int64, weights of the whole topology when the episode began
    tree_pass : through which the members speak
    events : where `CommitBegun` and `SetCosts` are put

    Attributes
    ----------
    phase, status, reason : where the episode stands, how it ended and why
    commit : the commit, if one was begun
    costs_changed : how many, over all members
    doubt : what would have ended the episode if this router were not in doubt; "" if nothing
    """

    def __init__(
        self,
        order: Order,
        epoch: Epoch,
        links: NDArray[np.int32],
        live: NDArray[np.int64],
        tree_pass: TreePass,
        events: deque[Event],
    ) -> None:
        self.phase = Phase.EXCHANGING
        self.status: Ending = "aborted"
        self.reason = ""
        self.commit: Commit | None = None
        self.costs_changed = 0
        self.doubt = ""
        self._order = order
        self._epoch = epoch
        self._links = links
        self._live = live
        self._pass = tree_pass
        self._events = events
        self._best: NDArray[np.int64] = live
        self._seen: NDArray[np.int64] | None = None  # (l,) what the LSDB shows; None: nobody tells
        self._failed = False  # in the wave under way
        self._unanswered = 0  # `SetCosts` events

    @property
    def in_doubt(self) -> bool:
        """Spoken well in the last wave: others may have been told that the commit is done."""
        commit = self.commit
        last = self.phase is Phase.COMMITTING and commit is not None and commit.last
        return last and self._pass.spoken and not self._failed

    @property
    def over(self) -> bool:
        """Nothing is left to be agreed on."""
        return self.phase in (Phase.ENDED, Phase.UNDOING)

    def prepare(self, prepared: Prepared, best: NDArray[np.int64]) -> None:
        """Offer this router's view of the episode; `best` (l,) are its best weights."""
        self.phase = Phase.PREPARING
        self._best = best
        self._pass.begin(encode(prepared), merge_prepared if self._pass.parent >= 0 else self._merge_as_root)

    def decide(self, outcome: bytes) -> None:
        """Draw the verdict from the root's outcome of PREPARE. Raises `MalformedFrame` if its waves make no sense."""
        live = self._live[self._epoch.part.links]
        prepared = decode(outcome, Prepared)
        action, reason = self._verdict(prepared)
        waves = []
        if action is Verdict.COMMIT:
            waves = told_waves(prepared.waves, live, self._best)
            reason = "the costs are as they should be"
        if waves:
            self.commit = Commit(waves, live)
            best = self._epoch.part.into(self._live, self._best)
            self._events.append(CommitBegun(self._order.episode, self._order.steps, self._live, best))
            self._set_wave()
        else:
            self.end("aborted" if action is Verdict.ABORT else "kept", reason)

    def _verdict(self, prepared: Prepared) -> tuple[Verdict, str]:
        return verdict(prepared, len(self._epoch.members), self._order.margin_milli, restore=self._order.restore)

    def _merge_as_root(self, payloads: Sequence[bytes]) -> bytes:
        """Merge all views; if they are to commit, find the waves."""
        merged = merge_prepared(payloads)
        prepared = decode(merged, Prepared)
        if self._verdict(prepared)[0] is not Verdict.COMMIT:
            return merged
        part, order = self._epoch.part, self._order
        live, traffic = self._live[part.links], part.traffic(order.traffic)
        waves = plan_waves(part.network, traffic, live, self._best, ordered=order.ordered, ecmp=order.ecmp)
        return encode(msgspec.structs.replace(prepared, waves=[wave.changes for wave in waves]))

    def costs_set(self, problem: str, changed: int) -> None:
        """Tell that the costs of the oldest unanswered `SetCosts` are in the LSDB, or what the problem is."""
        self._unanswered -= 1
        if self._unanswered:
            return  # costs that are to be restored: the answer to that is still to come
        if self.phase is Phase.UNDOING:
            self._restored(problem)
        elif self.phase in (Phase.COMMITTING, Phase.RETURNING) and not self._pass.waiting:
            self._failed = bool(problem)
            self._pass.begin(encode(Applied(1, changed, problem[:300])), merge_applied)

    def applied(self, outcome: bytes) -> None:
        """Go on after a wave."""
        commit, applied = self.commit, decode(outcome, Applied)
        assert commit is not None
        problem, members = applied.problem, len(self._epoch.members)
        if not problem and applied.routers != members:
            problem = f"{applied.routers} of {members} routers set their costs"
        if commit.back:
            if problem:
                self.reason = f"{self.reason}; not restored: {problem}"[:1000]
            if commit.advance():
                self._set_wave()
            else:
                self.end("aborted", self.reason)
        elif problem:
            self.reason = problem
            self.phase = Phase.RETURNING
            commit.turn_back()
            self._set_wave()
        else:
            if commit.advance():
                self._set_wave()
            else:
                self.end("committed", "")

    def give_up(self, reason: str) -> None:
        """End the episode with OSPF as it was."""
        if self.phase not in (Phase.COMMITTING, Phase.RETURNING):
            self.end("aborted", reason)
            return
        assert self.commit is not None
        self.reason = self.reason or reason
        self.phase = Phase.UNDOING
        self._set(self.commit.all_changes(self._links), self.commit.live, undo=True, alone=True)

    def leave(self, reason: str) -> bool:
        """End a commit with the costs as they are, for others to settle; return False if there is none under way."""
        if self.phase not in (Phase.COMMITTING, Phase.RETURNING, Phase.UNDOING):
            return False
        self.end("aborted", f"{self.reason or reason}; it left its costs as they were then")
        return True

    def resolve(self, reason: str) -> None:
        """Do what the LSDB shows that others have done: the outcome of the last wave does not come."""
        commit = self.commit
        assert commit is not None
        if self._seen is None or commit.given_up(self._seen):
            self.give_up(reason)
        else:
            self.end("committed", f"{reason}; the LSDB shows all new costs")

    def ospf_shows(self, weights: NDArray[np.int64]) -> str:
        """Take what the LSDB shows of all links, (L,) int64, 0 for a link that is down; return what ends the episode.

        That is "" if it is as it should be; in doubt, if nobody has gone back.
        """
        part = self._epoch.part
        up = np.zeros(len(weights), dtype=bool)
        up[part.links] = True
        names = part.whole
        inside = np.isin(names.src, part.nodes) | np.isin(names.dst, part.nodes)
        other = np.flatnonzero(inside & ((weights > 0) != up))
        seen = self._seen = weights[part.links]
        if self.in_doubt:
            assert self.commit is not None
            back = [link for link in self.commit.given_up(seen) if seen[link] > 0]
            return (self.doubt or f"{part.network.link_name(back[0])} has its old cost again") if back else ""
        if len(other):
            state = "down" if up[other[0]] else "up"
            return f"the topology has changed: {_listed([names.link_name(int(link)) for link in other])} is {state}"
        live = self._live[part.links]
        # While this router waits for the outcome of PREPARE, others may have begun: what lies between is theirs.
        best = self._best if self.phase is Phase.PREPARING else live
        between = (np.minimum(live, best) <= seen) & (seen <= np.maximum(live, best))
        foreign = self.commit.foreign(seen) if self.commit else np.flatnonzero(~between).tolist()
        if foreign:
            link = foreign[0]
            return f"the cost of {part.network.link_name(link)} was changed from {live[link]} to {seen[link]} by hand"
        return ""

    def end(self, status: Ending, reason: str) -> None:
        """Note how the episode ended."""
        if status == "committed" and self.commit is not None:
            self.costs_changed = int(np.count_nonzero(self.commit.live != self._best))
        self.phase = Phase.ENDED
        self.status, self.reason = status, reason

    def _restored(self, problem: str) -> None:
        self.end("aborted", f"{self.reason}; not restored: {problem}" if problem else self.reason)

    def _set_wave(self) -> None:
        commit = self.commit
        assert commit is not None
        if not commit.back:
            self.phase = Phase.COMMITTING
        self._set(commit.changes(self._links), commit.weights, undo=commit.back, alone=False)

    def _set(self, costs: dict[int, int], weights: NDArray[np.int64], *, undo: bool, alone: bool) -> None:
        """Order costs of own links, in the numbers of the whole topology."""
        assert self.commit is not None
        part, commit = self._epoch.part, self.commit
        self._unanswered += 1
        self._events.append(
            SetCosts(
                self._order.episode,
                {int(part.links[link]): cost for link, cost in costs.items()},
                part.into(self._live, weights),
                undo,
                alone,
                {int(part.links[link]): commit.ours(link) for link in costs},
                part.links,
                self._order.ecmp,
            )
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
