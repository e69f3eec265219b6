"""The main job, once there is a place for the agents: measure, optimise, measure again, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.credentials import Door
from coordinator.outcome import Outcome
from coordinator.overhead import MqttOverhead
from emulation import assemble
from emulation.agentconf import Place, agent_config, on_fabric, on_loopback, write_shared
from emulation.agents import Agents
from emulation.assemble import Seen
from emulation.console import EpisodeProgress, RunConsole
from emulation.counters import counted_in_all
from emulation.doors import Doors, own_doors, relayed, users_doors
from emulation.fabric import Fabric
from emulation.inputs import write_inputs
from emulation.network import measured, running_fabric, running_traffic
from emulation.optimise import optimise
from emulation.outage import OutageRun
from emulation.plan import Plan
from emulation.records import Computing
from emulation.report import write_report
from emulation.results import write_links, write_manifest, write_steps, write_summary
from emulation.usage import AgentsUsage
from routing.state import RoutingState
from routing.subnetwork import without

_RELAY_LOG = "relay.log"
EXIT = {"committed": 0, "kept": 0, "aborted": 3}


def run_emulated(
    plan: Plan, folder: Path, console: RunConsole, host_network: int, then: Callable[[Fabric], None]
) -> int:
    """Run on Mininet and FRR: bring up, measure, optimise, verify, measure; `then` comes before the network goes.

    `host_network` is a descriptor of the network namespace outside, where a user's broker is.

    Raises EmulationError if a tool, daemon or agent fails.
    """
    began = time.monotonic()
    started = _now()
    with running_fabric(plan, folder, console) as fabric:
        bring_up_s = time.monotonic() - began
        place = on_fabric(fabric)
        with (
            entered(plan, folder, host_network) as doors,
            _agents(plan, folder, place, doors, console, fabric.folder) as agents,
        ):
            with running_traffic(plan, fabric, console) as traffic:
                before = measured(plan, fabric, traffic, console, "measure before")
                counted = fabric.agent_counters()
                outage = OutageRun(plan, fabric, traffic, agents.kill) if plan.failure else None
                outcome, mqtt, computing = _episode(plan, doors.coordinator.door(), agents, console, outage)
                if outage:
                    outage.stop_watching(outcome.verdict == "committed")
                left = outage.left if outage else without(plan.topology, ())
                with console.phase("routes") as phase:
                    state = assemble.state_after(plan, outcome, left)
                    waited_s = fabric.wait_routes(state, left)
                    routes = fabric.routes_verified(state, left)
                    phase.update(f"{routes[0]} of {routes[1]} as the model's")
                failure = outage.finish(outcome.verdict == "committed") if outage else None
                kernel = tuple(now - then_ for now, then_ in zip(fabric.agent_counters(), counted, strict=True))
                after = measured(plan, fabric, traffic, console, "measure after")
        counted_all = counted_in_all(map(fabric.folder, range(plan.topology.num_nodes)), fabric.agent_counters())
        commit_s = _commit_s(outcome)
        seen = Seen(
            outcome=outcome,
            mqtt=mqtt,
            before=before,
            after=after,
            kernel=(kernel[0], kernel[1]),
            routes=routes,
            bring_up_s=bring_up_s,
            commit_s=None if commit_s is None else commit_s + waited_s,
            total_s=time.monotonic() - began,
            left=left,
            failure=failure,
            computing=computing,
            counted=counted_all,
        )
        code = _report(plan, folder, seen, started, console)
        then(fabric)
    return code


def run_loopback(plan: Plan, folder: Path, console: RunConsole) -> int:
    """Run the agents as processes of this machine: real frames over UDP, costs in a model instead of OSPF."""
    began = time.monotonic()
    started = _now()
    console.warn("on loopback there is no OSPF and no traffic: costs go to the routing model, nothing is measured")

    def router_folder(node: int) -> Path:
        return folder / plan.topology.nodes[node]

    for node in range(plan.topology.num_nodes):
        router_folder(node).mkdir()
    with (
        entered(plan, folder, None) as doors,
        _agents(plan, folder, on_loopback(plan.topology), doors, console, router_folder) as agents,
    ):
        bring_up_s = time.monotonic() - began
        outcome, mqtt, computing = _episode(plan, doors.coordinator.door(), agents, console)
    seen = Seen(
        outcome=outcome,
        mqtt=mqtt,
        before=None,
        after=None,
        kernel=None,
        routes=None,
        bring_up_s=bring_up_s,
        commit_s=_commit_s(outcome),
        total_s=time.monotonic() - began,
        left=without(plan.topology, ()),
        computing=computing,
    )
    return _report(plan, folder, seen, started, console)


@contextmanager
def entered(plan: Plan, folder: Path, host_network: int | None) -> Iterator[Doors]:
    """Use the user's broker, through a relay where there is no other way, or one of our own."""
    given = users_doors(plan.options, plan.topology)
    if given is None:
        with own_doors(folder, plan.topology) as doors:
            yield doors
    elif host_network is None:
        yield given
    else:
        with relayed(given, host_network, folder / _RELAY_LOG) as doors:
            yield doors


@contextmanager
def _agents(
    plan: Plan,
    folder: Path,
    place: Place,
    doors: Doors,
    console: RunConsole,
    router_folder: Callable[[int], Path],
) -> Iterator[Agents]:
    """Start an agent for each router, and end them."""
    options, topology = plan.options, plan.topology
    write_shared(folder, topology)
    configs = [
        agent_config(place, topology, node, folder, entry=doors.agents[node], checkpoint=options.checkpoint)
        for node in range(topology.num_nodes)
    ]
    agents = Agents(configs, place, router_folder)
    try:
        with console.phase("agents") as phase:
            if options.spawn == "fork":
                agents.hatch()
            else:
                agents.execute()
            phase.update(f"{len(agents.pids)} processes, {'forked' if options.spawn == 'fork' else 'by command'}")
        yield agents
    finally:
        agents.stop()


def _episode(
    plan: Plan, door: Door, agents: Agents, console: RunConsole, outage: OutageRun | None = None
) -> tuple[Outcome, MqttOverhead, Computing | None]:
    """Let the agents decide, showing how they get on, and let fail what is to fail meanwhile."""
    live, start = (
        plan.live.mlu,
        RoutingState(plan.topology, plan.traffic, plan.start_weights, ecmp=plan.options.ecmp).mlu,
    )
    waiting = ExitStack()
    phase = waiting.enter_context(console.phase("neighbours meet"))
    progress: list[EpisodeProgress] = []  # empty until the first step
    usage = AgentsUsage(agents)

    def on_waiting(ready: int, total: int) -> None:
        phase.update(f"{ready} of {total} agents ready")

    def on_step(step: int, mlu: float, links: str) -> None:
        if not progress:
            usage.begin()
            phase.update(f"all agents ready, {usage.memory_bytes / 1e6:.1f} MB each")
            waiting.close()
        if not step:  # the episode, or what the coordinator started again in its place
            for shown in progress[-1:]:
                shown.finish("started again")
            now = outage.live_mlu if outage is not None else None
            progress.append(console.episode(plan.steps, live=now or live, start=mlu if progress else start))
        else:
            progress[-1].step(step, mlu, links)
        if outage is not None:
            outage.on_step(step)

    with waiting:
        outcome, mqtt = optimise(plan, door, watch=agents.check_alive, on_waiting=on_waiting, on_step=on_step)
    computing = usage.end(outcome.root.steps * plan.checkpoint.preset.rounds if outcome.root else 0)
    if outage is not None:
        outage.episode_ended()
    for shown in progress[-1:]:
        shown.finish(outcome.reason)
    return outcome, mqtt, computing


def _report(plan: Plan, folder: Path, seen: Seen, started: str, console: RunConsole) -> int:
    """Write the run folder, show the outcome, return the exit code."""
    outcome = seen.outcome
    root = outcome.root
    rows = assemble.link_rows(plan, seen)
    record = assemble.summary(plan, seen)
    write_inputs(folder, assemble.inputs(plan, outcome))
    write_steps(folder, root.links[1:] if root else [], root.mlu[1:] if root else [])
    write_links(folder, rows)
    write_manifest(folder, assemble.manifest(plan, outcome, sys.argv[1:], started))
    write_summary(folder, record)
    report = write_report(folder)
    console.show(record, rows, str(report))
    return EXIT[record.status]


def _commit_s(outcome: Outcome) -> float | None:
    times = [result.commit_s for result in outcome.results.values() if result.status == "committed"]
    return max(times, default=None)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
