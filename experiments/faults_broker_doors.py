"""Brokers over TCP for experiments with faults: mosquitto with certificates and rules, as an operator sets it up.

`TlsBroker` listens wherever it is told: on loopback, or in an emulated router, so that whoever wants to reach it needs
the routes that the agents change. `RelayedBroker` is outside of the emulated routers, which reach it through the relay
of ``--broker host:port``.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from agent.broker import TLS_PORT, BrokerAddress
from coordinator.brokerconf import CONF_FILE, COORDINATOR, agent_name
from emulation.broker import READY_S, find_mosquitto
from emulation.doors import Doors, Entry
from emulation.namespaces import die_with_parent, inside
from emulation.processes import end, wait_until
from emulation.relay import Line, Relay
from routing.errors import InputError
from routing.topology import Topology

LOCALHOST = "127.0.0.1"


class TlsBroker:
    """A broker that takes nobody without a certificate; every program has its own.

    Parameters
    ----------
    folder : for certificates, rules and its log; exists
    topology : whose routers' agents it takes
    host : address on which it listens
    port : 0: one that is free
    at : a process in the network namespace in which it is; None: this one's

    Raises
    ------
    InputError : mosquitto, or what certificates are made with, is not installed
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self, folder: Path, topology: Topology, host: str, *, port: int = TLS_PORT, at: int | None = None
    ) -> None:
        program = find_mosquitto()
        if program is None:
            raise InputError("mosquitto is not installed, expected Debian's package of that name")
        try:
            from coordinator.broker import write_broker  # certificates, without which the other cases can do
        except ModuleNotFoundError as error:
            raise InputError(f"{error.name} is not installed, expected it after scripts/setup broker") from error
        self._at = at
        self._tls = folder / "tls"
        self._log = folder / "mosquitto.log"
        self.address = BrokerAddress(host=host, port=port or _free_port(host))
        write_broker(
            self._tls,
            topology,
            domain="default",
            listen=self.address,
            names=[host],
            installed=self._tls.resolve(),
            user=pwd.getpwuid(os.geteuid()).pw_name,
            days=1,
            now=datetime.now(UTC),
        )
        self._command = [program, "-c", str(self._tls.resolve() / CONF_FILE)]

    def start(self) -> None:
        """Start it (again) and wait until it takes connections. Raises EmulationError."""
        with self._log.open("ab") as log, self._there():
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        wait_until(self._accepts, READY_S, f"mosquitto on {self.address} ({self._log})")

    def stop(self) -> None:
        """End it."""
        end([self.process])

    def doors(self, topology: Topology) -> Doors:
        """Return an entry with certificates of its own for everybody."""

        def entry(name: str) -> Entry:
            return Entry(str(self.address), str((self._tls / name).resolve()))

        return Doors(tuple(entry(agent_name(router)) for router in topology.nodes), entry(COORDINATOR))

    def reachable(self, at: int | None = None) -> bool:
        """Whether a connection to it can be opened within a second from the network namespace of process `at`."""
        with inside(at) if at is not None else nullcontext(), socket.socket() as client:
            client.settimeout(1.0)
            return client.connect_ex((self.address.host, self.address.port)) == 0

    def _accepts(self) -> bool:
        return self.process.poll() is None and self.reachable(self._at)

    def _there(self) -> AbstractContextManager[None]:
        return inside(self._at) if self._at is not None else nullcontext()


class RelayedBroker(TlsBroker):
    """A broker on the loopback device of this process's network namespace; agents enter through a relay.

    Parameters
    ----------
    short : a folder with a short path, for the relay's sockets; exists
    """

    def __init__(self, folder: Path, topology: Topology, short: Path) -> None:
        super().__init__(folder, topology, LOCALHOST)
        self._topology = topology
        self._sockets = [short / f"{node}.sock" for node in range(topology.num_nodes)]
        self._relay: Relay | None = None
        self._relay_log = folder / "relay.log"

    def start(self) -> None:
        """Start it (again), and the first time the relay, which outlives it. Raises EmulationError."""
        super().start()
        if self._relay is None:
            doors = super().doors(self._topology).agents
            lines = [Line(path, entry.door()) for path, entry in zip(self._sockets, doors, strict=True)]
            with open("/proc/self/ns/net", "rb") as network:
                self._relay = Relay(lines, network.fileno(), self._relay_log).__enter__()

    def stop(self) -> None:
        """End relay and broker."""
        if self._relay is not None:
            self._relay.__exit__(None, None, None)
            self._relay = None
        super().stop()

    def doors(self, topology: Topology) -> Doors:
        """Return the relay's sockets for the agents; the coordinator enters by itself."""
        outside = super().doors(topology)
        return Doors(tuple(Entry(f"unix:{path}") for path in self._sockets), outside.coordinator)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
