"""An OSPF area without routers: costs, router LSAs and their flooding, behind the interface of `agent.frr.FrrRouter`.

What an agent does through it is what it does through ospfd's command socket: costs are set one interface after the
other, each router has a link-state database of its own, and a change takes its time to get there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.frr import FrrError, FrrUnavailable
from experiments.virtual_time import World
from routing.topology import Topology

COMMAND_S = 0.001
ORIGINATE_S = 0.01
HOP_S = 0.003
DEAD_S = 4.0  # of OSPF, as the emulation configures it


@dataclass(frozen=True)
class _Lsa:
    """One router's links with their metrics."""

    sequence: int
    metrics: Mapping[int, int]


class Area:
    """All routers' OSPF.

    Parameters
    ----------
    costs : (L,) int64, what is configured at first, and again after a daemon's restart

    Attributes
    ----------
    costs : (L,) int64, what is set now: the truth
    up : (L,) bool, links over which routers are adjacent
    observers : told (router, link, old cost, new cost)
    """

    def __init__(self, world: World, topology: Topology, costs: NDArray[np.int64]) -> None:
        self.costs = costs.copy()
        self.up = np.ones(topology.num_links, dtype=bool)
        self.observers: list[Callable[[int, int, int, int], None]] = []
        self.routed: list[Callable[[int], None]] = []  # told the router whose database has changed
        self.topology = topology
        self.alive = [True] * topology.num_nodes
        self.generation = [0] * topology.num_nodes  # of each daemon: it grows with every restart
        self._world = world
        self._configured = costs.copy()
        self._sequence = 0
        nodes = range(topology.num_nodes)
        first = {node: _Lsa(0, self._metrics(node)) for node in nodes}
        self._database = [dict(first) for _ in nodes]

    def router_id(self, node: int) -> str:
        """Return a router's id."""
        return f"10.255.{node // 256}.{node % 256}"

    def metrics(self, node: int) -> dict[tuple[str, str], int]:
        """Return what a router's database shows: (router id, neighbour's id) -> metric."""
        ends = self.topology.src.tolist(), self.topology.dst.tolist()
        return {
            (self.router_id(ends[0][link]), self.router_id(ends[1][link])): metric
            for lsa in self._database[node].values()
            for link, metric in lsa.metrics.items()
        }

    def set_cost(self, link: int, cost: int) -> None:
        """Set the cost of a link, as its router's daemon or an operator does."""
        old, router = int(self.costs[link]), int(self.topology.src[link])
        if old == cost:
            return
        self.costs[link] = cost
        for observer in self.observers:
            observer(router, link, old, cost)
        self._originate(router)

    def link_down(self, link: int, *, after_s: float = 0.0) -> None:
        """Take a link down in both directions; `after_s` is how long OSPF takes to notice."""
        self._set_links([link, int(self.topology.reverse[link])], False, after_s)

    def link_up(self, link: int, *, after_s: float = 0.0) -> None:
        """Take a link up again."""
        self._set_links([link, int(self.topology.reverse[link])], True, after_s)

    def kill(self, node: int) -> None:
        """End a router's daemon; the neighbours notice after the dead interval."""
        self.alive[node] = False
        out = self.topology.out_links(node)
        self._world.after(DEAD_S, lambda: None if self.alive[node] else self._links_of(out, False))

    def restart(self, node: int) -> None:
        """Start a router's daemon with the costs of its configuration."""
        self.alive[node] = True
        self.generation[node] += 1
        out = self.topology.out_links(node)
        for link in range(out.start, out.stop):
            self.set_cost(link, int(self._configured[link]))
        self._links_of(out, True)

    def _links_of(self, out: slice, up: bool) -> None:
        for link in range(out.start, out.stop):
            self._set_links([link, int(self.topology.reverse[link])], up, 0.0)

    def _set_links(self, links: list[int], up: bool, after_s: float) -> None:
        def change() -> None:
            self.up[links] = up
            for link in links:
                self._originate(int(self.topology.src[link]))
            if up:
                self._world.after(3 * ORIGINATE_S, lambda: self._exchange(int(self.topology.src[links[0]])))

        self._world.after(after_s, change)

    def _metrics(self, node: int) -> dict[int, int]:
        out = self.topology.out_links(node)
        return {link: int(self.costs[link]) for link in range(out.start, out.stop) if self.up[link]}

    def _originate(self, router: int) -> None:
        """Tell all that can be reached what this router's links are."""
        if not self.alive[router]:
            return
        self._sequence += 1
        lsa = _Lsa(self._sequence, self._metrics(router))
        for node, hops in self._reachable(router).items():
            self._install(node, router, lsa, ORIGINATE_S + hops * HOP_S)

    def _exchange(self, router: int) -> None:
        """Level the databases of all that can be reached, as new adjacencies do."""
        reachable = self._reachable(router)
        for origin in range(self.topology.num_nodes):
            newest = max((self._database[node][origin] for node in reachable), key=lambda lsa: lsa.sequence)
            for node, hops in reachable.items():
                self._install(node, origin, newest, 2 * ORIGINATE_S + hops * HOP_S)

    def _install(self, node: int, origin: int, lsa: _Lsa, delay_s: float) -> None:
        def install() -> None:
            if self.alive[node] and lsa.sequence > self._database[node][origin].sequence:
                self._database[node][origin] = lsa
                for told in self.routed:
                    told(node)

        self._world.after(delay_s, install)

    def _reachable(self, router: int) -> dict[int, int]:
        """Return the routers that flooding reaches, with their distance in hops."""
        hops = {router: 0}
        queue = [router]
        for node in queue:
            out = self.topology.out_links(node)
            for link in range(out.start, out.stop):
                peer = int(self.topology.dst[link])
                if self.up[link] and self.alive[peer] and peer not in hops:
                    hops[peer] = hops[node] + 1
                    queue.append(peer)
        return hops


class VirtualFrr:
    """One process's connection to its router's daemon; stands where `agent.frr.FrrRouter` does.

    Attributes
    ----------
    cut : nothing is heard or done any more: the process was killed
    """

    def __init__(self, area: Area, node: int) -> None:
        self.cut = False
        self.vty = f"ospfd of {area.topology.nodes[node]}"
        self._area = area
        self._node = node

    async def close(self) -> None:
        """Let go."""

    async def costs(self) -> dict[str, int]:
        """Return interface -> cost."""
        await self._answer()
        out = self._area.topology.out_links(self._node)
        return {f"if{link}": int(self._area.costs[link]) for link in range(out.start, out.stop)}

    async def set_costs(self, costs: Mapping[str, int], awake: Callable[[], bool] = lambda: True) -> None:
        """Set costs one after the other, as long as `awake`."""
        if not costs:
            return
        unknown = sorted(set(costs) - set(await self.costs()))
        if unknown:
            raise FrrError(f"{self.vty}: OSPF does not run on {', '.join(unknown)}")
        generation = self._area.generation[self._node]
        for interface, cost in costs.items():
            await self._answer()
            if self._area.generation[self._node] != generation:
                raise FrrUnavailable(f"{self.vty}: closed")
            if not awake():
                raise FrrError(f"{self.vty}: too late")
            self._area.set_cost(int(interface.removeprefix("if")), cost)

    async def lsdb(self) -> dict[tuple[str, str], int]:
        """Return (router id, neighbour's router id) -> metric."""
        await self._answer()
        return self._area.metrics(self._node)

    async def run(self, commands: Sequence[str]) -> list[str]:
        """Refuse: the lab knows no commands."""
        raise FrrError(f"{self.vty}: {commands[0]!r} is unknown here")

    async def _answer(self) -> None:
        await asyncio.sleep(COMMAND_S)
        if self.cut or not self._area.alive[self._node]:
            raise FrrUnavailable(f"{self.vty}: no such file or directory")


class VirtualKernel:
    """The kernel of a router, as far as the agent asks; stands where `agent.kernel.Kernel` does.

    It has news whenever the router's database changes, and no tables of its own.
    """

    def __init__(self, area: Area, node: int) -> None:
        self._area = area
        self._node = node
        self._told: Callable[[int], None] | None = None

    def close(self) -> None:
        """Let go."""
        if self._told is not None:
            self._area.routed.remove(self._told)
            self._told = None

    def watch(self, changed: Callable[[], None], _lost: Callable[[str], None]) -> None:
        """Call `changed` at every change of the database."""
        loop = asyncio.get_running_loop()

        def told(node: int) -> None:
            if node == self._node:
                loop.call_soon(changed)

        self._told = told
        self._area.routed.append(told)

    async def host_routes(self) -> dict[str, frozenset[str]] | None:
        """Return no routes."""
        return {}

    def sent_octets(self) -> dict[str, int]:
        """Return no counters."""
        return {}
