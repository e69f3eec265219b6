"""An emulated network whose processes can be killed, stopped and started again, and what is true of it.

Mininet, FRR's daemons, and in it the programs of `faults_live_programs`. What is true is read from ospfd and from the
kernel's routes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.frr import FrrRouter
from emulation.agentconf import on_fabric
from emulation.fabric import Fabric
from emulation.plan import Plan
from emulation.processes import run_in_each, start_in
from experiments.faults_live_programs import LiveBroker, LivePrograms, SocketBroker
from routing.state import RoutingState


class LiveNetwork(LivePrograms):
    """The network; use it in a `with` block, with the fabric up.

    Parameters
    ----------
    broker : not yet started; None: mosquitto on a unix socket
    coordinator_at : node at which the coordinator is; None: outside of the network
    """

    def __init__(
        self,
        plan: Plan,
        fabric: Fabric,
        folder: Path,
        *,
        broker: LiveBroker | None = None,
        more: Sequence[str] = (),
        coordinator_at: int | None = None,
    ) -> None:
        self.fabric = fabric
        at = None if coordinator_at is None else fabric.pid(coordinator_at)
        broker = broker or SocketBroker(folder)
        super().__init__(plan, on_fabric(fabric), folder, fabric.folder, broker, more=more, coordinator_at=at)

    # ---- what is done to it

    def in_router(self, node: int, *commands: Sequence[str]) -> None:
        """Run commands in a router's namespace."""
        for command in commands:
            run_in_each([(self.fabric.pid(node), list(command), "")])

    def filter(self, node: int, interface: str, rule: str) -> None:
        """Let nftables decide over what comes in on an interface."""
        hook = f'type filter hook ingress device "{interface}" priority 0;'
        text = f"table netdev lab {{\n chain in {{\n {hook}\n {rule}\n }}\n}}\n"
        run_in_each([(self.fabric.pid(node), ["nft", "-f", "-"], text)])

    def unfilter(self, node: int) -> None:
        """Take the filter away."""
        self.in_router(node, ["nft", "delete", "table", "netdev", "lab"])

    def kill_ospfd(self, node: int) -> Callable[[], None]:
        """Kill a router's ospfd; return what starts it again."""
        pid = int((self.fabric.sockets(node) / "ospfd.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        os.kill(pid, signal.SIGKILL)

        def start() -> None:
            start_in(self.fabric.pid(node), command)

        return start

    def set_costs(self, costs: NDArray[np.int64]) -> None:
        """Set all costs by hand."""

        async def set_all() -> None:
            topology = self.plan.topology
            for node in range(topology.num_nodes):
                out = topology.out_links(node)
                router = FrrRouter(self.fabric.vty(node))
                await router.set_costs(
                    {self.fabric.interface(link): int(costs[link]) for link in range(out.start, out.stop)}
                )
                await router.close()

        asyncio.run(set_all())

    # ---- what is true

    def costs(self) -> NDArray[np.int64]:
        """Return all costs as the routers' daemons have them, (L,) int64."""

        async def all_costs() -> dict[str, int]:
            found: dict[str, int] = {}
            for node in range(self.plan.topology.num_nodes):
                router = FrrRouter(self.fabric.vty(node))
                found |= await router.costs()
                await router.close()
            return found

        found = asyncio.run(all_costs())
        return np.array([found[self.fabric.interface(link)] for link in range(self.plan.topology.num_links)])

    def mlu(self, weights: NDArray[np.int64]) -> float:
        """Return the MLU that the model gives weights."""
        return RoutingState(self.plan.topology, self.plan.traffic, weights).mlu

    def routes_follow(self, weights: NDArray[np.int64], limit_s: float = 15.0) -> bool:
        """Wait until every router's kernel forwards as the model says."""
        expected = self.fabric.routes.expected(RoutingState(self.plan.topology, self.plan.traffic, weights))
        deadline = time.monotonic() + limit_s
        while True:
            right, total = self.fabric.routes.compare(expected)
            if right == total or time.monotonic() > deadline:
                return right == total
            time.sleep(0.05)
