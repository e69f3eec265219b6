"""Negative controls: real components, each replaced by a faulty one. A campaign that does not notice them sees nothing.

They live here and nowhere else: no program has a switch that makes it wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

import agent.choice
import agent.conclusion
import agent.digests
import agent.protocol
import agent.run
import agent.session
from agent.agreement import Prepared, decode, encode
from agent.choice import Choice, Draw, ShareLogits
from agent.commit import Commit, plan_waves
from agent.messages import MalformedFrame
from agent.run import EpisodeRun
from experiments.faults_floor import Substitution
from policy.sampling import UNIT

Share = Literal["candidate", "logits"]


@dataclass(frozen=True)
class Plant:
    """A faulty component.

    Attributes
    ----------
    about : what is wrong, one line
    parts : what is replaced by what
    fault : the fault of the campaign under which it shows
    share : how the routers of that campaign share their logits
    """

    about: str
    parts: tuple[Substitution, ...]
    fault: str
    share: Share = "candidate"


class _FloatSampling(ShareLogits):
    """Every router draws from its own softmax, in the precision and the order that its processor likes best."""

    def decide(self, outcome: bytes, draw: Draw) -> Choice:
        pairs = agent.choice._pairs(outcome)
        name = getattr(asyncio.get_running_loop(), "name", "")
        kind = np.float16 if sum(name.encode()) % 2 else np.float32
        logits = np.array([logit / UNIT for logit, _ in pairs], dtype=kind)
        chances = np.exp(logits - logits.max()).astype(kind)
        uniform = np.random.Generator(np.random.Philox(key=[draw.seed, draw.step])).random()
        at = int(np.searchsorted(np.cumsum(chances / chances.sum(), dtype=kind), uniform))
        return [pairs[min(at, len(pairs) - 1)]]


def _first_view(payloads: Sequence[bytes]) -> bytes:
    """Merge statements without comparing them."""
    views = [decode(payload, Prepared) for payload in payloads]
    first = views[0]
    routers = sum(view.routers for view in views)
    return encode(Prepared(first.digest, first.best_step, first.best_mlu, first.live_mlu, routers))


class _CommitAtOnce(EpisodeRun):
    """Sets its costs as soon as it has taken its own last step."""

    def _prepare(self) -> None:
        if self._begin_digest():
            end, live = self.conclusion, self.live[self.epoch.part.links]
            end._best = self.state.best_weights
            end.commit = Commit(plan_waves(self.topology, self.order.traffic, live, end._best, ordered=False), live)
            end._set_wave()


class _AnyDigest(agent.digests.StepDigests):
    """Compares nothing."""

    def begin(self, step: int, digest: bytes, *, last: bool = False) -> list[int]:
        super().begin(step, digest, last=last)
        return []

    def agrees(self, neighbour: int, number: int, digest: bytes) -> bool:
        return True


class _AnyCounter(agent.session._Direction):
    """Notes which frames have come, and refuses none."""

    def accept(self, counter: int) -> None:
        with suppress(MalformedFrame):
            super().accept(counter)


PLANTS = {
    "float-sampling": Plant(
        "actions are drawn with floats, on each router its own way",
        ((agent.choice.ShareLogits, "decide", _FloatSampling.decide),),
        fault="none",
        share="logits",
    ),
    "no-digest-check": Plant(
        "nobody compares digests, neither on frames nor in PREPARE",
        ((agent.run, "StepDigests", _AnyDigest), (agent.conclusion, "merge_prepared", _first_view)),
        fault="lying-agent",
    ),
    "commit-without-prepare": Plant(
        "a router sets its costs as soon as it has taken its own last step",
        ((agent.protocol, "EpisodeRun", _CommitAtOnce),),
        fault="none",
    ),
    "no-authentication": Plant(
        "any tag is accepted",
        ((agent.session, "compare_digest", lambda a, b: True),),
        fault="corruption",
    ),
    "no-replay-window": Plant(
        "a frame is accepted as often as it comes",
        ((agent.session, "_Direction", _AnyCounter),),
        fault="forged-frames",
    ),
}
