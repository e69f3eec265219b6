"""What an agent needs of OSPF: the live weights of all links, and to set the costs of its own.

Two kinds: `FrrOspf` speaks to the router's ospfd, `ModelOspf` keeps the weights itself where there is no router (a
run on loopback).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.frr import FrrError, FrrRouter
from routing.topology import Topology

VERIFY_S = 3.0  # how long an LSDB may take to show the router's own new costs; it takes milliseconds
_POLL_S = 0.01


class OspfProblem(Exception):
    """OSPF does not do, or does not show, what an agent needs; `str()` says what."""


class Ospf(Protocol):
    """The routing process of one router."""

    async def live(self) -> NDArray[np.int64]:
        """Return the weights of all links, (L,) int64; raise `OspfProblem`."""

    async def apply(self, costs: Mapping[int, int], weights: NDArray[np.int64]) -> int:
        """Set the costs of the router's own links and see them in the LSDB.

        Parameters
        ----------
        costs : link -> cost
        weights : (L,) what all links will have once every router has done the same

        Returns how many costs were changed; raises `OspfProblem`.
        """

    async def close(self) -> None:
        """Let go."""


class ModelOspf:
    """Weights without a router: after a commit each agent knows all of them, as OSPF's flooding would tell it."""

    def __init__(self, weights: NDArray[np.int64]) -> None:
        self._weights = weights.copy()

    async def live(self) -> NDArray[np.int64]:
        """Return the weights."""
        return self._weights.copy()

    async def apply(self, costs: Mapping[int, int], weights: NDArray[np.int64]) -> int:
        """Take the weights over."""
        changed = sum(int(self._weights[link]) != cost for link, cost in costs.items())
        self._weights = weights.copy()
        return changed

    async def close(self) -> None:
        """Nothing is held."""


class FrrOspf:
    """The router's ospfd.

    Parameters
    ----------
    vty : path of its socket
    interfaces : link -> interface of the router's own links
    router_ids : OSPF router id of each node, in node order
    """

    def __init__(self, vty: str, topology: Topology, interfaces: Mapping[int, str], router_ids: list[str]) -> None:
        self._router = FrrRouter(vty)
        self._topology = topology
        self._interfaces = dict(interfaces)
        ends = zip(topology.src.tolist(), topology.dst.tolist(), strict=True)
        self._ends = [(router_ids[src], router_ids[dst]) for src, dst in ends]

    async def live(self) -> NDArray[np.int64]:
        """Return what the LSDB says of every link."""
        try:
            lsdb = await self._router.lsdb()
        except FrrError as error:
            raise OspfProblem(str(error)) from error
        missing = [self._topology.link_name(link) for link, ends in enumerate(self._ends) if ends not in lsdb]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise OspfProblem(f"the LSDB lacks {shown}")
        return np.array([lsdb[ends] for ends in self._ends], dtype=np.int64)

    async def apply(self, costs: Mapping[int, int], weights: NDArray[np.int64]) -> int:
        """Write the costs to ospfd and read them back from the LSDB."""
        loop = asyncio.get_running_loop()
        try:
            before = await self._router.costs()
            changes = {self._interfaces[link]: cost for link, cost in costs.items()}
            changes = {interface: cost for interface, cost in changes.items() if before.get(interface) != cost}
            await self._router.set_costs(changes)
            deadline = loop.time() + VERIFY_S
            while True:
                lsdb = await self._router.lsdb()
                wrong = [link for link, cost in costs.items() if lsdb.get(self._ends[link]) != cost]
                if not wrong:
                    return len(changes)
                if loop.time() > deadline:
                    link = wrong[0]
                    shown = lsdb.get(self._ends[link])
                    raise OspfProblem(
                        f"{self._topology.link_name(link)} has cost {shown} in the LSDB, {costs[link]} was set"
                    )
                await asyncio.sleep(_POLL_S)
        except FrrError as error:
            raise OspfProblem(str(error)) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._router.close()
