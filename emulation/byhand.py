"""``--no-agents``: network, traffic and a broker stay up, and the user launches agents and coordinator by hand."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

from emulation.agentconf import TOPOLOGY_FILE, agent_config, on_fabric, write_config, write_shared
from emulation.console import RunConsole
from emulation.doors import Doors, Entry
from emulation.fabric import Fabric
from emulation.isolate import Isolation
from emulation.job import entered
from emulation.plan import Plan
from routing.traffic import save_traffic

_ROOT = Path(__file__).resolve().parent.parent
_TRAFFIC_FILE = "traffic.npy"


def leave_to_user(plan: Plan, fabric: Fabric, isolation: Isolation, console: RunConsole) -> None:
    """Say how to launch each agent and the coordinator; then Mininet's prompt with ``--cli``, else wait for Ctrl-C."""
    with entered(plan, fabric.run_dir, isolation.host_network) as doors:
        console.heading("As root in other terminals, one command per agent, and the coordinator:")
        for name, command in launch_commands(plan, fabric, isolation, doors).items():
            print(f"{name}: {command}")
        print(f"coordinator: {coordinator_command(plan, fabric, doors.coordinator)}", flush=True)
        if plan.options.cli:
            fabric.hosts.prompt()
            return
        console.heading("The network stays up until Ctrl-C.")
        while True:
            signal.pause()


def launch_commands(plan: Plan, fabric: Fabric, isolation: Isolation, doors: Doors) -> dict[str, str]:
    """Write each agent's configuration and return the commands that launch them from outside: router -> command."""
    topology, folder = plan.topology, fabric.run_dir
    write_shared(folder, topology)
    place = on_fabric(fabric)
    commands = {}
    for node, name in enumerate(topology.nodes):
        config = agent_config(
            place, topology, node, folder, entry=doors.agents[node], checkpoint=_absolute(plan.options.checkpoint)
        )
        path = write_config(fabric.folder(node), config)
        # First into the run's pid and mount namespaces, where processes have other numbers; then into the router's.
        enter = f"nsenter --target {isolation.init_pid} --pid --mount nsenter --target {fabric.pid(node)} --net"
        commands[name] = f"{enter} {_python('agent', '--config', str(path))}"
    return commands


def coordinator_command(plan: Plan, fabric: Fabric, entry: Entry) -> str:
    """Write the traffic matrix, and return the command that has the agents optimise for it."""
    options, folder = plan.options, fabric.run_dir
    save_traffic(folder / _TRAFFIC_FILE, plan.traffic, plan.topology)
    arguments = [
        "--topology", str(folder / TOPOLOGY_FILE), "--broker", entry.broker, "--traffic", str(folder / _TRAFFIC_FILE),
        "--steps", str(plan.steps), "--seed", str(options.seed), "--initial", _absolute(options.initial),
        "--checkpoint", _absolute(options.checkpoint), "--share", options.share, "--patience", str(plan.patience),
    ]  # fmt: skip
    return _python("coordinator", *arguments, *([] if options.ecmp else ["--no-ecmp"]))


def _python(module: str, *arguments: str) -> str:
    return shlex.join(["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", module, *arguments])


def _absolute(name_or_path: str) -> str:
    """Make a file's path absolute, since the command may be given in another folder; leave a name as it is."""
    return str(Path(name_or_path).resolve()) if Path(name_or_path).suffix else name_or_path
