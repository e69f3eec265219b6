"""The command ``python -m routing.formats``: look at a network in any format, or write it in another."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from routing.complete import Network
from routing.draft import MODULES, UNITS, Assumptions
from routing.errors import InputError
from routing.formats import load_network, save_network, topology_names
from routing.rates import parse_rate, rate_text
from routing.topology import Topology

_EPILOG = f"""networks: a name ({", ".join(topology_names())}, synth:NODES:LINKS[:SEED], topohub:GROUP/NAME),
or a file or folder: GraphML (.graphml), GML (.gml), REPETITA (.graph), SNDlib (.xml, or .txt for the native format),
PRISMA (folder).
What had to be assumed is said on standard error. Exit codes: 0 done; 2 bad input."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    common = _Parser(add_help=False)
    common.add_argument("network", metavar="A", help="a name, a file or a folder (see below)")
    common.add_argument(
        "--demands",
        metavar="FILE",
        help="its traffic: .demands, .csv, .npy, .npz, SNDlib or PRISMA [the network's own]",
    )
    common.add_argument(
        "--profile", default="uniform", metavar="NAME", help="which capacities of a GraphML file [uniform]"
    )
    common.add_argument(
        "--capacity", metavar="RATE", help="of links without one, such as 2.5G [10G; PRISMA: 500k, its simulator's]"
    )
    common.add_argument("--unit", choices=UNITS, default="Mbit", help="of an SNDlib file that has none [Mbit]")
    common.add_argument(
        "--modules",
        choices=MODULES,
        default="smallest",
        help="which module an SNDlib link without preinstalled capacity has [smallest]",
    )
    common.add_argument("--largest", action="store_true", help="keep only the largest connected part")
    texts: dict[str, Any] = {"epilog": _EPILOG, "formatter_class": argparse.RawDescriptionHelpFormatter}
    arguments = _Parser(
        prog="python -m routing.formats", description="Look at networks in many formats and convert them.", **texts
    )
    commands = arguments.add_subparsers(dest="command", required=True, metavar="show|convert")
    show = commands.add_parser(
        "show", parents=[common], help="print nodes, links, capacities, demand, diameter", **texts
    )
    show.add_argument("--json", action="store_true", help="as one JSON object")
    convert = commands.add_parser("convert", parents=[common], help="write A in another format", **texts)
    convert.add_argument(
        "target",
        metavar="B",
        help="a file whose name says the format, or FOLDER/ for PRISMA's files; demands without "
        "room in the format go beside it, as .demands (REPETITA) or .csv",
    )
    return arguments


def describe(network: Network) -> dict[str, Any]:
    """Return what `show` tells: numbers in bit/s, ready for JSON."""
    topology, traffic, weights = network
    rates, counts = np.unique(topology.capacity, return_counts=True)
    degree = np.bincount(topology.src, minlength=topology.num_nodes)
    demand = None if traffic is None else traffic.demand[traffic.demand > 0]
    return {
        "name": topology.name,
        "nodes": topology.num_nodes,
        "links": topology.num_links,
        "degree": {"min": int(degree.min()), "mean": float(degree.mean()), "max": int(degree.max())},
        "diameter": diameter(topology),
        "capacity": [
            {"bps": rate, "links": count} for rate, count in zip(rates.tolist(), counts.tolist(), strict=True)
        ],
        "demand": None if demand is None else {"pairs": len(demand), "bps": float(demand.sum())},
        "weights": None if weights is None else {"min": int(weights.min()), "max": int(weights.max())},
        "positions": int(np.isfinite(topology.positions).all(axis=1).sum()),
    }


def diameter(topology: Topology) -> int:
    """Return the largest number of hops between two nodes."""
    reached = np.eye(topology.num_nodes, dtype=bool)
    hops = 0
    while not reached.all():
        hops += 1
        wider = reached.copy()
        for src, dst in zip(topology.src.tolist(), topology.dst.tolist(), strict=True):
            wider[dst] |= reached[src]
        reached = wider
    return hops


def _show(facts: dict[str, Any]) -> str:
    degree, demand, weights = facts["degree"], facts["demand"], facts["weights"]
    # The most frequent ones; a converted network may have as many capacities as links.
    often = sorted(facts["capacity"], key=lambda entry: (-entry["links"], -entry["bps"]))
    capacities = [f"{entry['links']} x {rate_text(entry['bps'])}" for entry in often[:6]]
    if len(often) > 6:
        rates = [entry["bps"] for entry in often]
        capacities[5:] = [f"{len(often) - 5} others, from {rate_text(min(rates))} to {rate_text(max(rates))} in all"]
    rows = {
        "nodes": f"{facts['nodes']} ({facts['positions']} with a position)",
        "links": f"{facts['links']} directed; {degree['min']} to {degree['max']} per node, mean {degree['mean']:.2f}",
        "diameter": f"{facts['diameter']} hops",
        "capacities": ", ".join(capacities),
        "demand": "none" if demand is None else f"{rate_text(demand['bps'])} between {demand['pairs']} pairs",
        "weights": "none" if weights is None else f"{weights['min']} to {weights['max']}",
    }
    return "\n".join([facts["name"], *(f"  {title:<12}{text}" for title, text in rows.items())])


def _run(argv: Sequence[str] | None) -> None:
    options = parser().parse_args(argv)
    capacity = None if options.capacity is None else parse_rate(options.capacity)
    assume = Assumptions(capacity, options.unit, options.modules, options.largest)
    network = load_network(options.network, options.demands, profile=options.profile, assume=assume)
    if options.command == "convert":
        for path in save_network(options.target, *network):
            print(path)
    elif options.json:
        print(json.dumps(describe(network)))
    else:
        print(_show(describe(network)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after one line about what is wrong with the input."""
    logging.basicConfig(format="routing.formats: %(message)s", stream=sys.stderr)
    try:
        _run(argv)
    except InputError as error:
        print(f"routing.formats: {error}", file=sys.stderr)
        return 2
    return 0
