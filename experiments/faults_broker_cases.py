"""Installations whose broker goes away: on loopback, outside of emulated routers, and in one of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from emulation.agentconf import on_loopback
from emulation.fabric import Fabric
from emulation.options import parse
from emulation.plan import Plan, prepare
from emulation.processes import run_in_each
from experiments.faults_broker_doors import LOCALHOST, RelayedBroker, TlsBroker
from experiments.faults_broker_trial import Break, Trial, killed, nothing, run_trial
from experiments.faults_emulation import on_fabric
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import LiveBroker, LivePrograms, SocketBroker
from experiments.faults_live_truth import wrong_costs
from routing.state import RoutingState

_FIXED = ("--patience", "0")  # every episode has all its steps
_LARGEST = 10  # cost that links have before the first commit, drawn from 1 on


@dataclass(frozen=True)
class Case:
    """How a broker goes away.

    Attributes
    ----------
    about : for the user
    run : (topology, seconds, trial) -> the trial, filled in
    """

    about: str
    run: Callable[[str, float, Trial], Trial]


def _chance(trial: Trial) -> Generator:
    return np.random.Generator(Philox(key=[trial.seed, 0x62726F6B]))


# ---- on loopback: the agents are processes of this machine, their costs those of the model


def _on_loopback(make: Callable[[Path, Plan], LiveBroker]) -> Callable[[str, float, Trial], Trial]:
    def run(topology: str, down_s: float, trial: Trial) -> Trial:
        plan = prepare(parse([topology, "--fabric", "loopback"]))
        with tempfile.TemporaryDirectory(prefix="lockstep-") as name:
            folder = Path(name)
            for router in plan.topology.nodes:
                (folder / router).mkdir()

            def own(node: int) -> Path:
                return folder / plan.topology.nodes[node]

            broker = make(folder, plan)
            with LivePrograms(plan, on_loopback(plan.topology), folder, own, broker, more=_FIXED) as live:
                run_trial(live, trial, killed(live), down_s, _chance(trial), lambda: True)
        return trial

    return run


def _tls(folder: Path, plan: Plan) -> LiveBroker:
    return TlsBroker(folder, plan.topology, LOCALHOST, port=0)


# ---- in Mininet: the agents beside FRR; the first commit changes nearly all costs


def _in_mininet(
    work: Callable[[Plan, Fabric, Path, float, Trial], None],
) -> Callable[[str, float, Trial], Trial]:
    def run(topology: str, down_s: float, trial: Trial) -> Trial:
        def planned() -> Plan:
            plan = prepare(parse([topology]))
            costs = _chance(trial).integers(1, _LARGEST + 1, plan.topology.num_links)
            live = RoutingState(plan.topology, plan.traffic, costs)
            return replace(plan, live_weights=costs, live=live)

        def begin(plan: Plan, fabric: Fabric, folder: Path) -> Any:
            work(plan, fabric, folder, down_s, trial)
            return trial.record()

        return trial.filled(on_fabric(planned, begin))

    return run


def _relayed(plan: Plan, fabric: Fabric, folder: Path, down_s: float, trial: Trial) -> None:
    """Put the broker outside, on TCP: each agent reaches it through its own socket of the relay."""
    run_in_each([(os.getpid(), ["ip", "link", "set", "lo", "up"], "")])  # of the run's own namespace
    with tempfile.TemporaryDirectory(prefix="lockstep-") as short:
        broker = RelayedBroker(folder, plan.topology, Path(short))
        with LiveNetwork(plan, fabric, folder, broker=broker, more=_FIXED) as live:
            run_trial(live, trial, killed(live), down_s, _chance(trial), lambda: True)
            trial.violations += map(str, wrong_costs(live, 0, plan.live.mlu))


def _in_band(
    fault: Callable[[LiveNetwork, int, int], Break], *, seconds: float | None = None
) -> Callable[[str, float, Trial], Trial]:
    """Put broker and coordinator into two routers, on TCP: all reach the broker over the network that they change."""

    def work(plan: Plan, fabric: Fabric, folder: Path, down_s: float, trial: Trial) -> None:
        random = _chance(trial)
        house, coordinator = random.choice(plan.topology.num_nodes, 2, replace=False).tolist()
        at = fabric.pid(house)
        broker = TlsBroker(folder, plan.topology, fabric.loopback(house), at=at)
        before = plan.live_weights

        with LiveNetwork(plan, fabric, folder, broker=broker, more=_FIXED, coordinator_at=coordinator) as live:
            there = fabric.pid(coordinator)
            duration = down_s if seconds is None else seconds
            run_trial(live, trial, fault(live, house, coordinator), duration, random, lambda: broker.reachable(there))
            trial.violations += map(str, wrong_costs(live, 0, plan.live.mlu))
            trial.moved = len(_moved(plan, before, live.costs(), house))

    return _in_mininet(work)


def _moved(plan: Plan, before: NDArray[np.int64], after: NDArray[np.int64], house: int) -> list[int]:
    """Return the nodes whose links toward `house` are others after a commit."""

    def links_of(weights: NDArray[np.int64]) -> list[frozenset[int]]:
        used = RoutingState(plan.topology, plan.traffic, weights).next_hops(house)
        found = []
        for node in range(plan.topology.num_nodes):
            links: set[int] = set()
            ahead = [node]
            while ahead:
                out = plan.topology.out_links(ahead.pop())
                new = {link for link in range(out.start, out.stop) if used[link]} - links
                links |= new
                ahead += [int(plan.topology.dst[link]) for link in new]
            found.append(frozenset(links))
        return found

    both = zip(links_of(before), links_of(after), strict=True)
    return [node for node, (old, new) in enumerate(both) if old != new]


def _moving(live: LiveNetwork, _house: int, _coordinator: int) -> Break:
    """Nothing breaks: the commit alone moves the paths to the broker."""
    return Break(nothing, nothing, in_commit=True, within_s=0.0)


def _cut(links: Callable[[LiveNetwork, int, int], list[int]]) -> Callable[[LiveNetwork, int, int], Break]:
    """Take links of the broker's router down in the commit, and up again."""

    def fault(live: LiveNetwork, house: int, coordinator: int) -> Break:
        ends = [
            (int(live.plan.topology.src[link]), live.fabric.interface(link)) for link in links(live, house, coordinator)
        ]

        def switch(state: str) -> None:
            for node, interface in ends:
                live.in_router(node, ["ip", "link", "set", interface, state])

        return Break(lambda: switch("down"), lambda: switch("up"), in_commit=True, may_abort=True)

    return fault


def _all_links(live: LiveNetwork, house: int, _coordinator: int) -> list[int]:
    out = live.plan.topology.out_links(house)
    return list(range(out.start, out.stop))


def _link_in_use(live: LiveNetwork, house: int, coordinator: int) -> list[int]:
    """Return the last link of the coordinator's path to the broker (the first one, where there are several)."""
    topology, node = live.plan.topology, coordinator
    used = live.plan.live.next_hops(house)
    while True:
        out = topology.out_links(node)
        link = next(link for link in range(out.start, out.stop) if used[link])
        node = int(topology.dst[link])
        if node == house:
            return [int(topology.reverse[link])]


def _dying(live: LiveNetwork, _house: int, _coordinator: int) -> Break:
    return killed(live)


def _dying_in_commit(live: LiveNetwork, _house: int, _coordinator: int) -> Break:
    return killed(live, in_commit=True)


CASES: dict[str, Case] = {
    "unix": Case(
        "kill -9 of mosquitto on a unix socket, agents on loopback",
        _on_loopback(lambda folder, _: SocketBroker(folder)),
    ),
    "tcp": Case("kill -9 of mosquitto on TCP with TLS, agents on loopback", _on_loopback(_tls)),
    "relay": Case("kill -9 of mosquitto on TCP with TLS, agents in Mininet behind the relay", _in_mininet(_relayed)),
    "in-band": Case("kill -9 of mosquitto in a router, reached over the routed network", _in_band(_dying)),
    "in-band-commit": Case("the same, in the commit", _in_band(_dying_in_commit)),
    "in-band-moved": Case(
        "the commit moves the paths to the broker, nothing else happens", _in_band(_moving, seconds=0.0)
    ),
    "in-band-link": Case(
        "in the commit the last link of the coordinator's path to the broker goes down", _in_band(_cut(_link_in_use))
    ),
    "in-band-cut": Case("in the commit all links of the broker's router go down", _in_band(_cut(_all_links))),
}
NEEDS_ROOT = tuple(name for name in CASES if name not in ("unix", "tcp"))
