"""An emulated network whose processes can be killed, stopped and started again, and what is true of it.

Mininet, FRR's daemons, mosquitto, one agent per router and ``python -m coordinator --every`` as a user starts it. What
happens is read from the coordinator's lines; what is true from ospfd, the kernel's routes and each agent's own log.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.frr import FrrRouter
from agent.program import Shared
from emulation.agentconf import TOPOLOGY_FILE, agent_config, on_fabric, write_shared
from emulation.agents import LOG_FILE, Agents
from emulation.broker import Broker
from emulation.doors import Entry
from emulation.fabric import Fabric
from emulation.plan import Plan
from emulation.processes import EmulationError, run_in_each, start_in
from policy.mpnn import Network
from routing.state import RoutingState

STEPS = 40
RECOVERED_S = 90.0
EVERY_S = 0.2
HELLO_S, DEAD_S = 0.33, 1.0  # three hellos in a second, as the figures ask for
_ROOT = Path(__file__).parent.parent
_DECIDED = re.compile(r"\[(?P<router>\S+) ep=(?P<episode>\d+) step=(?P<step>\d+)\] (?P<links>links \([^)]*\))")
_OF = re.compile(r"(\d+) of (\d+) (?:links|agents)")
_PROGRESS = ("step_done", "agent_joined", "all_ready", "episode_started", "broker_connected")


class LiveNetwork:
    """The network; use it in a `with` block, with the fabric up.

    Attributes
    ----------
    records : (time, record) of the coordinator so far
    """

    def __init__(self, plan: Plan, fabric: Fabric, folder: Path) -> None:
        self.plan = plan
        self.fabric = fabric
        self.broker = Broker(folder)
        self.records: list[tuple[float, dict[str, Any]]] = []
        self._folder = folder
        self._agents: dict[int, Agents] = {}
        self._shared = Shared(
            plan.topology, plan.checkpoint, Network(plan.checkpoint.preset, plan.checkpoint.parameters)
        )
        self._coordinator: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> LiveNetwork:
        write_shared(self._folder, self.plan.topology)
        self.broker.start()
        for node in range(self.plan.topology.num_nodes):
            self.start_agent(node)
        matrix = self._folder / "lab.npy"
        np.save(matrix, self.plan.traffic.demand)
        command = [sys.executable, "-m", "coordinator", "--topology", str(self._folder / TOPOLOGY_FILE)]
        command += ["--broker", str(self.broker.address), "--traffic", str(matrix), "--steps", str(STEPS)]
        command += ["--every", str(EVERY_S), "--hold", str(EVERY_S), "--timeout", "10", "--json"]
        self._coordinator = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, start_new_session=True)
        assert self._coordinator.stdout is not None
        os.set_blocking(self._coordinator.stdout.fileno(), False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._coordinator is not None:
            self._coordinator.kill()
            self._coordinator.wait()
        for agents in self._agents.values():
            agents.stop()
        self.broker.stop()

    # ---- what happens

    def poll(self, wait_s: float) -> None:
        """Read the coordinator's lines for a while."""
        assert self._coordinator is not None and self._coordinator.stdout is not None
        if self._coordinator.poll() is not None:
            raise EmulationError(f"the coordinator ended with code {self._coordinator.returncode}")
        stream = self._coordinator.stdout
        if select.select([stream], [], [], wait_s)[0]:
            self._unread += stream.read() or b""
            *lines, self._unread = self._unread.split(b"\n")
            now = time.monotonic()
            self.records += [(now, json.loads(line)) for line in lines if line.strip()]

    def wait_for(
        self, what: Callable[[dict[str, Any]], bool], since: int, limit_s: float
    ) -> tuple[float, dict[str, Any]] | None:
        """Return the first record from number `since` on that fits, with its time; None if none comes."""
        deadline = time.monotonic() + limit_s
        at = since
        while True:
            while at < len(self.records):
                if what(self.records[at][1]):
                    return self.records[at]
                at += 1
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.poll(min(left, 0.05))

    def good_episode(self, since: int, limit_s: float, *, whole: bool = False) -> tuple[float, dict[str, Any]] | None:
        """Wait for an episode that begins from record `since` on and ends well; return its begin, and its end.

        whole : of all links and agents
        """
        begun: dict[int, float] = {}

        def good(record: dict[str, Any]) -> bool:
            if record["event"] == "episode_started" and (not whole or self.is_whole(record["episode"])):
                begun[record["episode"]] = next(at for at, one in self.records[since:] if one is record)
            return (
                record["event"] == "episode_ended"
                and record["status"] in ("committed", "kept")
                and record["episode"] in begun
            )

        found = self.wait_for(good, since, limit_s)
        return None if found is None else (begun[found[1]["episode"]], found[1])

    def is_whole(self, episode: int) -> bool:
        """Whether an episode that has begun is one of all links and agents."""
        count = True
        for _, record in self.records:
            if record["event"] == "epoch_formed":
                count = all(have == of for have, of in _OF.findall(record["epoch"]))
            elif record["event"] == "episode_started" and record["episode"] == episode:
                break
        return count

    def expect(self, what: Callable[[dict[str, Any]], bool], since: int) -> None:
        """Wait for a record that fits, from number `since` on; raise EmulationError if none comes."""
        if self.wait_for(what, since, RECOVERED_S) is None:
            raise EmulationError(f"the coordinator does not say what is expected within {RECOVERED_S:g} s")

    def expect_good(self, since: int) -> tuple[float, dict[str, Any]]:
        """Return begin and end of the first episode from record `since` on that ends well; raise EmulationError."""
        found = self.good_episode(since, RECOVERED_S)
        if found is None:
            raise EmulationError(f"no episode ends well within {RECOVERED_S:g} s")
        return found

    def noticed(self, since: int) -> float | None:
        """Return when the coordinator told of something that is not as it should be, from record `since` on."""
        for at, record in self.records[since:]:
            kind = record["event"]
            if kind == "episode_ended" and record["status"] in ("committed", "kept"):
                continue
            if kind not in _PROGRESS:
                return at
        return None

    # ---- what is done to it

    def start_agent(self, node: int) -> None:
        """Start the agent of a router (again)."""
        place = on_fabric(self.fabric)
        entry = Entry(str(self.broker.address), insecure=not self.broker.address.path)
        config = agent_config(place, self.plan.topology, node, self._folder, entry=entry, checkpoint="default")
        there = replace(place, namespace=lambda _: self.fabric.pid(node))
        agents = Agents(
            [msgspec.structs.replace(config, hello_s=HELLO_S, dead_s=DEAD_S)], there, lambda _: self.fabric.folder(node)
        )
        agents.fork(self._shared)
        self._agents[node] = agents

    def signal_agent(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a router's agent."""
        os.kill(self._agents[node].pids[0], number)

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

    def decisions(self) -> dict[tuple[int, int], set[str]]:
        """Return what was chosen in each (episode, step), by the agents' own logs: one thing, if all agree."""
        chosen: dict[tuple[int, int], set[str]] = {}
        for node in range(self.plan.topology.num_nodes):
            text = (self.fabric.folder(node) / LOG_FILE).read_text(errors="replace")
            for match in _DECIDED.finditer(text):
                chosen.setdefault((int(match["episode"]), int(match["step"])), set()).add(match["links"])
        return chosen
