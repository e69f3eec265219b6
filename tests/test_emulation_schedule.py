"""Timetables of the measured traffic, and loads from counters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulation.flows import Stream
from emulation.measure import Snapshot, _sent_octets, loads
from emulation.schedule import PERIOD_S, Timetable, frame_size, timetables

PORTS = (10000, 10999)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, 1]))


def demands(nodes: int, seed: int, mean: float) -> NDArray[np.float64]:
    demand = random(seed).exponential(mean, (nodes, nodes))
    np.fill_diagonal(demand, 0.0)
    return demand


@given(st.integers(2, 12), st.integers(0, 10**6), st.floats(10.0, 1e6), st.integers(300, 1500))
def test_every_demand_is_met_to_a_packet_and_every_source_too(nodes: int, seed: int, mean: float, frame: int) -> None:
    demand = demands(nodes, seed, mean)
    tables = timetables(demand, frame, PORTS, random(seed))
    packet = 8 * frame / PERIOD_S
    stream = Stream(tables, frame)
    error = stream.offered() - demand
    assert np.abs(error).max() < packet * 1.0000001
    assert np.abs(error.sum(axis=1)).max() < packet * 1.0000001
    assert stream.rate == pytest.approx(stream.offered().sum())


def test_packets_of_a_pair_are_evenly_spaced_over_ports_in_turn() -> None:
    demand = demands(4, 3, 2e5)
    for source, table in enumerate(timetables(demand, 1000, PORTS, random())):
        assert np.all(np.diff(table.time) >= 0)
        assert 0 <= table.time.min() and table.time.max() < PERIOD_S
        assert source not in table.destination
        for destination in set(table.destination.tolist()):
            chosen = table.destination == destination
            np.testing.assert_allclose(np.diff(table.time[chosen]), PERIOD_S / chosen.sum(), rtol=1e-9)
            port = table.port[chosen]
            assert PORTS[0] <= port.min() and port.max() <= PORTS[1]
            assert set(np.diff(port).tolist()) <= {1, PORTS[0] - PORTS[1]}


def test_a_source_without_demand_has_an_empty_timetable() -> None:
    demand = np.zeros((3, 3))
    demand[1, 2] = 1e5
    tables = timetables(demand, 500, PORTS, random())
    assert [len(table.time) for table in tables] == [0, 400, 0]
    assert isinstance(tables[0], Timetable)


def test_the_same_seed_gives_the_same_timetable() -> None:
    first, second = (timetables(demands(3, 1, 1e5), 500, PORTS, random(9)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.time, other.time)
        np.testing.assert_array_equal(one.port, other.port)


@pytest.mark.parametrize(
    ("slowest", "total", "expected"),
    [
        (2.5e6, 37.8e6, 787),  # gbn, uniform: bound by the packets that two cores can send
        (0.4e6, 40e6, 500),  # a slow link is measured by 800 frames
        (1e5, 1e6, 300),
        (10e6, 500e6, 1500),
    ],
)
def test_frame_sizes(slowest: float, total: float, expected: int) -> None:
    assert frame_size(slowest, total) == expected


def test_sent_bytes_are_the_ninth_number() -> None:
    text = (
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo\n"
        "    lo:     100      2    0    0    0     0          0         0      101      2    0    0    0\n"
        " r0-r1:11111111      3    0    0    0     0          0         0 22222222      4    0    0    0\n"
    )
    assert _sent_octets(text) == {"lo": 101, "r0-r1": 22222222}


def test_offered_load_is_what_was_sent_dropped_and_left_waiting() -> None:
    before = Snapshot(np.array([1.0, 1.1]), np.array([1000, 0]), np.array([0, 5]), np.array([0, 9000]))
    after = Snapshot(np.array([3.0, 3.1]), np.array([3000, 250_000]), np.array([0, 105]), np.array([0, 34000]))
    result = loads(before, after, np.array([10_000.0, 1e6]), 1000)
    np.testing.assert_allclose(result.sent, [8000.0, 1e6])
    np.testing.assert_allclose(result.offered, [8000.0, 1.5e6])
    np.testing.assert_allclose(result.utilization, [0.8, 1.5])
    assert result.window_s == pytest.approx(2.0)
    assert result.dropped.tolist() == [0, 100]
