"""`python -m experiments.faults_link`: a link goes down in the middle of an emulated episode; how it goes on.

After each failure three moments are measured: every router's kernel forwards around the link, the next epoch begins,
its episode has ended. That episode's best MLU is compared with that of the next one, which is begun afresh on the
network that is left.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.batch import Parser, command, natural, show
from experiments.faults_emulation import in_network
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import RECOVERED_S, STEPS
from routing.errors import DisconnectedTopology, InputError
from routing.state import RoutingState
from routing.subnetwork import Subnetwork, without

DONE, MISSED = 0, 1
EPOCH_S, APART = 0.3, 0.02  # wanted of every failure, at most


@dataclass(frozen=True)
class Failure:
    """What came of one failure; seconds after it, and the best MLU of two episodes on what was left."""

    link: str
    rerouted_s: float
    epoch_s: float
    ended_s: float
    mlu: float
    mlu_fresh: float

    @property
    def apart(self) -> float:
        """By how much the two episodes' MLU differ, relative to the fresh one's."""
        return abs(self.mlu / self.mlu_fresh - 1.0)


def _failing(live: LiveNetwork, random: Generator) -> tuple[int, Subnetwork]:
    """Return a link, and the network without it and its reverse, which hangs together."""
    topology = live.plan.topology
    while True:
        link = int(random.integers(topology.num_links))
        try:
            left = without(topology, [link, int(topology.reverse[link])])
        except (DisconnectedTopology, InputError):
            continue
        if len(left.nodes) == topology.num_nodes:
            return link, left


def _in_an_episode(live: LiveNetwork, step: int) -> NDArray[np.int64]:
    """Wait for a step of an episode; return the costs, (L,) int64, which no commit has changed since they were read."""
    while True:
        costs, since = live.costs(), len(live.records)
        live.expect(lambda record: record["event"] == "step_done" and record["step"] == step, since)
        if not any(record.get("status") == "committed" for _, record in live.records[since:]):
            return costs


def fail_one(live: LiveNetwork, random: Generator) -> Failure:
    """Take a link down after a random step of an episode, and up again when the next two are over."""
    plan, fabric = live.plan, live.fabric
    link, left = _failing(live, random)
    costs = _in_an_episode(live, int(random.integers(1, STEPS)))
    unchanged = RoutingState(left.network, left.traffic(plan.traffic), costs[left.links])
    around = fabric.routes.expected(unchanged, left)
    since, failed = len(live.records), time.monotonic()
    fabric.fail_links([link])
    rerouted_s = float("nan")
    while (good := live.good_episode(since, 0.0)) is None and time.monotonic() < failed + RECOVERED_S:
        live.poll(0.01)
        if np.isnan(rerouted_s):
            right, total = fabric.routes.compare(around)
            rerouted_s = time.monotonic() - failed if right == total else rerouted_s
    begun, ended = good or live.expect_good(since)
    ended_s = next(at for at, record in live.records if record is ended) - failed
    _, fresh = live.expect_good(len(live.records))
    since = len(live.records)
    live.in_router(int(plan.topology.src[link]), ["ip", "link", "set", fabric.interface(link), "up"])
    live.expect(lambda record: record["event"] == "epoch_formed", since)
    live.set_costs(plan.live_weights)  # so that the next failure finds something to commit, too
    live.expect_good(len(live.records))
    name = plan.topology.link_name(link)
    return Failure(name, rerouted_s, begun - failed, ended_s, ended["mlu_best"], fresh["mlu_best"])


def missed(failures: Sequence[Failure]) -> list[str]:
    """Return what of the wanted was missed, one line each."""
    lines = []
    for one in failures:
        if math.isnan(one.rerouted_s):
            lines.append(f"{one.link}: not every kernel forwarded around it before the next epoch's episode ended")
        if not one.epoch_s <= EPOCH_S:
            lines.append(f"{one.link}: new epoch after {one.epoch_s:.3f} s, wanted at most {EPOCH_S:g} s")
        if not one.apart <= APART:
            lines.append(f"{one.link}: MLU {one.apart:.2%} apart, wanted at most {APART:.0%}")
    return lines


def parser() -> Parser:
    """Return the command line's parser."""
    result = Parser(
        prog="python -m experiments.faults_link",
        description="Let links go down in the middle of emulated episodes (root, Mininet, FRR); measure what follows.",
        epilog=f"Wanted of every failure: all kernels forward around the link, a new epoch within {EPOCH_S:g} s, and "
        f"an MLU within {APART:.0%} of that of an episode begun afresh. The seconds are the clock's: where others use "
        "the processors, run it with chrt -r 1. Exit codes: 0 all reached, 1 something missed, 2 bad input.",
    )
    result.add_argument("--trials", type=natural, default=10, metavar="N", help="failures (default 10)")
    result.add_argument("--seed", type=natural, default=0, metavar="S", help="draws links and steps (default 0)")
    result.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command("faults_link", _main, argv, hint="")


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    if args.trials < 1:
        raise InputError("--trials 0, expected at least 1")
    if os.geteuid() != 0:
        raise InputError("expected root: namespaces, FRR")
    random = Generator(Philox(key=[args.seed, 0x6C696E6B]))
    progress = Console(stderr=True)
    with progress.status("links", spinner="line") as status:

        def work(live: LiveNetwork) -> list[dict[str, object]]:
            found = []
            for number in range(args.trials):
                status.update(f"link {number + 1} of {args.trials}")
                found.append(asdict(fail_one(live, random)))
            return found

        failures = [Failure(**record) for record in in_network(work)]
    lines = missed(failures)
    if args.json:
        print(json.dumps({"rows": [_record(one) for one in failures], "missed": lines}))
    else:
        show(table(failures))
    for line in lines:
        print(f"faults_link: missed: {line}", file=sys.stderr)
    return MISSED if lines else DONE


def _record(failure: Failure) -> dict[str, object]:
    """Return a failure for ``--json``, which knows no NaN."""
    values = {**asdict(failure), "apart": failure.apart}
    return {key: None if value != value else value for key, value in values.items()}


def table(failures: Sequence[Failure]) -> Table:
    """Return the failures as a table, their median and longest below."""
    result = Table(title="Links that go down in the middle of an episode (seconds after it; best MLU)")
    for name in ("link", "rerouted", "new epoch", "its episode ended", "MLU", "MLU begun afresh", "apart"):
        result.add_column(name, justify="left" if name == "link" else "right")
    for one in failures:
        times = [f"{value:.3f}" for value in (one.rerouted_s, one.epoch_s, one.ended_s)]
        result.add_row(one.link, *times, f"{one.mlu:.4f}", f"{one.mlu_fresh:.4f}", f"{one.apart:.2%}")
    for what, of in (("median", np.median), ("longest", np.max)):
        values = np.array([(one.rerouted_s, one.epoch_s, one.ended_s) for one in failures])
        result.add_row(what, *(f"{value:.3f}" for value in of(values, axis=0)), "", "",
                       f"{of([one.apart for one in failures]):.2%}")  # fmt: skip
    return result


if __name__ == "__main__":
    sys.exit(main())
