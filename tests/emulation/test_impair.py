"""Frames between two agents' sockets, on a link that delays, reorders, repeats and loses them."""

import os
import select
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from isolation import hold_network, isolated, kill, poll

from agent.config import Neighbor
from agent.udp import open_socket
from emulation.impair import End, ImpairedLink, Impairment
from emulation.isolate import Isolation
from emulation.namespaces import inside
from emulation.processes import run_in_each

pytestmark = pytest.mark.root

PORT = 5005
FRAMES = 400


def carried(impairment: Impairment, folder: Path) -> list[tuple[int, float]]:
    """Send frames over an impaired link; return (number, seconds on the way) of those that came."""

    def body(_: Isolation) -> list[tuple[int, float]]:
        pids = [hold_network(), hold_network()]
        near, far = pids
        link = [f"link add left netns {near} type veth peer name right netns {far}"]
        run_in_each([(os.getpid(), ["ip", "-batch", "-"], "\n".join(link) + "\n")])
        for pid, device, address in ((near, "left", "10.9.0.1/30"), (far, "right", "10.9.0.2/30")):
            lines = [f"address add {address} dev {device}", f"link set {device} up"]
            run_in_each([(pid, ["ip", "-batch", "-"], "\n".join(lines) + "\n")])
        with inside(near):
            sender = open_socket(Neighbor(router="b", interface="left", local="10.9.0.1", remote="10.9.0.2"), PORT)
        with inside(far):
            receiver = open_socket(Neighbor(router="a", interface="right", local="10.9.0.2", remote="10.9.0.1"), PORT)

        def echo(size: int) -> bool:
            """Say something, and whether it comes."""
            sender.send(b"x" * size)
            return any(len(one) == size for one in drained(receiver, 0.1))

        poll(lambda: echo(1))
        impaired = ImpairedLink((End(near, "left"), End(far, "right")), PORT, impairment, 3, folder / "log")
        impaired.start()
        poll(lambda: echo(2))  # the process carries
        drained(receiver, 0.5)
        sent: dict[int, float] = {}
        came: list[tuple[int, float]] = []
        for number in range(FRAMES):
            sent[number] = time.monotonic()
            sender.send(b"n%d" % number)
            came += taken(receiver, sent, 0.001)
        came += taken(receiver, sent, 1.0)
        impaired.stop()
        poll(lambda: echo(3))  # and not any more
        kill(pids)
        return came

    found: list[tuple[int, float]] = isolated(body)
    return found


def drained(receiver: socket.socket, quiet_s: float) -> list[bytes]:
    """Return what has come, until nothing has for a while."""
    found = []
    while select.select([receiver], [], [], quiet_s)[0]:
        found.append(receiver.recv(2000))
    return found


def taken(receiver: socket.socket, sent: dict[int, float], quiet_s: float) -> list[tuple[int, float]]:
    """Return (number, seconds on the way) of what comes, until nothing has for a while."""
    found = []
    while select.select([receiver], [], [], quiet_s)[0]:
        number = int(receiver.recv(2000)[1:])
        found.append((number, time.monotonic() - sent[number]))
    return found


def test_late_in_another_order_twice_or_not_at_all(tmp_path: Path) -> None:
    came = carried(Impairment(delay_s=0.03, jitter_s=0.02, loss=0.1, duplication=0.3), tmp_path)
    numbers = [number for number, _ in came]
    assert min(late for _, late in came) >= 0.03
    assert numbers != sorted(numbers)
    assert 0.04 * FRAMES < FRAMES - len(set(numbers)) < 0.2 * FRAMES
    twice = sum(times == 2 for times in Counter(numbers).values())
    assert 0.2 * len(set(numbers)) < twice < 0.42 * len(set(numbers)) and max(Counter(numbers).values()) == 2


def test_a_constant_delay_keeps_the_order_and_loses_nothing(tmp_path: Path) -> None:
    came = carried(Impairment(delay_s=0.02), tmp_path)
    assert [number for number, _ in came] == list(range(FRAMES))
    assert min(late for _, late in came) >= 0.02
