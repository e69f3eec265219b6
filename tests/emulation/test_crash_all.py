"""All agents are killed in the middle of a commit of real routers; when they are back, costs and routes are the old."""

import os
import signal
import time
from typing import Any

import numpy as np
import pytest
from isolation import poll

from agent.lastcommit import LastCommit
from agent.statefile import FILE, StateFile
from experiments.faults_emulation import in_network
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import RECOVERED_S

pytestmark = pytest.mark.root


def begun(live: LiveNetwork, since: int) -> bool:
    """Whether all agents have written down that they are about the commit of an episode of at least that number."""
    topology = live.plan.topology
    nowhere = np.zeros(topology.num_links, dtype=np.int64)
    for node, name in enumerate(topology.nodes):
        note = LastCommit(StateFile(str(live.fabric.folder(node))), name, topology).recall(nowhere)
        if note is None or not note.began or note.episode < since:
            return False
    return True


def let_pass(live: LiveNetwork, seconds: float) -> None:
    live.wait_for(lambda _: False, len(live.records), seconds)


def killed_half_way(live: LiveNetwork, slow: int) -> bool:
    """Kill all agents in a commit in which one router's ospfd does not answer; return whether costs were changed.

    The costs are the old ones before. They were set by hand, so the next episode has something to commit.
    """
    assert live._coordinator is not None
    let_pass(live, 2.5)  # until then a commit's old costs count as what it has left half done
    os.kill(live._coordinator.pid, signal.SIGSTOP)
    let_pass(live, 2.0)  # what runs ends
    live.set_costs(live.plan.live_weights)
    poll(lambda: np.array_equal(live.costs(), live.plan.live_weights))
    let_pass(live, 0.5)
    since = len(live.records)
    last = max(one["episode"] for _, one in live.records if one["event"] == "episode_started")
    os.kill(live._coordinator.pid, signal.SIGCONT)
    live.expect(lambda one: one["event"] == "step_done" and one["step"] >= 2 and one["episode"] > last, since)
    daemon = int((live.fabric.sockets(slow) / "ospfd.pid").read_text())
    os.kill(daemon, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 5.0
        while not begun(live, last + 1) and time.monotonic() < deadline:
            live.poll(0.01)
        let_pass(live, 0.3)
        for node in range(live.plan.topology.num_nodes):
            live.signal_agent(node, signal.SIGKILL)
    finally:
        os.kill(daemon, signal.SIGCONT)
    return not np.array_equal(live.costs(), live.plan.live_weights)


def start_all(live: LiveNetwork) -> int:
    """Start all agents again; return the number of the coordinator's next record."""
    let_pass(live, 1.0)
    since = len(live.records)
    for node in range(live.plan.topology.num_nodes):
        live.start_agent(node)
    return since


def all_killed(live: LiveNetwork) -> dict[str, Any]:
    nodes, old = range(live.plan.topology.num_nodes), live.plan.live_weights
    live.expect(lambda one: one["event"] == "episode_ended" and one["status"] == "committed", 0)
    (moved,) = np.nonzero(live.costs() != old)
    for slow in dict.fromkeys(live.plan.topology.src[moved].tolist()):
        if killed_half_way(live, slow):
            break
        live.expect_good(start_all(live))  # no other router was to set costs before that one
    else:
        raise AssertionError("no commit was half done")
    left = live.costs()
    since = start_all(live)
    live.expect(lambda one: one["event"] == "half_committed" and one["links"], since)
    live.expect(lambda one: one["event"] == "half_committed" and not one["links"], since)
    restored = live.costs()
    followed = live.routes_follow(restored)
    return {
        "changed": int(np.sum(left != old)),
        "restored": bool(np.array_equal(restored, old)),
        "named": next(one["name"] for _, one in live.records[since:] if one["event"] == "episode_started"),
        "routes_follow": followed,
        "good": live.good_episode(len(live.records), RECOVERED_S) is not None,
        "modes": [(live.fabric.folder(node) / FILE).stat().st_mode & 0o777 for node in nodes],
    }


def test_what_all_agents_left_half_done_is_brought_to_one_side() -> None:
    found = in_network(all_killed)
    assert found["changed"] >= 1
    assert found["restored"] and found["routes_follow"] and found["good"]
    assert found["named"].startswith("restore the costs of episode")
    assert set(found["modes"]) == {0o600}
