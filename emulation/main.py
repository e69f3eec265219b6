"""The main job, in the project's environment: options, checks, and then the run in namespaces of its own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from emulation.byhand import leave_to_user
from emulation.console import RunConsole
from emulation.fabric import Fabric
from emulation.isolate import Isolation, run_isolated
from emulation.job import run_emulated, run_loopback
from emulation.network import measured, running_fabric, running_traffic
from emulation.options import Options, parse
from emulation.plan import Plan, prepare, run_folder
from emulation.prerequisites import check_emulation, extend_path
from emulation.processes import EmulationError
from emulation.replay import replay
from routing.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code (0 done, 1 internal error, 2 bad input, 3 aborted, 128+n signal)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        options = parse(arguments)
        return _run(options)
    except InputError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: Options) -> int:
    if options.replay is not None:
        return replay(options.replay)
    plan = prepare(options)
    if options.fabric == "loopback":
        folder = run_folder(options.out, plan.topology.name)
        return _with_console(options, lambda console: run_loopback(plan, folder, console))
    extend_path()
    check_emulation()
    folder = run_folder(options.out, plan.topology.name)
    return run_isolated(
        lambda isolation: _with_console(options, lambda console: _on_emulated_network(plan, folder, isolation, console))
    )


def _with_console(options: Options, body: Callable[[RunConsole], int]) -> int:
    with RunConsole(json_only=options.json) as console:
        try:
            return body(console)
        except EmulationError as error:
            console.error(str(error))
            return 1


def _on_emulated_network(plan: Plan, folder: Path, isolation: Isolation, console: RunConsole) -> int:
    """Run on Mininet and FRR, inside the namespaces; return the exit code."""
    if plan.options.agents:

        def then(fabric: Fabric) -> None:
            if plan.options.cli:
                fabric.hosts.prompt()

        return run_emulated(plan, folder, console, isolation.host_network, then)
    with running_fabric(plan, folder, console) as fabric, running_traffic(plan, fabric, console) as traffic:
        measured(plan, fabric, traffic, console, "measure before")
        leave_to_user(plan, fabric, isolation, console)
        return 0
