"""Mininet's part: a host (a shell in namespaces of its own) per router, links it can name, and its prompt.

What Mininet does one shell command at a time (making links, setting addresses) is left to a few batches in
`emulation.fabric`; its objects are told about the results, so that ``links``, ``net``, ``dump`` and ``HOST command``
work at its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mininet.cli import CLI
from mininet.link import Intf, Link
from mininet.net import Mininet
from mininet.node import Host

from emulation.addresses import LINK_PREFIX, AddressPlan


class _MadeInterface(Intf):  # type: ignore[misc]
    """An interface that exists already, or will as soon as the batch has run."""

    def config(self, ip: str | None = None, **_: Any) -> dict[str, str]:
        self.ip, self.prefixLen = ip, LINK_PREFIX
        return {}


class _MadeLink(Link):  # type: ignore[misc]
    """A veth pair made by others."""

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:
        return


class MininetHosts:
    """The hosts of an `AddressPlan`.

    Attributes
    ----------
    net : the Mininet object, for whoever wants its API
    """

    def __init__(self, plan: AddressPlan) -> None:
        # Its initialisation raises limits of the whole machine (sysctls) that a network of routers does not need.
        Mininet.inited = True
        self.net = Mininet(topo=None, build=False, controller=None, link=_MadeLink)
        Host.checkSetup()
        with ThreadPoolExecutor(4) as pool:  # starting a shell is mostly waiting for it
            started = list(pool.map(lambda name: Host(name, ip=None), plan.host))
        for host in started:
            self.net.hosts.append(host)
            self.net.nameToNode[host.name] = host
        ends = zip(plan.topology.src.tolist(), plan.topology.dst.tolist(), strict=True)
        for link, (src, dst) in enumerate(ends):
            if src < dst:
                back = int(plan.topology.reverse[link])
                self.net.addLink(
                    started[src],
                    started[dst],
                    intfName1=plan.interface[link],
                    intfName2=plan.interface[back],
                    params1={"ip": plan.address[link]},
                    params2={"ip": plan.address[back]},
                    cls1=_MadeInterface,
                    cls2=_MadeInterface,
                )
        self.net.built = True

    @property
    def pids(self) -> Sequence[int]:
        """N process ids, one inside each router's namespaces."""
        return [host.pid for host in self.net.hosts]

    def prompt(self) -> None:
        """Hand the terminal to Mininet's command line until the user leaves it."""
        CLI(self.net)

    def close(self) -> None:
        """End the shells; the interfaces go with their namespaces."""
        for host in self.net.hosts:
            host.terminate()
        self.net.hosts.clear()
