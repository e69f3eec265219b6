"""What the coordinator is told of an episode, from what the protocol tells of it."""

from __future__ import annotations

from collections.abc import Sequence

from agent.control import LinkCounters, Result
from agent.events import EpisodeEnded

_REASON = 1000  # longest reason, as in `Result`


def result_of(
    event: EpisodeEnded, router: str, counters: Sequence[LinkCounters], *, root: bool, verified: bool
) -> Result:
    """Return the result of one router's episode; only the `root` tells the trace. `verified`: OSPF shows the costs."""
    return Result(
        router=router,
        episode=event.episode,
        status=event.status,
        reason=event.reason[:_REASON],
        digest=event.digest.hex(),
        steps=event.steps,
        best_step=event.best_step,
        mlu_start=event.mlu_start,
        mlu_live=event.mlu_live,
        mlu_best=event.mlu_best,
        costs_changed=event.costs_changed,
        lsdb_verified=event.status == "committed" and verified,
        episode_s=event.episode_s,
        commit_s=event.commit_s,
        counters=list(counters),
        links=[list(step.links) for step in event.trace] if root else [],
        mlu=[step.mlu for step in event.trace] if root else [],
        best_weights=event.best_weights.astype("<u2").tobytes() if root or event.began else b"",
        live_weights=event.live_weights.astype("<u2").tobytes() if event.began else b"",
        began=event.began,
    )
