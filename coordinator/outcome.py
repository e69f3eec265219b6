"""What many routers' results say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.control import Result
from routing.topology import Topology

Verdict = Literal["committed", "kept", "aborted", "partial"]
_SHOWN = 5  # names in one line; the results hold the others


@dataclass(frozen=True)
class Outcome:
    """How an episode ended.

    Attributes
    ----------
    episode, name : its number and the name of its request
    verdict : `committed` or `kept`: all routers say so, with one digest. `aborted`: none has changed its costs as far
        as is known, `reason` says why. `partial`: some have committed and others have not, or their digests differ;
        their costs may be a mixture, and the LSDB is the truth
    reason : one line, empty if all went well
    results : by router, the newest of each
    missing : routers that sent none
    digest : what all that finished agree on, hex; None if they do not or none finished
    root : the result that carries the trace, if one does
    superseded : the episode was cancelled for a newer request
    again : it is tried once more
    """

    episode: int
    name: str
    verdict: Verdict
    reason: str
    results: Mapping[str, Result]
    missing: tuple[str, ...]
    digest: str | None
    root: Result | None
    superseded: bool = False
    again: bool = False

    @property
    def costs_changed(self) -> int:
        """Links whose OSPF cost is another now, over all routers: every result says the same."""
        return max((result.costs_changed for result in self.results.values()), default=0)

    @property
    def lsdb_verified(self) -> bool:
        """Every router found its costs in the LSDB."""
        return not self.missing and all(result.lsdb_verified for result in self.results.values())


def summarise(
    episode: int,
    name: str,
    routers: Sequence[str],
    results: Mapping[str, Result],
    cancelled: str,
    *,
    superseded: bool,
    again: bool = False,
) -> Outcome:
    """Return the outcome of an episode; `cancelled` is the coordinator's own reason to end it, or empty."""
    missing = tuple(router for router in routers if router not in results)
    ended = {status: [r for r in routers if r in results and results[r].status == status] for status in _ENDINGS}
    digests = {results[router].digest for status in ("committed", "kept") for router in ended[status]}
    verdict, reason = _judge(ended, missing, results, digests, cancelled)
    return Outcome(
        episode,
        name,
        verdict,
        reason,
        dict(results),
        missing,
        digests.pop() if len(digests) == 1 else None,
        next((results[router] for router in routers if router in results and results[router].mlu), None),
        superseded,
        again,
    )


_ENDINGS = ("committed", "kept", "aborted")


def _judge(
    ended: Mapping[str, list[str]],
    missing: Sequence[str],
    results: Mapping[str, Result],
    digests: set[str],
    cancelled: str,
) -> tuple[Verdict, str]:
    committed, kept, aborted = (ended[status] for status in _ENDINGS)
    if committed:
        others = [
            f"{what} {listed(who)}"
            for what, who in (("kept on", kept), ("aborted on", aborted), ("no result from", missing))
            if who
        ]
        if others:
            return "partial", f"committed on {listed(committed)}; {'; '.join(others)}{_because(aborted, results)}"
        if len(digests) > 1:
            return "partial", _disagreement(committed, results)
        return "committed", ""
    if missing:
        why = f"{cancelled}; " if cancelled else ""
        return "aborted", f"{why}no result from {listed(missing)}{_because(aborted, results)}"
    if aborted:
        return "aborted", _because(aborted, results).removeprefix(": ") or cancelled or "no reason given"
    if len(digests) > 1:
        return "aborted", _disagreement(kept, results)
    return "kept", _because(kept, results).removeprefix(": ")


def _because(aborted: Sequence[str], results: Mapping[str, Result]) -> str:
    """Return ``: reason (routers); ...`` of some routers, the most frequent reason first."""
    reasons = Counter(results[router].reason for router in aborted if results[router].reason)
    parts = []
    for reason, _ in reasons.most_common(3):
        names = listed([router for router in aborted if results[router].reason == reason])
        parts.append(reason if len(reasons) == 1 else f"{reason} ({names})")
    if len(reasons) > 3:
        parts.append(f"and {len(reasons) - 3} other reasons")
    return f": {'; '.join(parts)}" if parts else ""


def _disagreement(routers: Sequence[str], results: Mapping[str, Result]) -> str:
    by_digest: dict[str, list[str]] = {}
    for router in routers:
        by_digest.setdefault(results[router].digest, []).append(router)
    sides = sorted(by_digest.values(), key=len, reverse=True)
    return f"digests disagree: {' against '.join(listed(side) for side in sides)}"


def listed(names: Sequence[str]) -> str:
    """Return names for one line; of many only the first."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def fitting(result: Result, topology: Topology) -> Result:
    """Return a result without weights that cannot be of this network: whoever sends such knows of no commit here."""
    size = 2 * topology.num_links
    if len(result.best_weights) in (0, size) and len(result.live_weights) in (0, size):
        return result
    return msgspec.structs.replace(result, began=False, best_weights=b"", live_weights=b"")
