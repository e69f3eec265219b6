"""All agents of a network in one process: in-memory links, a virtual clock, impairments, a stand-in for OSPF.

Nothing waits here and nothing is random but the seeded generator, so a run of minutes takes seconds and can be
replayed exactly. The agents are the real `AgentProtocol`; only sockets and clock are replaced (and OSPF, by a
dictionary of costs that all can read).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from agent.agreement import UNSEEN
from agent.events import EpisodeEnded, Event, SetCosts
from agent.order import Order
from agent.protocol import AgentProtocol
from agent.waiting import Timing
from policy.mpnn import Network
from routing.topology import Topology

VERIFY_S = 3.0  # how long OSPF may take to show new costs, as in `agent.ospf`
_FLOOD_S = 0.02  # that it takes
_POLL_S = 0.01


@dataclass(frozen=True)
class Impairment:
    """What links do to datagrams: probabilities, and delays in seconds.

    A reordered datagram is late by up to `reorder_depth` link delays.
    """

    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    reordering: float = 0.0
    reorder_depth: int = 64
    delay_s: float = 0.001


class VirtualNetwork:
    """Agents, links, clock.

    Parameters
    ----------
    topology, network : as the agents have them
    costs : (L,) int64, OSPF's costs; commits change them
    impairment, seed : what happens to datagrams
    timing : of the agents
    delays : (L,) propagation delay of each link in seconds; default: `impairment.delay_s` everywhere
    """

    def __init__(
        self,
        topology: Topology,
        network: Network,
        costs: NDArray[np.int64],
        *,
        impairment: Impairment | None = None,
        seed: int = 0,
        timing: Timing | None = None,
        delays: NDArray[np.float64] | None = None,
        key: bytes = b"a key of the virtual network",
    ) -> None:
        self.topology = topology
        self.costs = costs.copy()
        self.impairment = impairment or Impairment()
        self.now = 0.0
        self.frames = 0
        self.events: list[tuple[float, int, Event]] = []
        self.ended: dict[int, EpisodeEnded] = {}
        self.down: set[int] = set()  # routers whose agent does not run
        self.cut: set[int] = set()  # links that carry nothing
        self.lost: set[int] = set()  # links that OSPF does not route over
        self.cost_problem: Callable[[int, SetCosts], str] = lambda router, event: ""
        self._delays = np.full(topology.num_links, self.impairment.delay_s) if delays is None else delays
        self._random: Generator = Generator(Philox(key=seed))
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._newest: dict[int, SetCosts] = {}
        self._timing = timing or Timing()
        self._network = network
        self._key = key
        self.agents = [self._boot(router) for router in range(topology.num_nodes)]
        self._timers = [-1.0] * topology.num_nodes
        for router in range(topology.num_nodes):
            self._pump(router)

    def _boot(self, router: int) -> AgentProtocol:
        return AgentProtocol(
            topology=self.topology,
            network=self._network,
            router=router,
            key=self._key,
            boot_nonce=self._random.bytes(16),
            now=self.now,
            timing=self._timing,
        )

    def restart(self, router: int) -> None:
        """Replace an agent by a new process of it, which remembers nothing."""
        self.down.discard(router)
        self.agents[router] = self._boot(router)
        self._timers[router] = -1.0
        self._pump(router)

    def lsdb(self) -> NDArray[np.int64]:
        """Return what OSPF shows of all links, (L,) int64: 0 where one is down."""
        shown = self.costs.copy()
        shown[list(self.lost)] = 0
        return shown

    def here(self, order: Order) -> Order:
        """Return an order for the present epoch, as the coordinator would form it."""
        return replace(order, down=tuple(sorted(self.lost)), absent=tuple(sorted(self.down)))

    def link_down(self, link: int, *, after_s: float = 0.05, device: bool = True) -> None:
        """Take a link down in both directions; OSPF shows it after `after_s`, the ends' devices at once if at all."""
        both = {link, int(self.topology.reverse[link])}
        self.cut |= both

        def noticed() -> None:
            self.lost |= both
            self._tell()

        if device:
            for one in both:
                sender, receiver = int(self.topology.src[one]), int(self.topology.dst[one])
                if sender not in self.down:
                    self.agents[sender].link_lost(receiver, self.now)
                    self._pump(sender)
        self.at(self.now + after_s, noticed)

    def link_up(self, link: int) -> None:
        """Take a link up again."""
        both = {link, int(self.topology.reverse[link])}
        self.cut -= both
        self.lost -= both
        self._tell()

    def set_by_hand(self, link: int, cost: int) -> None:
        """Set a cost as an operator does."""
        self.costs[link] = cost
        self._tell()

    def _tell(self) -> None:
        """Let all agents know what OSPF shows, a moment later."""

        def tell() -> None:
            for router, agent in enumerate(self.agents):
                if router not in self.down:
                    agent.ospf_shows(self.lsdb(), self.now)
                    self._pump(router)

        self.at(self.now + _FLOOD_S, tell)

    def start(self, order: Order, routers: Iterable[int] | None = None) -> None:
        """Give an order to all agents (or some), as the coordinator does."""
        for router in range(self.topology.num_nodes) if routers is None else routers:
            if router not in self.down:
                self.ended.pop(router, None)
                self.agents[router].start_episode(order, self.lsdb(), self.now)
                self._pump(router)

    def run_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until a condition holds or `limit_s` virtual seconds are over; return whether it holds."""
        deadline = self.now + limit_s
        while not condition():
            if not self._queue or self._queue[0][0] > deadline:
                return False
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return True

    def ready(self) -> bool:
        """Whether all sessions of running agents over links that are not down are established."""
        names = self.topology.nodes
        for router, agent in enumerate(self.agents):
            silent = {names.index(name) for name in agent.silent_neighbours} - self.down
            if router not in self.down and any(self.topology.link_index(router, one) not in self.cut for one in silent):
                return False
        return True

    def all_ended(self) -> bool:
        """Whether every running agent has ended its episode."""
        return len(self.ended) == self.topology.num_nodes - len(self.down)

    def run_episode(self, order: Order, limit_s: float = 300.0) -> list[EpisodeEnded]:
        """Wait for the sessions, run one episode and return how it ended, by router."""
        if not self.run_until(self.ready, limit_s):
            raise TimeoutError(f"no sessions after {limit_s} s")
        self.start(order)
        if not self.run_until(self.all_ended, limit_s):
            raise TimeoutError(f"episode not ended after {limit_s} s: {self.waiting()}")
        return [self.ended[router] for router in sorted(self.ended)]

    def waiting(self) -> dict[str, list[str]]:
        """Who waits for whom, for error messages."""
        runs = ((name, agent._run) for name, agent in zip(self.topology.nodes, self.agents, strict=True))
        return {name: [run.phase.value, *run.waiting_for()] for name, run in runs if run is not None}

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._queue, (max(time, self.now), next(self._order), action))

    def _pump(self, router: int) -> None:
        """Move what an agent has produced, and note its timer."""
        agent = self.agents[router]
        for peer, data in agent.datagrams_to_send():
            self._transmit(router, peer, data)
        while (event := agent.next_event()) is not None:
            self.events.append((self.now, router, event))
            if isinstance(event, SetCosts):
                self._set_costs(router, event)
            elif isinstance(event, EpisodeEnded):
                self.ended[router] = event
        due = agent.get_timer()
        if self._timers[router] < 0 or due < self._timers[router]:
            self._timers[router] = due
            self.at(due, lambda: self._fire(router, agent))

    def _fire(self, router: int, agent: AgentProtocol) -> None:
        if self.agents[router] is not agent or router in self.down:
            return
        self._timers[router] = -1.0
        if agent.get_timer() <= self.now:
            agent.handle_timer(self.now)
        self._pump(router)

    def _set_costs(self, router: int, event: SetCosts) -> None:
        agent = self.agents[router]
        self._newest[router] = event
        problem = self.cost_problem(router, event)
        changed = 0
        if not problem:
            for link, cost in event.costs.items():
                if int(self.costs[link]) not in event.ours[link]:
                    problem = f"{self.topology.link_name(link)} was set to {self.costs[link]} by hand"
                else:
                    changed += int(self.costs[link] != cost)
                    self.costs[link] = cost
        if changed:
            self._tell()
        deadline = self.now + VERIFY_S

        def confirm() -> None:
            if self.agents[router] is not agent or router in self.down:
                return
            links = event.shown if not event.alone else list(event.costs)
            if not problem and np.any(self.lsdb()[links] != event.weights[links]):
                if self.now < deadline and self._newest[router] is event:
                    self.at(self.now + _POLL_S, confirm)
                    return
                agent.costs_set(f"{UNSEEN} the new costs", changed, self.now)
            else:
                agent.costs_set(problem, changed, self.now)
            self._pump(router)

        self.at(self.now + _FLOOD_S, confirm)

    def _transmit(self, sender: int, receiver: int, data: bytes) -> None:
        how, random = self.impairment, self._random
        self.frames += 1
        if random.random() < how.loss or self.topology.link_index(sender, receiver) in self.cut:
            return
        delay = float(self._delays[self.topology.link_index(sender, receiver)])
        for _ in range(2 if random.random() < how.duplication else 1):
            late = int(random.integers(1, how.reorder_depth + 1)) if random.random() < how.reordering else 0
            arrival = self.now + delay * (1 + late)
            self.at(arrival, partial(self._deliver, sender, receiver, self._corrupted(data)))

    def _corrupted(self, data: bytes) -> bytes:
        if self._random.random() >= self.impairment.corruption:
            return data
        damaged = bytearray(data)
        damaged[int(self._random.integers(len(damaged)))] ^= int(self._random.integers(1, 256))
        return bytes(damaged)

    def _deliver(self, sender: int, receiver: int, data: bytes) -> None:
        if receiver not in self.down:
            self.agents[receiver].receive_datagram(data, sender, self.now)
            self._pump(receiver)
