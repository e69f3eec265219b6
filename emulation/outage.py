"""A failure in the emulated network while the agents decide, and what it does to the traffic.

A link that fails loses its carrier at both ends in one moment, as when a fibre is cut. A router that fails loses all
its carriers and its processes: zebra, ospfd and the agent. What it sends and receives itself is no longer offered from
then on, so that lost packets are those of the others.

Routes are watched by a thread, because the caller's event loop follows the episode meanwhile; nothing is forked then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from emulation.fabric import Fabric
from emulation.network import Traffic
from emulation.plan import Plan
from emulation.records import Outage
from routing.state import RoutingState
from routing.subnetwork import Subnetwork, without

_WATCH_S = 30.0
_POLL_S = 0.002
_SETTLE_S = 0.6  # twice what a full queue holds: then nothing is under way


@dataclass(frozen=True)
class Count:
    """Packets of the measured traffic in the whole network so far: sent, delivered, dropped by full queues."""

    sent: int
    delivered: int
    dropped: int


class OutageRun:
    """One failure, from before it to after it.

    Parameters
    ----------
    plan : says what fails
    fabric, traffic : the network and what it carries
    stop_agent : ends the agent of a router at once
    """

    def __init__(self, plan: Plan, fabric: Fabric, traffic: Traffic, stop_agent: Callable[[int], None]) -> None:
        if plan.failure is None:
            raise ValueError("nothing is to fail")
        self._fabric = fabric
        self._traffic = traffic
        self._failure = plan.failure
        self._whole = without(plan.topology, ())
        self._left = without(plan.topology, plan.failure.links.tolist())
        weights, demands = plan.live_weights[self._left.links], self._left.traffic(plan.traffic)
        unchanged = RoutingState(self._left.network, demands, weights, ecmp=plan.options.ecmp)
        self._wanted = fabric.routes.expected(unchanged, self._left)
        self._mlu_unchanged = unchanged.mlu
        self._stop_agent = stop_agent
        self._watching: threading.Thread | None = None
        self._over = threading.Event()
        self._failed_at: float | None = None
        self._rerouted_s: float | None = None
        self._ended_s: float | None = None
        self._error: Exception | None = None
        self._before = self._count()

    @property
    def left(self) -> Subnetwork:
        """The network as it is now: the whole one if the step has not come."""
        return self._whole if self._failed_at is None else self._left

    @property
    def live_mlu(self) -> float | None:
        """The predicted MLU under the costs of before, once the step has come."""
        return None if self._failed_at is None else self._mlu_unchanged

    def on_step(self, step: int) -> None:
        """Let it happen if its step has come. Raises OSError if the kernel refuses."""
        if step == 0:
            self.episode_ended()  # and another begins
        if step < self._failure.step or self._failed_at is not None:
            return
        self._failed_at = time.monotonic()
        router = self._failure.router
        if router is not None:
            self._traffic.without_router()
            self._stop_agent(router)
            self._fabric.fail_router(router)
        else:
            self._fabric.fail_links(self._failure.links.tolist())
        self._watching = threading.Thread(target=self._watch, name="watch the routes", daemon=True)
        self._watching.start()

    def episode_ended(self) -> None:
        """Note that the episode during which it happened is over."""
        if self._failed_at is not None and self._ended_s is None:
            self._ended_s = time.monotonic() - self._failed_at

    def stop_watching(self, committed: bool) -> None:
        """Wait until the routes were seen, or give that up after a commit: those of the old costs never come then.

        From here on the routes are the caller's to look at. Raises OSError if they could not be read.
        """
        if self._watching is not None:
            if committed:
                self._over.set()
            self._watching.join()
        if self._error is not None:
            raise self._error

    def finish(self, committed: bool) -> Outage:
        """Count what was lost and return what became of it all; every router forwards as it should now.

        committed : whether that is by new costs
        """
        committed_s = None
        if self._failed_at is not None and committed:
            committed_s = time.monotonic() - self._failed_at
        after = self._count()
        return Outage(
            what=self._failure.what,
            step=self._failure.step,
            happened=self._failed_at is not None,
            rerouted_s=self._rerouted_s,
            episode_ended_s=self._ended_s,
            committed_s=committed_s,
            packets_sent=after.sent - self._before.sent,
            packets_lost=max(0, (after.sent - self._before.sent) - (after.delivered - self._before.delivered)),
            packets_dropped=after.dropped - self._before.dropped,
            mlu_unchanged=self.live_mlu,
        )

    def _watch(self) -> None:
        """Poll until every router that is left forwards around the failure."""
        assert self._failed_at is not None
        try:
            while not self._over.is_set() and time.monotonic() - self._failed_at < _WATCH_S:
                right, total = self._fabric.routes.compare(self._wanted)
                if right == total:
                    self._rerouted_s = time.monotonic() - self._failed_at
                    return
                time.sleep(_POLL_S)
        except OSError as error:
            self._error = error

    def _count(self) -> Count:
        """Hold the traffic for a moment, so that nothing is under way, and count."""
        with self._traffic.held():
            time.sleep(_SETTLE_S)
            sent = self._traffic.sender.counts().sent
            delivered = int(self._fabric.delivered().sum())
            queues = [kernel.queues() for kernel in self._fabric.routes.kernels]
        dropped = sum(queue.dropped for router in queues for queue in router.values())
        return Count(sent, delivered, dropped)
