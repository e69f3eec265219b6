"""The programs of an installation, real and running: a broker, an agent per router, and a coordinator as a user has it.

Where the routers are (emulated, or addresses of the loopback device) is the caller's affair, and so is the broker.
What happens is read from the coordinator's lines; what the agents chose, from each agent's own log.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec
import numpy as np

from agent.program import Shared
from emulation.agentconf import TOPOLOGY_FILE, Place, agent_config, write_shared
from emulation.agents import LOG_FILE, Agents
from emulation.broker import Broker
from emulation.doors import Doors, Entry
from emulation.namespaces import inside
from emulation.plan import Plan
from emulation.processes import EmulationError
from policy.mpnn import Network
from routing.topology import Topology

STEPS = 80
RECOVERED_S = 90.0
EVERY_S = 0.2
HELLO_S, DEAD_S = 0.33, 1.0  # three hellos in a second, as the figures ask for
_ROOT = Path(__file__).parent.parent
_DECIDED = re.compile(r"\[(?P<router>[^]]+) ep=(?P<episode>\d+) step=(?P<step>\d+)\] (?P<links>links \([^)]*\))")
_ENDED = re.compile(r"\[(?P<router>[^]]+) ep=(?P<episode>\d+)\] (?P<status>committed|kept|aborted) ")
_OF = re.compile(r"(\d+) of (\d+) (?:links|agents)")
_PROGRESS = ("step_done", "agent_joined", "all_ready", "episode_started", "broker_connected")


class LiveBroker(Protocol):
    """A broker that can be killed and started again, and how the programs enter it once it was started."""

    process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it (again) and wait until it takes connections."""

    def stop(self) -> None:
        """End it for good."""

    def doors(self, topology: Topology) -> Doors:
        """Return the entries of agents and coordinator."""


class SocketBroker(Broker):
    """A run's own: mosquitto on a unix socket, which all programs enter alike."""

    def doors(self, topology: Topology) -> Doors:
        """Return the same entry for everybody."""
        # amqtt on loopback is open to all users of this machine; where mosquitto is installed, it is not used.
        entry = Entry(str(self.address), insecure=not self.address.path)
        return Doors((entry,) * topology.num_nodes, entry)


class LivePrograms:
    """The programs; use it in a `with` block.

    Parameters
    ----------
    plan : network, traffic and policy
    place : where the agents are
    folder : for what the programs share; exists
    own : node -> folder of the router, which exists
    broker : not yet started
    more : further options of the coordinator
    coordinator_at : a process in the network namespace in which the coordinator is; None: this one's

    Attributes
    ----------
    records : (time, record) of the coordinator so far
    """

    def __init__(
        self,
        plan: Plan,
        place: Place,
        folder: Path,
        own: Callable[[int], Path],
        broker: LiveBroker,
        *,
        more: Sequence[str] = (),
        coordinator_at: int | None = None,
    ) -> None:
        self.plan = plan
        self.broker = broker
        self.records: list[tuple[float, dict[str, Any]]] = []
        self._place = place
        self._folder = folder
        self._own = own
        self._more = more
        self._coordinator_at = coordinator_at
        self._agents: dict[int, Agents] = {}
        self._shared = Shared(
            plan.topology, plan.checkpoint, Network(plan.checkpoint.preset, plan.checkpoint.parameters)
        )
        self._coordinator: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> Self:
        write_shared(self._folder, self.plan.topology)
        self.broker.start()
        try:
            for node in range(self.plan.topology.num_nodes):
                self.start_agent(node)
            self._start_coordinator()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._coordinator is not None:
            self._coordinator.kill()
            self._coordinator.wait()
        for agents in self._agents.values():
            agents.stop()
        self.broker.stop()

    def _start_coordinator(self) -> None:
        matrix = self._folder / "lab.npy"
        np.save(matrix, self.plan.traffic.demand)
        entry = self.broker.doors(self.plan.topology).coordinator
        command = [sys.executable, "-m", "coordinator", "--topology", str(self._folder / TOPOLOGY_FILE)]
        command += ["--broker", entry.broker, "--traffic", str(matrix), "--steps", str(STEPS)]
        command += ["--credentials", entry.credentials] if entry.credentials else []
        command += ["--insecure-broker"] if entry.insecure else []
        command += ["--every", str(EVERY_S), "--hold", str(EVERY_S), "--timeout", "10", "--json", *self._more]
        with inside(self._coordinator_at) if self._coordinator_at is not None else nullcontext():
            self._coordinator = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, start_new_session=True)
        assert self._coordinator.stdout is not None
        os.set_blocking(self._coordinator.stdout.fileno(), False)

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

    def wait(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Read the coordinator's lines for so long, or until something is true."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not until():
            self.poll(min(left, 0.05))

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
        entry = self.broker.doors(self.plan.topology).agents[node]
        config = agent_config(self._place, self.plan.topology, node, self._folder, entry=entry, checkpoint="default")
        there = replace(self._place, namespace=lambda _: self._place.namespace(node))
        agents = Agents(
            [msgspec.structs.replace(config, hello_s=HELLO_S, dead_s=DEAD_S)], there, lambda _: self._own(node)
        )
        agents.fork(self._shared)
        self._agents[node] = agents

    def signal_agent(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a router's agent."""
        os.kill(self._agents[node].pids[0], number)

    def decisions(self) -> dict[tuple[int, int], set[str]]:
        """Return what was chosen in each (episode, step), by the agents' own logs: one thing, if all agree."""
        chosen: dict[tuple[int, int], set[str]] = {}
        for node in range(self.plan.topology.num_nodes):
            text = (self._own(node) / LOG_FILE).read_text(errors="replace")
            for match in _DECIDED.finditer(text):
                chosen.setdefault((int(match["episode"]), int(match["step"])), set()).add(match["links"])
        return chosen

    def endings(self, episode: int) -> dict[str, str]:
        """Return how an episode has ended so far, by the agents' own logs: router -> status."""
        found: dict[str, str] = {}
        for node, router in enumerate(self.plan.topology.nodes):
            text = (self._own(node) / LOG_FILE).read_text(errors="replace")
            for match in _ENDED.finditer(text):
                if int(match["episode"]) == episode:
                    found[router] = match["status"]
        return found

    def without_broker(self) -> int:
        """Return how many agents have ever lost the broker, by their own logs."""
        logs = ((self._own(node) / LOG_FILE).read_text(errors="replace") for node in range(len(self._agents)))
        return sum(" has no broker (" in text for text in logs)
