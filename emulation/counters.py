"""What the counters of agents, kernels and coordinator say together of an optimisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.control import LinkCounters, Result
from agent.program import OVERHEAD_FILE
from coordinator.overhead import MqttOverhead
from emulation.records import Counted, Overhead

WIRE_HEADERS = 8 + 20 + 14  # UDP, IPv4 and Ethernet, without preamble and check sequence
IP_HEADERS = 8 + 20  # what the kernel's counters have besides the payload


def counters_by_link(results: Mapping[str, Result], num_links: int) -> list[LinkCounters] | None:
    """Return what was sent over each link, in link order; None unless every router has reported."""
    found = {counters.link: counters for result in results.values() for counters in result.counters}
    return [found[link] for link in range(num_links)] if len(found) == num_links else None


def counted_in_all(folders: Iterable[Path], kernel: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Counted | None:
    """Return what agents and kernels counted in all; None unless every agent has left its totals.

    folders : of the routers, whose agents have ended
    kernel : frames and bytes of IP packets per link since the start, (L,) each
    """
    totals: list[LinkCounters] = []
    for folder in folders:
        path = folder / OVERHEAD_FILE
        if not path.exists():
            return None
        totals += msgspec.json.decode(path.read_bytes(), type=list[LinkCounters])
    frames = int(kernel[0].sum())
    return Counted(
        agents_frames=sum(one.frames for one in totals),
        agents_bytes=sum(one.bytes for one in totals),
        kernel_frames=frames,
        kernel_bytes=int(kernel[1].sum()) - IP_HEADERS * frames,
    )


def overhead(counters: Sequence[LinkCounters] | None, mqtt: MqttOverhead, routers: int) -> Overhead:
    """Return the means over links, and of what went over MQTT those over routers."""
    per_router = {
        "mqtt_bytes_per_router": mqtt.octets.total() / routers,
        "mqtt_start_bytes_per_router": mqtt.octets["start"] / routers,
        "mqtt_messages_per_router": mqtt.messages.total() / routers,
    }
    if counters is None:
        return Overhead(
            frames_per_link=None,
            bytes_per_link=None,
            hidden_state_bytes_per_link=None,
            sharing_bytes_per_link=None,
            control_bytes_per_link=None,
            wire_bytes_per_link=None,
            **per_router,
        )
    links = len(counters)
    frames = sum(one.frames for one in counters)
    octets = sum(one.bytes for one in counters)
    return Overhead(
        frames_per_link=frames / links,
        bytes_per_link=octets / links,
        hidden_state_bytes_per_link=sum(one.hidden_bytes for one in counters) / links,
        sharing_bytes_per_link=sum(one.sharing_bytes for one in counters) / links,
        control_bytes_per_link=sum(one.control_bytes for one in counters) / links,
        wire_bytes_per_link=(octets + WIRE_HEADERS * frames) / links,
        repeated_frames_per_link=sum(one.retransmitted_frames for one in counters) / links,
        repeated_bytes_per_link=sum(one.retransmitted_bytes for one in counters) / links,
        **per_router,
    )
