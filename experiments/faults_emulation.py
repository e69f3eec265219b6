"""An emulated network for experiments with faults: brought up, handed over, taken down."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emulation.console import RunConsole
from emulation.fabric import Fabric
from emulation.isolate import run_isolated
from emulation.network import running_fabric
from emulation.options import parse
from emulation.plan import Plan, prepare
from emulation.prerequisites import check_emulation, extend_path
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import RECOVERED_S

TOPOLOGY = "nsfnet"


def in_network(work: Callable[[LiveNetwork], Any], topology: str = TOPOLOGY) -> Any:
    """Return what `work` returns (as JSON has it) of a network in which an episode has succeeded.

    `topology` is a name or a file.

    Raises
    ------
    EmulationError, InputError
        If a tool is missing.
    """

    def begin(plan: Plan, fabric: Fabric, folder: Path) -> Any:
        with LiveNetwork(plan, fabric, folder) as live:
            if live.good_episode(0, RECOVERED_S) is None:
                raise RuntimeError("no episode succeeds before any fault")
            return work(live)

    return on_fabric(lambda: prepare(parse([topology])), begin)


def on_fabric(planned: Callable[[], Plan], work: Callable[[Plan, Fabric, Path], Any]) -> Any:
    """Return what `work` returns (as JSON has it) of a plan's routers, which forward as it says, and a folder.

    Raises
    ------
    EmulationError, InputError
        If a tool is missing.
    """
    extend_path()
    check_emulation()
    with tempfile.TemporaryDirectory(prefix="lockstep-live-") as folder:
        result = Path(folder) / "result.json"

        def body() -> int:
            plan = planned()
            run = Path(folder) / "run"
            run.mkdir()
            with RunConsole(json_only=True) as console, running_fabric(plan, run, console) as fabric:
                result.write_text(json.dumps(work(plan, fabric, run)))
            return 0

        code = run_isolated(lambda _: body())
        if code != 0 or not result.exists():
            raise RuntimeError(f"the emulation ended with code {code}")
        return json.loads(result.read_text())
