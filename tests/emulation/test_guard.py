"""A commit after which the links carry more than it predicted, for longer than a moment: the old costs come back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from isolation import poll
from numpy.random import Generator, Philox

from coordinator.settlement import EXCESS
from emulation.fabric import SINK_PORTS
from emulation.flows import Stream, TrafficSender
from emulation.schedule import frame_size, timetables
from experiments.faults_emulation import in_network
from experiments.faults_live_network import LiveNetwork
from routing.formats import load_topology, save_topology
from routing.topology import Topology

pytestmark = pytest.mark.root

MORE = 1.3  # times the traffic that the coordinator was told of
RATE = 10e6  # bit/s, of the largest link


def slow_network() -> Topology:
    """Return nsfnet with the capacities that its links have in the emulation, so that all count the same bits."""
    whole = load_topology("nsfnet")
    links = list(zip(whole.src.tolist(), whole.dst.tolist(), strict=True))
    return Topology.from_links("slow", whole.nodes, links, whole.capacity * (RATE / whole.capacity.max()))


def watched(live: LiveNetwork) -> dict[str, Any]:
    plan, fabric = live.plan, live.fabric
    committed = next(record for _, record in live.records if record.get("status") == "committed")
    demand, random = plan.traffic.demand, Generator(Philox(key=[1, 2]))
    size = frame_size(float(fabric.rate.min()), float(demand.sum()))
    streams = [Stream(timetables(more * demand, size, SINK_PORTS, random), size) for more in (1.0, MORE)]
    sender = TrafficSender(fabric.hosts.pids, fabric.plan.loopback, streams)
    sender.start()
    try:
        since = len(live.records)

        def told(record: dict[str, Any]) -> bool:
            return bool(record["event"] == "more_than_predicted")

        early = live.wait_for(told, since, 15.0)
        sender.use(1)
        live.expect(told, since)
        (excess,) = (record for _, record in live.records if told(record))
        live.expect(lambda one: one["event"] == "episode_ended" and one["name"].startswith("take episode"), since)
        poll(lambda: np.array_equal(live.costs(), plan.live_weights))
        after = live.wait_for(lambda one: one["event"] == "episode_started", len(live.records), 15.0)
    finally:
        sender.stop()
    return {
        "early": early,
        "predicted": committed["mlu_best"],
        "excess": excess,
        "taken_back": [one.get("status") for _, one in live.records if one.get("name", "").startswith("take episode")],
        "after": after,
        "routes_follow": live.routes_follow(plan.live_weights),
    }


def test_a_commit_under_other_traffic_than_it_was_made_for_is_taken_back(tmp_path: Path) -> None:
    save_topology(tmp_path / "slow.graphml", slow_network())
    found = in_network(watched, str(tmp_path / "slow.graphml"))
    assert found["early"] is None  # the traffic it was made for is carried as predicted
    assert found["excess"]["limit"] == pytest.approx(EXCESS * found["predicted"])
    assert found["excess"]["measured"] == pytest.approx(MORE * found["predicted"], rel=0.1)
    assert found["taken_back"][-1] == "committed" and found["routes_follow"]
    assert found["after"] is None  # and the same is not committed again at once
