"""What changing costs does to packets that are under way: all at once, or in waves without loops.

    sudo python -m experiments.transition_loss gbn --trials 3

An emulated network carries real traffic at half load (so that a full queue tells of a loop or a detour, not of the
load). Its costs go from the default weights to random ones and back, in both ways in turns. Counted are packets that
never arrive, those that a router threw away because their time to live was over, that is, which went in circles, and
how long it takes until every router forwards by the new costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.commit import plan_waves
from agent.frr import FrrRouter
from emulation.console import RunConsole
from emulation.fabric import Fabric
from emulation.isolate import run_isolated
from emulation.network import Traffic, running_fabric, running_traffic
from emulation.options import parse
from emulation.plan import Plan, prepare
from emulation.prerequisites import check_emulation, extend_path
from routing.errors import InputError
from routing.state import RoutingState

_SETTLE_S = 0.6  # twice what a full queue holds: then nothing is under way


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.transition_loss", description=__doc__.splitlines()[0])
    parser.add_argument("topology", nargs="?", default="gbn", help="nsfnet, gbn, geant2 or a file (gbn)")
    parser.add_argument("--trials", type=int, default=3, metavar="N", help="there and back, each way (3)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the random costs (0)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        plan = prepare(parse([options.topology, "--load", "0.5"]))
        extend_path()
        check_emulation()
    except InputError as error:
        print(f"transition_loss: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lockstep-transition-") as folder:
        return run_isolated(lambda _: _body(plan, Path(folder), options.trials, options.seed))


def _body(plan: Plan, folder: Path, trials: int, seed: int) -> int:
    random = np.random.Generator(np.random.Philox(key=[seed, 0x77617665]))
    with (
        RunConsole(json_only=True) as console,
        running_fabric(plan, folder, console) as fabric,
        running_traffic(plan, fabric, console) as traffic,
    ):
        for _ in range(trials):
            goal = random.integers(1, 21, plan.topology.num_links)
            for way in ("at once", "ordered"):
                for start, end in ((plan.live_weights, goal), (goal, plan.live_weights)):
                    row = _transition(plan, fabric, traffic, start, end, ordered=way == "ordered")
                    print(json.dumps({"way": way, **row}), flush=True)
    return 0


def _transition(
    plan: Plan, fabric: Fabric, traffic: Traffic, start: NDArray[np.int64], end: NDArray[np.int64], *, ordered: bool
) -> dict[str, float]:
    """Change all costs under traffic; return what became of it."""
    waves = plan_waves(plan.topology, plan.traffic, start, end, ordered=ordered)
    before = _count(fabric, traffic)
    began = time.monotonic()
    for wave in waves:
        _set(fabric, wave.changes)
        fabric.wait_routes(RoutingState(plan.topology, plan.traffic, wave.weights))
    seconds = time.monotonic() - began
    after = _count(fabric, traffic)
    sent, delivered, expired, dropped = (late - early for early, late in zip(before, after, strict=True))
    return {
        "changes": int(np.count_nonzero(start != end)), "waves": len(waves), "seconds": round(seconds, 3),
        "sent": sent, "lost": sent - delivered, "expired": expired, "dropped": dropped,
    }  # fmt: skip


def _set(fabric: Fabric, changes: Mapping[int, int]) -> None:
    """Set the costs of all routers concerned at the same time, as their agents would."""
    by_node: dict[int, dict[str, int]] = {}
    for link, cost in changes.items():
        by_node.setdefault(int(fabric.topology.src[link]), {})[fabric.interface(link)] = cost

    async def one(node: int, costs: dict[str, int]) -> None:
        router = FrrRouter(fabric.vty(node))
        await router.set_costs(costs)
        await router.close()

    async def everything() -> None:
        await asyncio.gather(*(one(node, costs) for node, costs in by_node.items()))

    asyncio.run(everything())


def _count(fabric: Fabric, traffic: Traffic) -> tuple[int, int, int, int]:
    """Hold the traffic for a moment and count packets so far: sent, delivered, expired, dropped by full queues."""
    with traffic.held():
        time.sleep(_SETTLE_S)
        sent = traffic.sender.counts().sent
        delivered = int(fabric.delivered().sum())
        queues = [kernel.queues() for kernel in fabric.routes.kernels]
    expired = sum(_expired(fabric.pid(node)) for node in range(fabric.topology.num_nodes))
    return sent, delivered, expired, sum(queue.dropped for router in queues for queue in router.values())


def _expired(pid: int) -> int:
    """Return the packets whose time to live was over at a router: IP's InHdrErrors (RFC 4293)."""
    names, values = (line.split() for line in Path(f"/proc/{pid}/net/snmp").read_text().splitlines()[:2])
    return int(values[names.index("InHdrErrors")])


if __name__ == "__main__":
    sys.exit(main())
