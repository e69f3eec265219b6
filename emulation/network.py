"""The steps of a run on the emulated network: bring it up, send traffic, measure.

Each step is a function that takes what it needs, so that a run is their sequence and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emulation.console import RunConsole
from emulation.fabric import SINK_PORTS, Fabric
from emulation.flows import Stream, TrafficSender
from emulation.measure import LinkLoads, measure
from emulation.plan import Plan
from emulation.schedule import FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED, frame_size, timetables

_TRAFFIC_STREAM = 0x666C6F77

_USUAL, _MEASURED = 0, 1  # places among a sender's streams
_SETTLE_S = 0.1  # frames of the usual size that are under way when a measurement begins


@dataclass(frozen=True)
class Traffic:
    """Traffic that is being sent.

    Attributes
    ----------
    sender : the process
    usual : how it sends most of the time: frames that leave the processor to the agents
    measured : how it sends while links are measured: more and smaller frames, which split more evenly
    """

    sender: TrafficSender
    usual: Stream
    measured: Stream


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
    streams = []
    for frames_per_second in (FRAMES_PER_SECOND, FRAMES_PER_SECOND_MEASURED):
        frame_bytes = frame_size(float(fabric.rate.min()), float(demand.sum()), frames_per_second)
        streams.append(Stream(timetables(demand, frame_bytes, SINK_PORTS, random), frame_bytes))
    sender = TrafficSender(fabric.hosts.pids, fabric.plan.loopback, streams)
    with console.phase("traffic") as phase:
        sender.start()
        phase.update(f"{demand.sum() / 1e6:.1f} Mbit/s in frames of {streams[0].frame_bytes} bytes")
    try:
        yield Traffic(sender, *streams)
    finally:
        sender.stop()


def measured(plan: Plan, fabric: Fabric, traffic: Traffic, console: RunConsole, name: str) -> LinkLoads:
    """Measure every link for ``--window`` seconds. Raises EmulationError if the sender has ended."""
    with console.phase(name) as phase:
        phase.update(f"counting for {plan.options.window_s:g} s")
        traffic.sender.use(_MEASURED)
        try:
            time.sleep(_SETTLE_S)
            loads = measure(fabric, traffic.measured.frame_bytes, plan.options.window_s)
        finally:
            traffic.sender.use(_USUAL)
        traffic.sender.check_alive()
        phase.update(f"MLU {loads.utilization.max():.3f}")
    return loads
