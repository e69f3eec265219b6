"""Who is there, and since when nothing has changed: when a request may be started, and with whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agent.control import Start, Status
from coordinator.membership import Proposal, propose
from coordinator.patience import Patience
from routing.topology import Topology

_MOST_STRANGERS = 100  # that are told of


class Gathering:
    """The agents that are online, as their statuses tell.

    Parameters
    ----------
    topology : its nodes are the routers
    patience : how long to wait for those that are not there

    Attributes
    ----------
    moved_at : when an agent came or went
    changed_at : when the links or members of the last proposal changed
    away : routers that cannot take part by it: offline, or not heard by their neighbours
    online : routers whose agents are online, a view that follows
    """

    def __init__(self, topology: Topology, patience: Patience) -> None:
        self.moved_at = self.changed_at = 0.0
        self.away: frozenset[str] = frozenset()
        self._topology = topology
        self._patience = patience
        self._agents: dict[str, Status] = {}
        self.online: Collection[str] = self._agents.keys()
        self._strangers: set[str] = set()
        self._met: set[str] = set()  # routers that have been ready
        self._proposal: Proposal | None = None
        self._returning_until = 0.0

    def __contains__(self, router: str) -> bool:
        """Whether a router's agent is online."""
        return router in self._agents

    def strange(self, router: str) -> bool:
        """Take the name of an agent that is not in the topology; return whether it is to be told of: once."""
        new = router not in self._strangers and len(self._strangers) < _MOST_STRANGERS
        if new:
            self._strangers.add(router)
        return new

    def forget(self) -> None:
        """Forget who is online."""
        self._agents.clear()

    def again(self, now: float) -> None:
        """Take that the broker is there again; those who were online have yet to find it, each in its own time."""
        self._returning_until = now + self._patience.return_s if self._met else now

    def here(self, status: Status, now: float) -> bool:
        """Take the status of an agent that is online; return whether it was not before."""
        new = status.router not in self._agents
        self._agents[status.router] = status
        if status.ready:
            self._met.add(status.router)
        if new:
            self.moved_at = now
        return new

    def gone(self, router: str, now: float) -> bool:
        """Take that an agent is offline; return whether it was online."""
        if self._agents.pop(router, None) is None:
            return False
        self.moved_at = now
        return True

    def proposal(self, wanted: Start | None, now: float) -> Proposal:
        """Return the epoch that the agents allow now, for those that fit what is wanted."""
        found = propose(self._topology, self._agents, self._faults(wanted))
        if self._proposal is None or not found.same_epoch(self._proposal):
            self.changed_at = now
        self._proposal = found
        self.away = frozenset(found.why_absent)
        return found

    def settled_at(self) -> float:
        """Return when the proposal may be used, if nothing changes; infinity: never."""
        proposal = self._proposal
        if proposal is None or proposal.obstacle:
            return float("inf")
        if not proposal.why_absent:
            return self.changed_at
        if not proposal.why_absent.keys() <= self._met:
            return self.changed_at + self._patience.gather_s
        return max(self.changed_at + self._patience.settle_s, self._returning_until)

    def given_up_at(self, routers: Iterable[str]) -> float:
        """Return when nobody waits for routers any more because all of them are away; infinity: one is not."""
        away = all(router in self.away for router in routers)
        return self.changed_at + min(self._patience.settle_s, self._patience.grace_s) if away else float("inf")

    def missing(self, wanted: Start | None) -> dict[str, str]:
        """Return what is wrong with each router that keeps the epoch from being complete."""
        found = propose(self._topology, self._agents, self._faults(wanted))
        wrong = dict(found.why_absent)
        if not wrong and found.obstacle:
            wrong = dict.fromkeys(self._topology.nodes, found.obstacle)
        return wrong

    def describe(self, proposal: Proposal) -> str:
        """Return an epoch in words."""
        epoch = proposal.epoch(self._topology)
        nodes, links = self._topology.num_nodes, self._topology.num_links
        text = f"{epoch.id.hex()[:8]}: {len(epoch.part.links)} of {links} links, {len(epoch.members)} of {nodes} agents"
        names = [f"{router} ({why})" for router, why in proposal.why_absent.items()]
        return f"{text}; without {', '.join(names)}" if names else text

    def _faults(self, wanted: Start | None) -> dict[str, str]:
        found = {router: self._fault(agent, wanted) for router, agent in self._agents.items()}
        return {router: fault for router, fault in found.items() if fault}

    def _fault(self, agent: Status, wanted: Start | None) -> str:
        if wanted and agent.topology not in ("", wanted.topology):
            return f"its agent has another topology ({agent.topology[:8]}, expected {wanted.topology[:8]})"
        if wanted and agent.checkpoint not in ("", wanted.checkpoint):
            return f"its agent has another checkpoint ({agent.checkpoint[:8]}, expected {wanted.checkpoint[:8]})"
        if agent.problem:
            return agent.problem
        if not agent.ready and not agent.waiting_for:
            return "not ready"
        return ""
