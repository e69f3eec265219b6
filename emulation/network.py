"""The steps of a run on the emulated network: bring it up, send traffic, measure.

Each step is a function that takes what it needs, so that a run is their sequence and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from emulation.console import RunConsole
from emulation.fabric import SINK_PORTS, Fabric
from emulation.flows import Stream, TrafficSender
from emulation.measure import LinkLoads, measure
from emulation.plan import Plan
from emulation.schedule import FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED, frame_size, timetables

_TRAFFIC_STREAM = 0x666C6F77

_NOTHING, _WHOLE, _SPARED = 0, 1, 3  # places among a sender's streams, the latter two of pairs:
_USUAL, _MEASURED = 0, 1
_SETTLE_S = 0.1  # frames of the usual size that are under way when a measurement begins


class Traffic:
    """Traffic that is being sent: usually in frames that leave the processor to the agents.

    While links are measured there are more and smaller frames, which split more evenly.

    Parameters
    ----------
    sender : the process
    streams : nothing; the whole matrix, usually and while measured; the same without a router that fails, if one does
    """

    def __init__(self, sender: TrafficSender, streams: Sequence[Stream]) -> None:
        self.sender = sender
        self._streams = streams
        self._base = _WHOLE

    def without_router(self) -> None:
        """Stop sending from and to the router that fails."""
        self._base = _SPARED
        self.sender.use(self._base + _USUAL)

    @contextmanager
    def measuring(self) -> Iterator[Stream]:
        """Send as for a measurement meanwhile; yields how that is."""
        with self._other(self._base + _MEASURED) as stream:
            yield stream

    @contextmanager
    def held(self) -> Iterator[Stream]:
        """Send nothing meanwhile."""
        with self._other(_NOTHING) as stream:
            yield stream

    @contextmanager
    def _other(self, number: int) -> Iterator[Stream]:
        self.sender.use(number)
        try:
            yield self._streams[number]
        finally:
            self.sender.use(self._base + _USUAL)


@contextmanager
def running_fabric(plan: Plan, folder: Path, console: RunConsole) -> Iterator[Fabric]:
    """Bring the network up, check every route against the model, and take it down at the end.

    Raises
    ------
    EmulationError
        If a tool or daemon fails, or the routes are not the model's in time.
    """
    options = plan.options
    fabric = Fabric(plan.topology, folder, plan.live_weights, ecmp=options.ecmp, rate=options.rate, seed=options.seed)
    try:
        with console.phase("network") as phase:
            phase.update(f"{plan.topology.num_nodes} routers, {plan.topology.num_links} links")
            fabric.up()
            fabric.wait_routes(plan.live)
            right, total = fabric.routes_verified(plan.live)
            phase.update(f"{plan.topology.num_nodes} routers, {right} of {total} routes as the model's")
        yield fabric
    finally:
        fabric.down()


@contextmanager
def running_traffic(plan: Plan, fabric: Fabric, console: RunConsole) -> Iterator[Traffic]:
    """Send the traffic matrix, scaled like the links, until the end of the body. Raises EmulationError."""
    demand = plan.traffic.demand * fabric.scale
    random = np.random.Generator(np.random.Philox(key=[plan.options.seed, _TRAFFIC_STREAM]))
    sizes = [
        frame_size(float(fabric.rate.min()), float(demand.sum()), frames_per_second)
        for frames_per_second in (FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED)
    ]
    whole = [Stream(timetables(demand, size, SINK_PORTS, random), size) for size in sizes]
    streams = [Stream(timetables(np.zeros_like(demand), sizes[0], SINK_PORTS, random), sizes[0]), *whole]
    if plan.failure is not None and plan.failure.router is not None:
        spared = demand.copy()
        spared[plan.failure.router, :] = spared[:, plan.failure.router] = 0.0
        streams += [Stream(timetables(spared, size, SINK_PORTS, random), size) for size in sizes]
    sender = TrafficSender(fabric.hosts.pids, fabric.plan.loopback, streams)
    sender.use(_WHOLE + _USUAL)
    with console.phase("traffic") as phase:
        sender.start()
        phase.update(f"{demand.sum() / 1e6:.1f} Mbit/s in frames of {sizes[0]} bytes")
    try:
        yield Traffic(sender, streams)
    finally:
        sender.stop()


def measured(plan: Plan, fabric: Fabric, traffic: Traffic, console: RunConsole, name: str) -> LinkLoads:
    """Measure every link for ``--window`` seconds. Raises EmulationError if the sender has ended."""
    with console.phase(name) as phase:
        phase.update(f"counting for {plan.options.window_s:g} s")
        with traffic.measuring() as stream:
            time.sleep(_SETTLE_S)
            loads = measure(fabric, stream.frame_bytes, plan.options.window_s)
        traffic.sender.check_alive()
        phase.update(f"MLU {loads.utilization.max():.3f}")
    return loads
