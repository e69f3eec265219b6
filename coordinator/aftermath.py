"""After an episode: when the next may begin, whether costs have to be restored, and with which `Start`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from agent.control import Result, Start, Status
from coordinator.membership import Proposal
from coordinator.patience import Patience
from coordinator.settlement import EXCESS, Guard, Settlement, committed_everywhere, settle
from routing.subnetwork import without
from routing.topology import Topology

_SHOWN = 5  # links in one line


class Aftermath:
    """What the episodes so far have left to do.

    Parameters
    ----------
    topology, patience, scale, first : as in `CoordinatorProtocol`

    Attributes
    ----------
    template : the newest `Start`
    name : what to call an episode that restores costs
    commit : episode of the newest commit that is known to have been begun, 0 if none is
    measured, limit : MLU by the agents' counters, and above which a commit is taken back
    """

    def __init__(self, topology: Topology, patience: Patience, scale: float, first: int) -> None:
        self.template: Start | None = None
        self.name = ""
        self.commit = 0
        self.measured = self.limit = 0.0
        self._topology = topology
        self._patience = patience
        self._scale = scale
        self._first = first
        self._settlement: Settlement | None = None
        self._said: dict[str, Result] = {}  # what the routers say of the newest commit
        self._untouched: Sequence[int] = ()  # links of which it says nothing new
        self._failures: set[int] = set()  # episodes that were to restore and did not, one after the other
        self._deliberate = False  # nothing went wrong: a good commit is to be taken back
        self._found: dict[str, Result] = {}
        self._look_at = 0.0  # when all agents will have seen what became of the costs
        self._ended_at = self._hold_until = float("-inf")
        self._guard: Guard | None = None
        self._watched_s = 0.0  # how long it looks
        self._windows: dict[str, int] = {}

    def began(self, start: Start) -> None:
        """Remember the newest order."""
        self.template = start

    def found(self, result: Result, now: float) -> None:
        """Take a result of before this coordinator's time: the newest episode may have been left half done."""
        before = self._found.setdefault(result.router, result)
        if (before.episode, not before.remembered) > (result.episode, not result.remembered):
            return
        self._found[result.router] = result
        newest = max(one.episode for one in self._found.values())
        said = {router: one for router, one in self._found.items() if one.episode == newest}
        self._settlement = None
        if not committed_everywhere(said, self._topology.nodes):
            self._settle(newest, said, now)

    def late(self, result: Result, results: Mapping[str, Result], members: Iterable[str], now: float) -> None:
        """Take a result of the last episode, whose `results` it is among, after that was given up."""
        if result.remembered:
            self.remembered(result, now)
        else:
            self.ended(result.episode, results, members, now)

    def remembered(self, result: Result, now: float) -> bool:
        """Take what an agent that was restarted knows of a commit; return whether that is not out of date.

        It is unless no later commit is known to have been begun, and this coordinator was there.
        """
        newer = result.episode > self.commit
        if result.episode < self.commit or (newer and result.episode < self._first):
            return False
        says_something = result.began or result.status == "committed"
        if newer and says_something:
            self._settle(result.episode, {result.router: result}, now)
        elif says_something and self._settlement is not None and result.router not in self._said:
            look_at = self._look_at  # it has done nothing that others have yet to see
            self._settle(result.episode, {**self._said, result.router: result}, now, self._untouched)
            self._look_at = look_at
        return True

    def _settle(self, episode: int, said: Mapping[str, Result], now: float, untouched: Sequence[int] = ()) -> None:
        """Take what routers say of a commit; `untouched` are links of which it says nothing new."""
        self.commit, self._said, self._untouched = episode, dict(said), untouched
        before, settlement = self._settlement, settle(episode, said.values())
        if settlement is not None:
            self._settlement = settlement if before is None else settlement.keeping(before, untouched)
            self._look_at = now + self._patience.look_s
            self.name = f"restore the costs of episode {episode}"
        elif before is not None and _carried_out(said.values()):
            self._settlement = before.done(episode).keeping(before, untouched)

    def ended(self, episode: int, results: Mapping[str, Result], members: Iterable[str], now: float) -> None:
        """Take the results of an episode."""
        members = tuple(members)
        self._ended_at = now
        start = self.template
        settlement = settle(episode, results.values())
        if settlement is not None or _carried_out(results.values()):
            self._settle(episode, results, now, [] if start is None else self._unconcerned(start))
        if settlement is None:
            return
        # What was taken back would be found again as long as the same traffic is asked for: do not swing fast.
        hold_s = max(self._patience.hold_s, self._watched_s) if self._deliberate else self._patience.hold_s
        self._guard = None
        self._deliberate = False
        good = committed_everywhere(results, members)
        self._failures = self._failures | {episode} if start is not None and start.restore and not good else set()
        if len(self._failures) >= self._patience.attempts and self._settlement is not None:
            self._settlement = self._settlement.reverse()  # it cannot be done: take what is there
            self._failures = set()
        if good:
            self._hold_until = now + hold_s
            predicted = results[members[0]].mlu_best
            if start is not None and start.watch_s > 0 and not start.restore and predicted > 0:
                self._guard = Guard(self._topology, self._scale, predicted, members)
                self._watched_s = start.watch_s
                self.limit = EXCESS * predicted

    def _unconcerned(self, start: Start) -> list[int]:
        """Return the links of which an episode says nothing new: what was to be done about them still is.

        They are those outside of its epoch's part, links between routers that were cut off included: the LSDB of the
        others shows what these had before, until they hear of each other again.
        """
        outside = np.ones(self._topology.num_links, dtype=bool)
        outside[without(self._topology, start.down).links] = False
        if start.restore:
            outside |= np.isin(self._topology.src, start.absent)
        return np.flatnonzero(outside).tolist()

    def status(self, status: Status, now: float) -> bool:
        """Take a status; return whether the last commit is to be taken back, because the links carry too much."""
        if self._guard is None or status.window == self._windows.get(status.router, 0):
            return False
        self._windows[status.router] = status.window
        excess = self._guard.report(status.router, status.carried, now)
        self.measured = self._guard.measured
        if excess and self._settlement is not None:
            done = self._settlement
            self._settlement = done.reverse()
            self._guard = None
            self._look_at = now
            self._deliberate = True
            self.name = f"take episode {done.episode} back"
        return excess

    def due(self) -> float:
        """Return when to look whether costs are wrong; infinity: nothing is to be settled."""
        return self._look_at if self._settlement is not None else float("inf")

    def free_at(self, attempt: int) -> float:
        """Return when a request may begin."""
        pause_s = self._patience.retry_s * 2.0 ** (attempt - 2) if attempt > 1 else 0.0
        return max(self._hold_until if attempt == 1 else 0.0, self._ended_at + pause_s)

    def half_done(self, proposal: Proposal, topology: Topology) -> str:
        """Return the links whose costs are not as the last commit should have left them, in words; "" if all are."""
        seen_right = self._look_at == float("inf")  # what is otherwise since then is an operator's
        if self._settlement is None or self._deliberate or seen_right or proposal.weights is None:
            return ""
        names = [topology.link_name(link) for link in self._settlement.wrong(proposal.weights)]
        more = len(names) - _SHOWN
        return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

    def restoring(self, proposal: Proposal, template: Start, now: float) -> Start | None:
        """Return the order that restores wrong costs of members' links; None if there are none to restore now."""
        settlement = self._settlement
        if settlement is None or proposal.weights is None or now < self._look_at:
            return None
        wrong = settlement.wrong(proposal.weights)
        if not wrong and settlement.unseen(proposal.weights):
            self._look_at = now + self._patience.look_s
            return None
        if not wrong:
            self._settlement = settlement if self._guard is not None else None
            self._look_at = float("inf") if self._guard is not None else self._look_at
            return None
        src = self._topology.src
        ours = [link for link in wrong if int(src[link]) not in proposal.absent]
        if not ours:
            self._look_at = now + self._patience.look_s
            return None
        self._look_at = now + self._patience.look_s
        target = settlement.target(proposal.weights, ours)
        return msgspec.structs.replace(
            template, steps=0, restore=True, start_weights=target.astype("<u2").tobytes(), watch_s=0.0
        )


def _carried_out(results: Iterable[Result]) -> bool:
    """Whether a commit was carried out.

    An agent that has died since remembers no more than that, and so the costs that are there are right: what was wanted
    before counts no more.
    """
    return any(result.status == "committed" for result in results)
