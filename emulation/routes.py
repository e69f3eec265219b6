"""Do the routers' kernels forward as the model says? Every route to every loopback, next hop by next hop."""

from __future__ import annotations

from collections.abc import Sequence

from agent.kernel import DumpInterrupted
from emulation.addresses import AddressPlan
from emulation.netlink import Netlink
from routing.state import RoutingState
from routing.subnetwork import Subnetwork


class RouteTable:
    """Reads the routes of all routers over one netlink socket each.

    Parameters
    ----------
    plan : addresses and interface names
    pids : N process ids, one in each router's network namespace
    """

    def __init__(self, plan: AddressPlan, pids: Sequence[int]) -> None:
        self.plan = plan
        self.kernels = [Netlink(pid) for pid in pids]

    def close(self) -> None:
        """Close the sockets."""
        for kernel in self.kernels:
            kernel.close()

    def expected(self, state: RoutingState, left: Subnetwork | None = None) -> list[dict[str, frozenset[str]]]:
        """Return for each router: loopback of another router -> interfaces of the model's next hops.

        state : of the whole network, or of what is `left` of it; routers that are gone are expected to do nothing
        """
        plan, topology = self.plan, state.topology
        nodes = range(topology.num_nodes) if left is None else left.nodes.tolist()
        links = range(topology.num_links) if left is None else left.links.tolist()
        tables: list[dict[str, frozenset[str]]] = [{} for _ in plan.topology.nodes]
        for destination in range(topology.num_nodes):
            used = state.next_hops(destination)
            for node in range(topology.num_nodes):
                if node != destination:
                    out = topology.out_links(node)
                    hops = (plan.interface[links[link]] for link in range(out.start, out.stop) if used[link])
                    tables[nodes[node]][plan.loopback[nodes[destination]]] = frozenset(hops)
        return tables

    def compare(self, expected: Sequence[dict[str, frozenset[str]]]) -> tuple[int, int]:
        """Return (routes exactly as expected, routes expected); a table that changes while read counts as wrong."""
        right = 0
        for kernel, wanted in zip(self.kernels, expected, strict=True):
            try:
                found = kernel.host_routes()
            except DumpInterrupted:
                continue
            right += sum(found.get(address) == hops for address, hops in wanted.items())
        return right, sum(map(len, expected))

    def differences(self, expected: Sequence[dict[str, frozenset[str]]], limit: int = 5) -> list[str]:
        """Say what is wrong with the first few wrong routes, by router."""
        said: list[str] = []
        for node, (kernel, wanted) in enumerate(zip(self.kernels, expected, strict=True)):
            found = kernel.host_routes()
            for address, hops in wanted.items():
                have = found.get(address, frozenset())
                if have != hops and len(said) < limit:
                    name = self.plan.topology.nodes[node]
                    said.append(f"{name} to {address}: {_listed(have)} instead of {_listed(hops)}")
        return said


def _listed(hops: frozenset[str]) -> str:
    return "+".join(sorted(hops)) or "nothing"
