"""What must be true of a live installation after a fault, and what is not: violations of the invariants.

Decisions come from each agent's own log, costs from each ospfd, routes from the kernels; the coordinator's lines are
what the user was told.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from emulation.processes import EmulationError
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import RECOVERED_S, LivePrograms
from experiments.faults_truth import Violation

_SETTLED_S = 10.0
Decisions = dict[tuple[int, int], set[str]]


def _violation(invariant: str, what: str) -> Violation:
    return Violation(invariant, time.monotonic(), what)


def wrong_words(live: LivePrograms, decided: Decisions, since: int, recovered: bool) -> list[Violation]:
    """Return what is wrong with decisions and reports from record `since` on; `decided` are the decisions before."""
    found = []
    if not recovered:
        found.append(_violation("I6", f"no episode succeeded within {RECOVERED_S:g} s"))
    decisions = live.decisions()
    if not decisions:  # else that nobody disagrees would mean nothing
        raise EmulationError("no agent's log tells of a decision")
    for step, links in decisions.items():
        if len(links) > 1 and step not in decided:
            found.append(_violation("I1", f"episode {step[0]}, step {step[1]}: {' against '.join(sorted(links))}"))
    for _, record in live.records[since:]:
        if record["event"] != "episode_ended":
            continue
        digests = {router["digest"] for router in record["routers"].values() if router["status"] == "committed"}
        if len(digests) > 1:
            found.append(_violation("I2", f"episode {record['episode']} was committed with {len(digests)} digests"))
        if record["status"] in ("aborted", "partial") and not record["reason"].strip():
            found.append(_violation("I6", f"episode {record['episode']} is {record['status']} without a reason"))
    return found


def wrong_costs(live: LiveNetwork, since: int, before: float) -> list[Violation]:
    """Return what is wrong with costs and routes after the episodes from record `since` on; `before` was the MLU."""
    found = []
    deadline = time.monotonic() + _SETTLED_S
    while True:  # the next episode may be in the middle of its commit
        live.poll(0.5)
        costs = live.costs()
        ended = [record for _, record in live.records[since:] if record["event"] == "episode_ended"]
        good = [record for record in ended if record["status"] in ("committed", "kept")]
        last = next((record for record in reversed(good) if live.is_whole(record["episode"])), None)
        after, known = live.mlu(costs), _known(last)
        if known is None or np.isclose(after, known, rtol=1e-9) or time.monotonic() > deadline:
            break
    if last is not None and _restored(last):
        before = float("inf")  # what was half done is brought to one side, whatever its MLU
    elif last is not None and any(_restored(one) or _committed_on_a_part(live, one) for one in good):
        before = last["mlu_live"]  # what is best without a link may be worse once that is back
    if after > before:
        found.append(_violation("I3", f"the MLU rose from {before:.4f} to {after:.4f}"))
    if last is not None and known is not None and not np.isclose(after, known, rtol=1e-9):
        what = f"costs have MLU {after:.6f}, episode {last['episode']} ({last['status']}) says {known:.6f}"
        found.append(_violation("I4", what))
    if not live.routes_follow(costs):
        found.append(_violation("I4", "the kernels' routes are not those of the costs"))
    return found


def _known(ended: dict[str, Any] | None) -> float | None:
    """Return the MLU that an episode says it left; None: it does not say."""
    if ended is None or ended["mlu_live"] is None:
        return None
    return float(ended["mlu_best"] if ended["status"] == "committed" else ended["mlu_live"])


def _restored(ended: dict[str, Any]) -> bool:
    return bool(ended["status"] == "committed" and ended["steps"] == 0)


def _committed_on_a_part(live: LiveNetwork, ended: dict[str, Any]) -> bool:
    return bool(ended["status"] == "committed" and not live.is_whole(ended["episode"]))
