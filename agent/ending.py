"""What an agent tells of an episode that is over, or that it did not even begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.events import EpisodeEnded, StepDone
from agent.run import EpisodeRun


def ending_of(run: EpisodeRun, episode_s: float, commit_s: float, trace: tuple[StepDone, ...]) -> EpisodeEnded:
    """Return how an episode ended; both durations in seconds."""
    state = run.state
    return EpisodeEnded(
        episode=run.order.episode,
        status=run.conclusion.status,
        reason=run.conclusion.reason,
        digest=run.digest.value,
        steps=state.step,
        best_step=state.best_step,
        mlu_start=run.mlu_start,
        mlu_live=run.mlu_live,
        mlu_best=state.best_mlu,
        costs_changed=run.conclusion.costs_changed,
        episode_s=episode_s,
        commit_s=commit_s,
        best_weights=run.epoch.part.into(run.live, state.best_weights),
        live_weights=run.live,
        trace=trace,
        began=run.conclusion.commit is not None,
    )


def refusal(episode: int, reason: str, live: NDArray[np.int64]) -> EpisodeEnded:
    """Return the end of an episode that did not begin here."""
    return EpisodeEnded(
        episode=episode,
        status="aborted",
        reason=reason,
        digest=b"",
        steps=0,
        best_step=0,
        mlu_start=0.0,
        mlu_live=0.0,
        mlu_best=0.0,
        costs_changed=0,
        episode_s=0.0,
        commit_s=0.0,
        best_weights=live,
        live_weights=live,
    )
