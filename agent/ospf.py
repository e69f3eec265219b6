"""What an agent needs of OSPF: the live weights of all links, and to set the costs of its own.

Two kinds: `FrrOspf` speaks to the router's ospfd and kernel, `ModelOspf` keeps the weights itself where there is no
router (a run on loopback).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.agreement import UNSEEN
from agent.events import SetCosts
from agent.frr import FrrError, FrrRouter
from agent.kernel import Kernel
from routing.state import RoutingState
from routing.subnetwork import without
from routing.topology import Topology
from routing.traffic import TrafficMatrix

VERIFY_S = 3.0  # how long LSDB and kernel may take to show new costs; mostly they take a fraction of a second
_POLL_S = 0.01
_LONGEST_REST_S = 0.25


def rest(took_s: float, least_s: float) -> float:
    """Return for how long not to ask a router's daemon again that took so long to answer.

    A hundred ospfds on a few cores that are asked all the time do not get to compute routes.
    """
    return max(least_s, min(4 * took_s, _LONGEST_REST_S))


class OspfProblem(Exception):
    """OSPF does not do, or does not show, what an agent needs; `str()` says what."""


class Ospf(Protocol):
    """The routing process of one router."""

    async def live(self) -> NDArray[np.int64]:
        """Return the weights of all links, (L,) int64, 0 where OSPF does not route; raise `OspfProblem`."""

    async def apply(self, order: SetCosts, awake: Callable[[], bool]) -> int:
        """Set costs of the router's own links, as long as `awake`, and wait until OSPF shows what the order says.

        Returns how many costs were changed; raises `OspfProblem`. It may be cancelled, to undo what it does.
        """

    def watch(self, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Call `changed` when `live` may have changed, `lost` with an interface that went down."""

    def carried(self) -> dict[int, int]:
        """Return the bytes that left over each of the router's own links so far; {} if nobody counts."""

    async def close(self) -> None:
        """Let go."""


class ModelOspf:
    """Weights without a router: after a commit each agent knows all of them, as OSPF's flooding would tell it."""

    def __init__(self, weights: NDArray[np.int64]) -> None:
        self._weights = weights.copy()

    async def live(self) -> NDArray[np.int64]:
        """Return the weights."""
        return self._weights.copy()

    async def apply(self, order: SetCosts, awake: Callable[[], bool]) -> int:
        """Take the weights over."""
        changed = sum(int(self._weights[link]) != cost for link, cost in order.costs.items())
        self._weights = order.weights.copy()
        return changed

    def watch(self, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Nothing ever changes by itself."""

    def carried(self) -> dict[int, int]:
        """Nothing is carried."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


class FrrOspf:
    """The router's ospfd, and the kernel that forwards by it.

    Parameters
    ----------
    vty : path of its socket
    interfaces : link -> interface of the router's own links
    router_ids : OSPF router id of each node, in node order; routes to those that are addresses are checked
    verify_s : how long LSDB and kernel may take to show new costs
    """

    def __init__(
        self,
        vty: str,
        topology: Topology,
        interfaces: Mapping[int, str],
        router_ids: list[str],
        verify_s: float = VERIFY_S,
    ) -> None:
        self._router = FrrRouter(vty)
        self._kernel = Kernel()
        self._topology = topology
        self._interfaces = dict(interfaces)
        self._ids = router_ids
        self._verify_s = verify_s
        ends = zip(topology.src.tolist(), topology.dst.tolist(), strict=True)
        self._ends = [(router_ids[src], router_ids[dst]) for src, dst in ends]

    async def live(self) -> NDArray[np.int64]:
        """Return what the LSDB says of every link; OSPF routes over those that both ends advertise (RFC 2328, 16.1)."""
        try:
            lsdb = await self._router.lsdb()
        except FrrError as error:
            raise OspfProblem(str(error)) from error
        weights = np.array([lsdb.get(ends, 0) for ends in self._ends], dtype=np.int64)
        weights[weights[self._topology.reverse] == 0] = 0
        return weights

    async def apply(self, order: SetCosts, awake: Callable[[], bool]) -> int:
        """Write the costs to ospfd; wait until the LSDB shows them, and the kernel has the routes that follow."""
        try:
            before = await self._router.costs()
        except FrrError as error:
            raise OspfProblem(str(error)) from error
        by_hand = [link for link in order.costs if before.get(self._interfaces[link], 0) not in order.ours[link]]
        problem = ""
        if by_hand:
            name, cost = self._topology.link_name(by_hand[0]), before.get(self._interfaces[by_hand[0]], 0)
            problem = f"{name} has cost {cost}, which was set by hand" if cost else f"OSPF does not run on {name} now"
            if not order.undo:
                raise OspfProblem(problem)
        wanted = {link: cost for link, cost in order.costs.items() if link not in by_hand}
        changes = {self._interfaces[link]: cost for link, cost in wanted.items()}
        changes = {interface: cost for interface, cost in changes.items() if before.get(interface) != cost}
        try:
            await self._router.set_costs(changes, awake)
        except FrrError as error:
            raise OspfProblem(str(error)) from error
        await self._verify(order, list(wanted) if order.alone else order.shown.tolist())
        if problem:
            raise OspfProblem(f"{problem}, and was left alone")
        return len(changes)

    def watch(self, changed: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Listen to the kernel: whatever OSPF does that matters changes a link or a route."""
        self._kernel.watch(changed, lost)

    def carried(self) -> dict[int, int]:
        """Return the interfaces' counters."""
        counted = self._kernel.sent_octets()
        return {link: counted[name] for link, name in self._interfaces.items() if name in counted}

    async def close(self) -> None:
        """Close the connections."""
        self._kernel.close()
        await self._router.close()

    async def _verify(self, order: SetCosts, links: list[int]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._verify_s
        expected = {} if order.alone else self._expected(order)
        while True:
            asked = loop.time()
            shown = await self.live()
            wrong = [link for link in links if shown[link] != order.weights[link]]
            problem = ""
            if wrong:
                name, want, have = self._topology.link_name(wrong[0]), order.weights[wrong[0]], shown[wrong[0]]
                problem = f"{UNSEEN} cost {want} of {name} but {have}"
            elif expected:
                problem = await self._wrong_route(expected, ecmp=order.ecmp)
            if not problem:
                return
            if loop.time() > deadline:
                raise OspfProblem(problem)
            await asyncio.sleep(rest(loop.time() - asked, _POLL_S))

    def _expected(self, order: SetCosts) -> dict[str, frozenset[str]]:
        """Return the routes that follow from the order's weights: address -> interfaces of all next hops."""
        routed = np.zeros(self._topology.num_links, dtype=bool)
        routed[order.shown] = True
        part = without(self._topology, np.flatnonzero(~routed).tolist())
        nothing = TrafficMatrix(np.zeros((len(part.nodes), len(part.nodes))), "nothing")
        state = RoutingState(part.network, nothing, order.weights[part.links])
        own = [number for number, link in enumerate(part.links.tolist()) if link in self._interfaces]
        expected = {}
        for destination, node in enumerate(part.nodes.tolist()):
            used = state.next_hops(destination)
            hops = frozenset(self._interfaces[int(part.links[number])] for number in own if used[number])
            if hops:
                expected[self._ids[node]] = hops
        return expected

    async def _wrong_route(self, expected: dict[str, frozenset[str]], *, ecmp: bool) -> str:
        """Return what the kernel has otherwise, "" if nothing. Router ids that are no destinations are passed over."""
        try:
            found = await self._kernel.host_routes()
        except OSError as error:
            raise OspfProblem(f"no routes from the kernel: {error.strerror}") from error
        if found is None:
            return f"{UNSEEN} routes that stand still"
        for address, hops in expected.items():
            have = found.get(address, hops)
            if have != hops if ecmp else not have <= hops:
                return f"{UNSEEN} the route to {address} over {'+'.join(sorted(hops))} but {'+'.join(sorted(have))}"
        return ""
