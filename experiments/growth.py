"""What an optimisation costs as networks grow: measured from 10 to 1000 routers, fitted, and carried on to 10,000.

    python -m experiments.growth --out OUT

Generated networks (``synth:N:L`` with 3.5 links per router), their own traffic, T = 2.75 L steps, one link per step.
Time is processor time of one thread for all decisions of an episode, the least of some repeats; what agents would send
is calculated (`experiments.cost` compares that with counted bytes).
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path

from agent.tree import spanning_tree
from emulation.atomic import write_atomic
from experiments.batch import Parser, command, natural
from experiments.cost_case import LARGE_TEMPERATURE
from experiments.cost_engines import busiest
from experiments.cost_model import calculated, delays, propagation
from experiments.growth_model import Fit, fitted, links_of, matrix_bytes, state_bytes, steps_of
from policy.checkpoint import Checkpoint, load_checkpoint
from policy.episode import Episode, run_episode
from routing.complete import Network
from routing.errors import InputError
from routing.formats import load_network
from routing.state import inverse_capacity

SIZES = (10, 20, 50, 100, 200, 500, 1000)
QUICK = (10, 20, 50)
FAR = 10_000


@dataclass(frozen=True)
class Row:
    """One network. Bytes are UDP payload without repetitions, means per directed link and optimisation.

    `central_s`: one process for all; `router_s`: what the router with most links computes, without what messages take;
    `memory_bytes`: of its state. `propagation_s`: if only light took time, on a square of 4000 km.
    """

    nodes: int
    links: int
    steps: int
    tree_depth: int
    central_s: float
    router_s: float
    memory_bytes: int
    frames_per_link: float
    bytes_per_link: float
    propagation_s: float
    mlu_before: float
    mlu: float


# What is fitted, with its unit and the value at which one may call it impractical, and why.
LAWS = {
    "central_s": ("s of one core, central engine", 300.0, "five minutes: traffic has changed before it is answered"),
    "router_s": ("s of one core, each router", 300.0, "the same, on the processor of a router"),
    "memory_bytes": ("bytes of memory, each router", 1e9, "a gigabyte in every router"),
    "bytes_per_link": ("bytes over each link", 1e7, "8 s of a channel of 10 Mbit/s over every link"),
    "propagation_s": ("s that light takes", 300.0, "five minutes, however fast the computers are"),
}


def measure(network: Network, checkpoint: Checkpoint, seed: int, repeats: int) -> Row:
    """Measure one size, times at the least of so many `repeats`; raises InputError if there is no traffic."""
    topology, traffic = network.topology, network.traffic
    if traffic is None:
        raise InputError(f"{topology.name} has no traffic of its own")
    start, steps = inverse_capacity(topology), steps_of(topology.num_links)
    tracemalloc.start()
    Episode(topology, traffic, start, steps, checkpoint.preset.features)
    memory = tracemalloc.get_traced_memory()[1] + traffic.demand.nbytes
    tracemalloc.stop()
    run_episode(topology, traffic, start, checkpoint, steps=2, seed=seed)
    central_s = router_s = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        trace = run_episode(
            topology, traffic, start, checkpoint, steps=steps, seed=seed, temperature=LARGE_TEMPERATURE, opening=1,
            patience=0,
        )  # fmt: skip
        central_s = min(central_s, time.process_time() - began)
        router_s = min(router_s, busiest(topology, traffic, checkpoint, trace))
    preset = checkpoint.preset
    sent = calculated(topology, [1] * steps, preset.rounds, 2 * preset.hidden)
    return Row(
        nodes=topology.num_nodes,
        links=topology.num_links,
        steps=steps,
        tree_depth=spanning_tree(topology).depth,
        central_s=central_s,
        router_s=router_s,
        memory_bytes=memory,
        frames_per_link=sent.frames,
        bytes_per_link=sent.bytes,
        propagation_s=propagation(topology, delays(topology), steps, preset.rounds),
        mlu_before=float(trace.mlu[0]),
        mlu=trace.best_mlu,
    )


def fits(rows: Sequence[Row]) -> dict[str, Fit]:
    """Fit every law to the larger networks: below 50 routers what does not grow hides what does."""
    large = [row for row in rows if row.nodes >= 50] or list(rows)
    large = large if len(large) > 1 else list(rows)
    return {name: fitted([row.nodes for row in large], [getattr(row, name) for row in large]) for name in LAWS}


def markdown(rows: Sequence[Row], laws: dict[str, Fit]) -> str:
    """Return the measurements, the fits, and what `FAR` routers would need."""
    lines = [
        "| routers | links | T | depth of the tree | central, CPU s | each router, CPU s | memory | frames/link "
        "| kB/link | light, s | MLU before | after |",
        "|--:" * 12 + "|",
    ]
    for row in rows:
        lines.append(
            f"| {row.nodes} | {row.links} | {row.steps} | {row.tree_depth} | {row.central_s:.3g} | {row.router_s:.3g} "
            f"| {_size(row.memory_bytes)} | {row.frames_per_link:,.0f} | {row.bytes_per_link / 1e3:,.0f} "
            f"| {row.propagation_s:.3g} | {row.mlu_before:.3f} | {row.mlu:.3f} |"
        )
    lines += [
        "",
        f"| grows as | routers to the power | fit off by at most | {FAR:,} routers | impractical from | because |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, fit in laws.items():
        what, limit, because = LAWS[name]
        # No more digits than a fit that is off by a third has.
        far = _size(_round(fit.at(FAR), 2)) if "bytes" in name else f"{_round(fit.at(FAR), 2):,.0f} s"
        limiting = f"{_round(fit.nodes_for(limit), 1):,.0f}"
        cells = [what, f"{fit.exponent:.2f}", f"{fit.spread - 1:.0%}", far, limiting, because]
        lines.append("| " + " | ".join(cells) + " |")
    links = links_of(FAR)
    lines += [
        "",
        f"By counting, {FAR:,} routers and {links:,} links take T = {steps_of(links):,} steps, each router's state "
        f"{_size(state_bytes(FAR))}, and the traffic matrix that every router is sent {_size(matrix_bytes(FAR))}.",
    ]
    return "\n".join(lines)


def _size(amount: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= factor:
            return f"{amount / factor:.3g} {unit}"
    return f"{amount:.0f} B"


def _round(amount: float, digits: int) -> float:
    return float(f"{amount:.{digits}g}")


def _run(argv: Sequence[str] | None) -> int:
    arguments = Parser(prog="python -m experiments.growth", description=(__doc__ or "").split("\n")[0])
    add = arguments.add_argument
    add("--sizes", metavar="N,...", help=f"numbers of routers [{','.join(map(str, SIZES))}]")
    add("--checkpoint", default="default", metavar="NAME|FILE", help="the policy [default]")
    add("--seed", type=natural, default=1, help="of the samples [1]")
    add("--repeats", type=natural, default=3, metavar="N", help="the least of N counts [3]")
    add("--quick", action="store_true", help=f"only {', '.join(map(str, QUICK))} routers")
    add("--out", type=Path, metavar="DIR", help="write growth.csv, growth.md and growth.png there")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    options = arguments.parse_args(argv)
    if options.out is not None and find_spec("matplotlib") is None:
        raise InputError("--out draws a figure and needs matplotlib, expected `scripts/setup experiments`")
    if options.repeats < 1:
        raise InputError(f"--repeats {options.repeats}, expected at least 1")
    sizes = _sizes(options.sizes) if options.sizes else QUICK if options.quick else SIZES
    checkpoint = load_checkpoint(options.checkpoint)
    networks = [load_network(f"synth:{nodes}:{links_of(nodes)}") for nodes in sizes]
    rows = []
    for network in networks:
        rows.append(measure(network, checkpoint, options.seed, options.repeats))
        print(f"{rows[-1].nodes} routers: {rows[-1].central_s:.3g} s, each {rows[-1].router_s:.3g} s", file=sys.stderr)
    laws = fits(rows)
    if options.json:
        found = {"rows": [asdict(row) for row in rows], "fits": {name: asdict(fit) for name, fit in laws.items()}}
        print(json.dumps(found | {"at": {str(FAR): {name: fit.at(FAR) for name, fit in laws.items()}}}))
    else:
        print(markdown(rows, laws))
    if options.out is not None:
        _write(rows, laws, options.out)
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    sizes = {int(part) if part.isascii() and part.isdigit() else 0 for part in parts}
    if 0 in sizes or len(sizes) < 2:
        raise InputError(f"--sizes {text!r}, expected at least two different numbers as in 10,100,1000")
    return tuple(sorted(sizes))


def _write(rows: Sequence[Row], laws: dict[str, Fit], folder: Path) -> None:
    from experiments.growth_figure import draw  # matplotlib: only where a figure is wanted

    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    names = [field.name for field in fields(Row)]
    csv.writer(text, lineterminator="\n").writerows([names, *([getattr(row, name) for name in names] for row in rows)])
    write_atomic(folder / "growth.csv", text.getvalue().encode())
    write_atomic(folder / "growth.md", (markdown(rows, laws) + "\n").encode())
    draw(rows, laws, folder / "growth.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 bad input, 130 or 143 when interrupted."""
    return command("growth", _run, argv, hint="")


if __name__ == "__main__":
    sys.exit(main())
