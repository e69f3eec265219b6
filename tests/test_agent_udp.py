"""The adapter between a protocol and its sockets, on the loopback device."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from agent.config import Neighbor
from agent.udp import UdpAdapter, open_socket

pytestmark = pytest.mark.asyncio


class Recorder:
    """Stands where a protocol stands, and writes down in which order it was called."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.due = float("inf")

    def get_timer(self) -> float:
        return self.due

    def handle_timer(self, now: float) -> None:
        self.calls.append("timer")
        self.due = float("inf")

    def receive_datagram(self, data: bytes, sender: int, now: float) -> None:
        self.calls.append((sender, data))

    def datagrams_to_send(self) -> list[tuple[int, bytes]]:
        return []


async def test_what_has_come_is_read_before_a_timer_judges_who_is_silent() -> None:
    """A process that did not run for a while must not take its own silence for its neighbours'."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    here = Neighbor(router="beta", local="127.0.0.1", remote="127.0.0.2")
    there = Neighbor(router="alpha", local="127.0.0.2", remote="127.0.0.1")
    recorder: Any = Recorder()
    adapter = UdpAdapter(recorder, lambda: None)
    await adapter.open({3: here}, port)
    try:
        with open_socket(there, port) as neighbour:
            neighbour.send(b"hello")
            recorder.due = 0.0  # over long ago
            adapter._fire()  # what the event loop runs first after a pause
    finally:
        adapter.close()
    assert recorder.calls == [(3, b"hello"), "timer"]
