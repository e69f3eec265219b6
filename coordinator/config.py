"""The command line of `python -m coordinator`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from agent.broker import DOMAIN_PATTERN
from agent.credentials import Door, open_door
from routing.errors import InputError

_HOLD_S = 5.0  # after a commit, where episodes follow each other
_GUARD_S = 120.0
_EXAMPLES = """\
A traffic matrix is
  uniform[:SEED], gravity[:SEED]  a random one (seed: that of --seed)
  FILE.csv                        a header of node names and one row per source, or rows of src,dst,bps
  FILE.npy, FILE.npz              (N, N), bit/s
All matrices given are run one after the other. With --watch or --every the program then stays: a new or changed file in
the folder is run at once (but not sooner than --hold after a commit) and cancels an episode that still runs; every so
many seconds the newest matrix runs again.

examples:
  python -m coordinator --topology gbn --broker unix:/run/lockstep.sock --traffic uniform
  python -m coordinator --topology net.graphml --broker 10.0.0.9 --credentials tls/coordinator --watch matrices/ --json

other commands, each with its --help:
  python -m coordinator keygen FILE    make a domain key, which all agents share
  python -m coordinator broker DIR     make a broker's configuration, certificates and access rules

exit codes: 0 done; 2 bad input; 3 an episode was aborted, or agents are missing; 130, 143 stopped by a signal.
"""


@dataclass(frozen=True)
class Config:
    """What the coordinator was asked to do.

    Attributes
    ----------
    topology, profile, checkpoint, initial : names or files; `profile` picks the capacities
    door, domain : the broker and how to enter it, and the name under which the agents are found there
    traffic : matrices to run, in order
    watch : folder of further ones, if any
    every_s : period at which the newest is run again, in seconds, if at all
    steps : T; None: the topology's usual number
    seed : of the sampling and of random matrices
    increments : links per step
    opening : links in the first step; None: the checkpoint's
    patience : steps without anything better after which an episode ends, 0: never; None: the checkpoint's
    temperature_milli : in thousandths; None: the checkpoint's
    margin_milli : in thousandths of the live MLU
    ordered : commit in waves during which no packet loops
    attempts : how often an episode that is aborted is tried
    hold_s : shortest time between a commit and the next request, in seconds
    watch_s : how long to watch the links after a commit, in seconds; 0: not
    silence_s : how long to wait for a sign of a running episode, in seconds
    wait_s : how long to wait for agents, in seconds; None: for ever
    """

    topology: str
    profile: str
    checkpoint: str
    initial: str
    door: Door
    domain: str
    traffic: tuple[str, ...]
    watch: Path | None
    every_s: float | None
    steps: int | None
    seed: int
    increments: int
    opening: int | None
    patience: int | None
    temperature_milli: int | None
    margin_milli: int
    share: Literal["candidate", "logits"]
    ecmp: bool
    ordered: bool
    attempts: int
    hold_s: float
    watch_s: float
    silence_s: float
    wait_s: float | None
    json: bool
    verbose: bool


class Parser(argparse.ArgumentParser):
    """Raises `InputError`: one line per mistake, as everywhere."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise InputError(f"{message} (see --help)")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m coordinator",
        description="Wait for the agents, give them traffic matrices to optimise for, report what they did.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--topology",
        required=True,
        metavar="NAME|FILE",
        help="nsfnet, gbn, geant2 or a file (docs/formats.md), the agents' own",
    )
    add(
        "--profile",
        metavar="NAME",
        help="which capacities, if the topology has several [that of the first random --traffic, else uniform]",
    )
    add("--broker", required=True, metavar="unix:PATH|HOST:PORT", help="MQTT broker")
    add("--credentials", default="", metavar="DIR", help="certificates for a broker over TCP, from the command broker")
    add(
        "--insecure-broker",
        action="store_true",
        help="allow TCP without certificates: whoever reaches the broker can give orders",
    )
    add(
        "--domain",
        type=domain_name,
        default="default",
        metavar="NAME",
        help="which agents, if several groups share the broker [default]",
    )
    add(
        "--traffic", action="append", default=[], metavar="uniform|gravity|FILE", help="traffic matrix; may be repeated"
    )
    add("--watch", type=Path, metavar="DIR", help="run every new or changed traffic matrix in this folder")
    add("--every", type=_seconds, metavar="SECONDS", help="run the newest traffic matrix again at this period")
    add("--steps", type=_positive, metavar="T", help="decisions per episode [100, 150, 200; else 2.75 per link]")
    add("--increments", type=_positive, default=1, metavar="N", help="links per decision, at most 64 [1]")
    add("--seed", type=_natural, default=1, metavar="NUMBER", help="of the decisions and of random matrices [1]")
    add(
        "--initial",
        default="inverse-capacity",
        metavar="inverse-capacity|random:SEED|FILE",
        help="weights at the start of each episode [inverse-capacity]",
    )
    add("--checkpoint", default="default", metavar="NAME|FILE", help="policy, as the agents have it [default]")
    add(
        "--share", choices=["candidate", "logits"], default="candidate", help="what routers tell each other [candidate]"
    )
    add(
        "--margin",
        type=float,
        default=1.0,
        metavar="PERCENT",
        help="costs change only if the MLU falls by this much [1]",
    )
    add("--opening", type=_positive, metavar="N", help="links in the first step, then fewer [the checkpoint's]")
    add(
        "--patience",
        type=_natural,
        metavar="P",
        help="end an episode after P steps that brought nothing better; 0: never [the checkpoint's]",
    )
    add("--temperature", type=float, metavar="X", help="of the sampling [the checkpoint's]")
    add("--no-ecmp", action="store_true", help="one next hop instead of equal shares")
    add(
        "--commit",
        choices=["ordered", "at-once"],
        default="ordered",
        help="set costs in waves in which no packet can loop, or all at once [ordered]",
    )
    add("--attempts", type=_positive, default=5, metavar="N", help="how often to try an episode that is aborted [5]")
    add(
        "--hold",
        type=_seconds,
        metavar="SECONDS",
        help="wait so long after a commit before the next episode [5 with --watch or --every, else 0]",
    )
    add(
        "--guard",
        type=_seconds,
        metavar="SECONDS",
        help="watch the links' counters for so long after a commit, and take it back if the MLU is 10 %% above the "
        "predicted one for 30 s [120 with --watch or --every, else not]",
    )
    add(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="give an episode up when nothing was heard of it for so long [30]",
    )
    add("--wait", type=_seconds, metavar="SECONDS", help="give up when agents are missing for so long [wait for ever]")
    add("--json", action="store_true", help="print JSON lines")
    add("--verbose", action="store_true", help="log the connection to the broker on stderr")
    return parser


def parse_config(argv: Sequence[str] | None) -> Config:
    """Return what the command line says; raise `InputError` for what cannot be."""
    args = make_parser().parse_args(argv)
    if not args.traffic and args.watch is None:
        raise InputError("nothing to run: expected --traffic or --watch (see --help)")
    if args.watch is not None and not args.watch.is_dir():
        raise InputError("is no folder, expected one with traffic matrices", args.watch)
    if not 0 <= args.margin <= 100:
        raise InputError(f"margin {args.margin}, expected 0..100 percent")
    if args.temperature is not None and not 0.001 <= args.temperature <= 1000:
        raise InputError(f"temperature {args.temperature}, expected 0.001..1000")
    if args.seed >= 2**63 or max(args.increments, args.opening or 1) > 64 or (args.steps or 1) > 1_000_000:
        raise InputError("expected --seed below 2**63, --increments and --opening up to 64, --steps up to 1000000")
    if (args.patience or 0) > 1_000_000:
        raise InputError(f"--patience {args.patience}, expected at most 1000000")
    stays = args.watch is not None or args.every is not None
    model = args.traffic[0].partition(":")[0] if args.traffic else ""
    return Config(
        topology=args.topology,
        profile=args.profile or ("gravity" if model == "gravity" else "uniform"),
        checkpoint=args.checkpoint,
        initial=args.initial,
        door=open_door(args.broker, args.credentials, insecure=args.insecure_broker),
        domain=args.domain,
        traffic=tuple(args.traffic),
        watch=args.watch,
        every_s=args.every,
        steps=args.steps,
        seed=args.seed,
        increments=args.increments,
        opening=args.opening,
        patience=args.patience,
        temperature_milli=None if args.temperature is None else round(1000 * args.temperature),
        margin_milli=round(10 * args.margin),
        share=args.share,
        ecmp=not args.no_ecmp,
        ordered=args.commit == "ordered",
        attempts=args.attempts,
        hold_s=args.hold or (_HOLD_S if stays else 0.0),
        watch_s=min(args.guard or (_GUARD_S if stays else 0.0), 86400.0),
        silence_s=args.timeout,
        wait_s=args.wait,
        json=args.json,
        verbose=args.verbose,
    )


def domain_name(text: str) -> str:
    """Return the name of a domain, or raise argparse's error."""
    if not re.fullmatch(DOMAIN_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected 1 to 64 letters, digits, '_', '.', '-'")
    return text


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 30):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 0")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected at least 1")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of seconds > 0")
    return seconds
