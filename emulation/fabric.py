"""The emulated network: a Mininet host per router with FRR's zebra and ospfd in it, joined by rate-limited veth pairs.

Works only inside `emulation.isolate`: it counts on namespaces that the kernel clears away (``mn -c`` must never run;
it kills by name).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from emulation import kernelconf
from emulation.addresses import AddressPlan
from emulation.crowding import crowding
from emulation.frrconf import OspfTimers, ospfd_conf, zebra_conf
from emulation.hosts import MininetHosts
from emulation.isolate import RUNTIME
from emulation.processes import EmulationError, end, run_in_each, start_in, wait_until, write_sysctls
from emulation.routes import RouteTable
from routing.state import RoutingState
from routing.subnetwork import Subnetwork
from routing.topology import Topology

AGENT_PORT = 5005
SINK_PORTS = (10000, 14095)  # below 32768, where the kernel's own choice of ports begins

_FRR = Path("/usr/lib/frr")


class Fabric:
    """A network of routers. `up` builds it; `wait_routes` says when OSPF has converged to the model.

    Parameters
    ----------
    topology : N nodes, L links
    run_dir : one folder per router is made in it, with FRR's configuration and logs
    weights : (L,) integers, 1..65535, the initial OSPF costs
    ecmp : False: one next hop per route
    rate : bit/s of the link with the largest capacity; the others in proportion
    seed : of the routers' multipath hash seeds
    agent_port : UDP port whose frames are counted per link and sent before other traffic
    """

    def __init__(
        self,
        topology: Topology,
        run_dir: Path,
        weights: NDArray[np.int64],
        *,
        ecmp: bool = True,
        rate: float = 10e6,
        seed: int = 0,
        agent_port: int = AGENT_PORT,
    ) -> None:
        self.topology = topology
        self.run_dir = run_dir
        self.weights = np.array(weights, dtype=np.int64)
        self.ecmp = ecmp
        self.agent_port = agent_port
        self.plan = AddressPlan(topology)
        self.scale = rate / float(topology.capacity.max())
        self.rate: NDArray[np.float64] = topology.capacity * self.scale
        random = np.random.Generator(np.random.Philox(key=[seed, 0x6D706174]))
        self._hash_seeds = random.integers(1, 2**32, topology.num_nodes).tolist()
        self._daemons: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        self._hosts: MininetHosts | None = None
        self._routes: RouteTable | None = None

    # What things are called

    def interface(self, link: int) -> str:
        """Return the name of the interface that sends on `link`."""
        return self.plan.interface[link]

    def address(self, link: int) -> str:
        """Return the address of the sending end of `link`."""
        return self.plan.address[link]

    def loopback(self, node: int) -> str:
        """Return the address under which a router is reached from everywhere."""
        return self.plan.loopback[node]

    def router_id(self, node: int) -> str:
        """Return the OSPF router id, which is the loopback."""
        return self.plan.loopback[node]

    def sockets(self, node: int) -> Path:
        """Return the folder of a router's unix sockets: short, and on a tmpfs that ends with the run."""
        return RUNTIME / f"r{node}"

    def vty(self, node: int) -> Path:
        """Return the unix socket at which a router's ospfd takes commands."""
        return self.sockets(node) / "ospfd.vty"

    def folder(self, node: int) -> Path:
        """Return the router's folder in the run folder."""
        return self.run_dir / self.topology.nodes[node]

    def pid(self, node: int) -> int:
        """Return a process inside the router's namespaces."""
        return self.hosts.pids[node]

    @property
    def hosts(self) -> MininetHosts:
        """Mininet's hosts, while the network is up."""
        if self._hosts is None:
            raise RuntimeError("the network is not up")
        return self._hosts

    @property
    def routes(self) -> RouteTable:
        """Reader of the routers' kernel routes, while the network is up."""
        if self._routes is None:
            raise RuntimeError("the network is not up")
        return self._routes

    # Up and down

    def up(self) -> None:
        """Make hosts, links, queues, counters, and start the routing daemons; OSPF then needs a few seconds more.

        Raises
        ------
        EmulationError, OSError
            If a tool or a daemon fails. Call `down` afterwards in any case.
        """
        nodes = range(self.topology.num_nodes)
        self._hosts = MininetHosts(self.plan)
        for node in nodes:
            self.folder(node).mkdir(parents=True, exist_ok=True)
            write_sysctls(self.pid(node), kernelconf.sysctls(self._hash_seeds[node]))
        self._make_links()
        self._start("zebra", "zserv.api")
        self._start("ospfd", "ospfd.vty")
        self._routes = RouteTable(self.plan, self.hosts.pids)

    def down(self) -> None:
        """End the daemons and the hosts."""
        if self._routes is not None:
            self._routes.close()
        end(self._daemons.values())
        self._daemons.clear()
        for log in self._logs:
            log.close()
        self._logs.clear()
        if self._hosts is not None:
            self._hosts.close()
            self._hosts = None

    def check_alive(self) -> None:
        """Raise EmulationError if a routing daemon has ended: its name, router, exit code and log."""
        for (name, node), process in self._daemons.items():
            if process.poll() is not None:
                router, log = self.topology.nodes[node], self.folder(node) / f"{name}.log"
                raise EmulationError(f"{name} of {router} ended with {process.returncode}; see {log}")

    # Routes and counters

    def routes_verified(self, state: RoutingState, left: Subnetwork | None = None) -> tuple[int, int]:
        """Return (routes exactly as the model's, routes in all) over every pair of routers."""
        return self.routes.compare(self.routes.expected(state, left))

    def wait_routes(self, state: RoutingState, left: Subnetwork | None = None, timeout_s: float = 30.0) -> float:
        """Poll until every router forwards as the model says; return the seconds it took.

        Parameters
        ----------
        state, left : of the whole network, or of what is left of it
        timeout_s : how long to wait

        Raises
        ------
        EmulationError
            After `timeout_s`, with the first wrong routes, or as soon as a daemon has died.
        """
        start = time.monotonic()
        expected = self.routes.expected(state, left)
        while True:
            right, total = self.routes.compare(expected)
            if right == total:
                return time.monotonic() - start
            self.check_alive()
            if time.monotonic() - start > timeout_s:
                wrong = "; ".join(self.routes.differences(expected))
                raise EmulationError(f"{right} of {total} routes as expected after {timeout_s:g} s: {wrong}")
            time.sleep(0.01)

    def agent_counters(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return frames and bytes, (L,) int64 each, that agents sent over each link by the kernel's count.

        Bytes are those of IP packets: UDP payload + 28. On the wire each frame has 14 more.
        """
        frames, octets = (np.zeros(self.topology.num_links, dtype=np.int64) for _ in range(2))
        command = ["nft", "-j", "list", "counters", "table", "inet", "lockstep"]
        for listing in run_in_each((pid, command, "") for pid in self.hosts.pids):
            for link, (packets, size) in kernelconf.named_counters(json.loads(listing)).items():
                frames[link], octets[link] = packets, size
        return frames, octets

    def delivered(self) -> NDArray[np.int64]:
        """Return the packets of measured traffic that arrived so far, (N, N) int64 `[src, dst]`."""
        packets = np.zeros((self.topology.num_nodes, self.topology.num_nodes), dtype=np.int64)
        source = {address: node for node, address in enumerate(self.plan.loopback)}
        command = ["nft", "-j", "list", "set", "inet", "lockstep", "delivered"]
        for node, listing in enumerate(run_in_each((pid, command, "") for pid in self.hosts.pids)):
            for address, count in kernelconf.delivered_packets(json.loads(listing)).items():
                packets[source[address], node] = count
        return packets

    # Failures

    def fail_links(self, links: Sequence[int]) -> None:
        """Take the sending ends of directed links down; both ends lose the carrier. Raises OSError."""
        for link in links:
            self.routes.kernels[int(self.topology.src[link])].set_down(self.interface(link))

    def fail_router(self, node: int) -> None:
        """Take a router's links down and kill its daemons. Raises OSError."""
        out = self.topology.out_links(node)
        self.fail_links(range(out.start, out.stop))
        for name in ("zebra", "ospfd"):
            process = self._daemons.pop((name, node))
            process.kill()
            process.wait()

    # Steps of `up`

    def _make_links(self) -> None:
        plan, pids = self.plan, self.hosts.pids
        ends = list(zip(self.topology.src.tolist(), self.topology.dst.tolist(), strict=True))
        back = self.topology.reverse.tolist()
        pairs = [
            (plan.interface[link], pids[src], plan.interface[back[link]], pids[dst])
            for link, (src, dst) in enumerate(ends)
            if src < dst
        ]
        run_in_each([(pids[0], ["ip", "-batch", "-"], kernelconf.veth_batch(pairs))])
        ports = [self._ports(node) for node in range(self.topology.num_nodes)]
        ip, tc, nft = ["ip", "-batch", "-"], ["tc", "-batch", "-"], ["nft", "-f", "-"]
        run_in_each((pids[n], ip, kernelconf.ip_batch(plan.loopback[n], own)) for n, own in enumerate(ports))
        run_in_each((pids[n], tc, kernelconf.tc_batch(own)) for n, own in enumerate(ports))
        run_in_each(
            (pids[n], nft, kernelconf.nft_rules(own, self.agent_port, SINK_PORTS)) for n, own in enumerate(ports)
        )

    def _ports(self, node: int) -> list[kernelconf.Port]:
        out = self.topology.out_links(node)
        return [
            kernelconf.Port(link, self.plan.interface[link], self.plan.address[link], float(self.rate[link]))
            for link in range(out.start, out.stop)
        ]

    def _configuration(self, daemon: str, node: int) -> str:
        name = self.topology.nodes[node]
        if daemon == "zebra":
            return zebra_conf(name)
        out = self.topology.out_links(node)
        costs = {self.plan.interface[link]: int(self.weights[link]) for link in range(out.start, out.stop)}
        timers = OspfTimers(dead_s=round(OspfTimers.dead_s * crowding(self.topology.num_nodes)))
        return ospfd_conf(name, self.router_id(node), costs, ecmp=self.ecmp, timers=timers)

    def _start(self, daemon: str, socket: str) -> None:
        """Start one daemon in every router and wait for its socket."""
        for node in range(self.topology.num_nodes):
            folder, sockets = self.folder(node), self.sockets(node)
            text = self._configuration(daemon, node)
            (folder / f"{daemon}.conf").write_text(text)
            # The daemons run as user frr, to whom the run folder need not be open: they read a copy and log to our
            # file.
            if not sockets.exists():
                sockets.mkdir()
                shutil.chown(sockets, "frr", "frr")
            (sockets / f"{daemon}.conf").write_text(text)
            log = (folder / f"{daemon}.log").open("ab")
            self._logs.append(log)
            command = [
                str(_FRR / daemon), "-f", str(sockets / f"{daemon}.conf"), "-i", str(sockets / f"{daemon}.pid"),
                "-z", str(sockets / "zserv.api"), "--vty_socket", str(sockets), "-A", "127.0.0.1", "-P", "0",
                "--log", "stdout", "--log-level", "informational",
            ]  # fmt: skip
            self._daemons[daemon, node] = start_in(self.pid(node), command, log)
        waiting = [self.sockets(node) / socket for node in range(self.topology.num_nodes)]

        def all_there() -> bool:
            waiting[:] = [path for path in waiting if not path.exists()]
            if waiting:
                self.check_alive()
            return not waiting

        # ospfd without zebra's socket would try again only after 10 s.
        wait_until(all_there, 20.0, f"socket of {daemon}")
