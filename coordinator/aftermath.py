"""After an episode: when the next may begin, whether costs have to be restored, and with which `Start`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from agent.control import Result, Start, Status
from coordinator.membership import Proposal
from coordinator.patience import Patience
from coordinator.settlement import EXCESS, Guard, Settlement, settle
from routing.topology import Topology

_SHOWN = 5  # links in one line


class Aftermath:
    """What the episodes so far have left to do.

    Parameters
    ----------
    topology, patience, scale : as in `CoordinatorProtocol`

    Attributes
    ----------
    template : the newest `Start`
    name : what to call an episode that restores costs
    measured, limit : MLU by the agents' counters, and above which a commit is taken back
    """

    def __init__(self, topology: Topology, patience: Patience, scale: float) -> None:
        self.template: Start | None = None
        self.name = ""
        self.measured = self.limit = 0.0
        self._topology = topology
        self._patience = patience
        self._scale = scale
        self._settlement: Settlement | None = None
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
        self._found[result.router] = result
        newest = max(one.episode for one in self._found.values())
        some = [one for one in self._found.values() if one.episode == newest]
        self._settlement = settle(newest, some)
        self._look_at = now + self._patience.look_s

    def ended(self, episode: int, results: Mapping[str, Result], members: Iterable[str], now: float) -> None:
        """Take the results of an episode."""
        members = tuple(members)
        self._ended_at = now
        settlement = settle(episode, results.values())
        if settlement is None:
            return
        if self._settlement is not None and self.template is not None:
            settlement = settlement.keeping(self._settlement, self.template.down)
        self._settlement = settlement
        self._look_at = now + self._patience.look_s
        # What was taken back would be found again as long as the same traffic is asked for: do not swing fast.
        hold_s = max(self._patience.hold_s, self._watched_s) if self._deliberate else self._patience.hold_s
        self._guard = None
        self._deliberate = False
        good = all(name in results and results[name].status == "committed" for name in members)
        start = self.template
        if good:
            self._hold_until = now + hold_s
            predicted = results[members[0]].mlu_best
            if start is not None and start.watch_s > 0 and not start.restore and predicted > 0:
                self._guard = Guard(self._topology, self._scale, predicted, members)
                self._watched_s = start.watch_s
                self.limit = EXCESS * predicted
        self.name = f"restore the costs of episode {episode}"

    def status(self, status: Status, now: float) -> bool:
        """Take a status; return whether the last commit is to be taken back, because the links carry too much."""
        if self._guard is None or status.window == self._windows.get(status.router, 0):
            return False
        self._windows[status.router] = status.window
        excess = self._guard.report(status.router, status.carried, now)
        self.measured = self._guard.measured
        if excess and self._settlement is not None:
            done = self._settlement
            self._settlement = Settlement(done.episode, done.other, done.wanted)
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
