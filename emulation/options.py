"""The command line of the main job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, cast

from policy.schedule import MAX_STEPS
from routing.errors import InputError

_EPILOG = """\
exit codes: 0 done; 1 internal error; 2 bad input; 3 aborted, costs unchanged; 130 Ctrl-C; 143 SIGTERM.
Whatever the end, no process, namespace, interface or route is left."""


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes
    ----------
    topology : a name, or a file in one of the formats that `routing.formats` reads
    profile : whose capacities, ``uniform`` or ``gravity``
    traffic : ``uniform``, ``gravity`` or a file
    load : predicted MLU under the live costs, to which the matrix is scaled; 0 leaves it as it is
    initial : where the episode starts: ``inverse-capacity``, ``random:SEED`` or a file
    seed : of traffic, sampling and the routers' hashes
    steps : T; None: the topology's default
    patience : steps without anything better after which the episode ends, 0: never; None: the checkpoint's
    checkpoint : name or file
    share : what agents send of their choice
    commit : costs change in waves in which no packet can loop, or at once
    ecmp : False: one next hop per route
    fabric : Mininet and FRR, or processes on loopback addresses
    spawn : how agents start
    broker : ``unix:PATH`` or ``host:port``; None: our own
    credentials : folder that ``python -m coordinator broker`` made, for a broker over TCP
    insecure_broker : allow one over TCP without credentials
    rate : bit/s of the link with the largest capacity
    window_s : length of each traffic measurement
    out : run folder; None: runs/<time>-<topology>
    json : only the summary, as JSON, on standard output
    cli : Mininet's prompt when done
    agents : False: network only, and how to launch the agents by hand
    fail, fail_router : ``A-B@STEP``, ``ROUTER@STEP``: what fails after a step of the episode
    replay : recompute the decisions of this run folder instead
    """

    topology: str
    profile: str | None
    traffic: str
    load: float
    initial: str
    seed: int
    steps: int | None
    patience: int | None
    checkpoint: str
    share: Literal["candidate", "logits"]
    commit: Literal["ordered", "at-once"]
    ecmp: bool
    fabric: Literal["mininet", "loopback"]
    spawn: Literal["fork", "exec"]
    broker: str | None
    credentials: Path | None
    insecure_broker: bool
    rate: float
    window_s: float
    out: Path | None
    json: bool
    cli: bool
    agents: bool
    fail: str | None
    fail_router: str | None
    replay: Path | None


class _Parser(argparse.ArgumentParser):
    """One line per mistake, as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line. Raises InputError for a mistake, SystemExit(0) after ``--help``."""
    parser = _Parser(
        prog="emulation/run.py",
        description="A network of real OSPF routers (FRR in Mininet) whose agents tune their own link costs, "
        "measured before and after under real traffic.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("topology", nargs="?", default=None, help="nsfnet, gbn, geant2, synth:N:L, or a file (docs/formats.md)")
    network = parser.add_argument_group("network and traffic")
    add = network.add_argument
    add("--profile", metavar="NAME", help="which capacities of the topology (default: as the traffic, else uniform)")
    add("--traffic", default="uniform", metavar="uniform|gravity|FILE", help="traffic matrix (default: uniform)")
    add("--load", type=_non_negative, default=0.9, metavar="U", help="scale it to this predicted MLU (0.9); 0: do not")
    add(
        "--initial", default="inverse-capacity", metavar="inverse-capacity|random:SEED|FILE", help="the episode's start"
    )
    add("--no-ecmp", dest="ecmp", action="store_false", help="one next hop per route")
    add("--rate", type=_positive, default=10.0, metavar="MBIT", help="Mbit/s of the largest link (10)")
    add("--window", type=_positive, default=8.0, metavar="SECONDS", help="length of each measurement (8)")
    decision = parser.add_argument_group("decisions")
    add = decision.add_argument
    add("--checkpoint", default="default", metavar="NAME|FILE", help="the policy (default: default)")
    add("--steps", type=_whole, metavar="T", help="length of the episode (100, 150, 200; else 2.75 per link)")
    add(
        "--patience", type=_count, metavar="P", help="end after P steps without a better state; 0: never (checkpoint's)"
    )
    add("--seed", type=_seed, default=0, metavar="S", help="of traffic, decisions and hashes (0)")
    add("--commit", choices=("ordered", "at-once"), default="ordered", help="set costs in loop-free waves, or at once")
    add("--share", choices=("candidate", "logits"), default="candidate", help="what agents tell of their choice")
    running = parser.add_argument_group("running")
    add = running.add_argument
    add("--fabric", choices=("mininet", "loopback"), default="mininet", help="loopback: no root, no OSPF, no traffic")
    add("--spawn", choices=("fork", "exec"), default="fork", help="how agents start")
    add("--fail", metavar="A-B@STEP", help="let the link between A and B fail after a step; needs Mininet")
    add("--fail-router", metavar="R@STEP", help="let router R fail after a step; needs Mininet")
    add("--broker", metavar="unix:PATH|HOST:PORT", help="an MQTT broker that runs already")
    add("--credentials", type=Path, metavar="DIR", help="certificates for it, made by python -m coordinator broker DIR")
    add("--insecure-broker", action="store_true", help="allow a broker over TCP without certificates")
    add("--out", type=Path, metavar="DIR", help="run folder (runs/<time>-<topology>)")
    add("--json", action="store_true", help="only the summary, as JSON, on standard output")
    add("--cli", action="store_true", help="Mininet's prompt when done")
    add("--no-agents", dest="agents", action="store_false", help="network and traffic only; says how to launch agents")
    add("--replay", type=Path, metavar="DIR", help="recompute a run's decisions from its folder and compare")
    given = parser.parse_args(arguments)
    if given.topology is None and given.replay is None:
        parser.error("which topology?")
    if given.fabric == "loopback" and (given.cli or not given.agents):
        parser.error("--cli and --no-agents need --fabric mininet")
    if (given.fail or given.fail_router) and (given.fabric == "loopback" or not given.agents):
        parser.error("--fail and --fail-router need --fabric mininet and agents")
    values = vars(given)
    values["window_s"] = values.pop("window")
    values["rate"] *= 1e6
    values["topology"] = cast(str, values["topology"] or "")
    return Options(**values)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a positive number")
    return value


def _non_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else _positive(text)


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MAX_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number 0..{MAX_STEPS}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number 0..2**63-1")
    return value
