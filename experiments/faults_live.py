"""The faults for real, in the emulated network: what breaks, how it heals, what was violated, how long it took."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from numpy.random import Generator, Philox

from emulation.impair import End, ImpairedLink, Impairment
from experiments.faults_campaign import Row
from experiments.faults_emulation import in_network
from experiments.faults_live_network import LiveNetwork
from experiments.faults_live_programs import RECOVERED_S
from experiments.faults_live_truth import wrong_costs, wrong_words

Heal = Callable[[], None]
HEAL_S = 3.0


def _node(live: LiveNetwork, random: Generator) -> int:
    return int(random.integers(live.plan.topology.num_nodes))


def _ends(live: LiveNetwork, random: Generator) -> list[tuple[int, str]]:
    """Return both ends of a random link: (node, interface)."""
    topology = live.plan.topology
    link = int(random.integers(topology.num_links))
    pair = (link, int(topology.reverse[link]))
    return [(int(topology.src[one]), live.fabric.interface(one)) for one in pair]


def _agent_killed(live: LiveNetwork, random: Generator) -> Heal:
    node = _node(live, random)
    live.signal_agent(node, signal.SIGKILL)
    return lambda: live.start_agent(node)


def _agent_stopped(live: LiveNetwork, random: Generator) -> Heal:
    node = _node(live, random)
    live.signal_agent(node, signal.SIGSTOP)
    return lambda: live.signal_agent(node, signal.SIGCONT)


def _link_down(live: LiveNetwork, random: Generator) -> Heal:
    (node, interface), _ = _ends(live, random)
    live.in_router(node, ["ip", "link", "set", interface, "down"])
    return lambda: live.in_router(node, ["ip", "link", "set", interface, "up"])


def _filtered(live: LiveNetwork, ends: list[tuple[int, str]], rule: str) -> Heal:
    for node, interface in ends:
        live.filter(node, interface, rule)

    def heal() -> None:
        for node, _ in ends:
            live.unfilter(node)

    return heal


def _silent_link(live: LiveNetwork, random: Generator) -> Heal:
    return _filtered(live, _ends(live, random), "drop")


def _lossy_link(live: LiveNetwork, random: Generator) -> Heal:
    port = live.fabric.agent_port
    return _filtered(live, _ends(live, random), f"udp dport {port} numgen random mod 100 < 10 drop")


def _impaired(live: LiveNetwork, random: Generator, impairment: Impairment) -> Heal:
    (near, near_interface), (far, far_interface) = _ends(live, random)
    ends = End(live.fabric.pid(near), near_interface), End(live.fabric.pid(far), far_interface)
    log = live.fabric.folder(near) / "impairment.log"
    link = ImpairedLink(ends, live.fabric.agent_port, impairment, int(random.integers(2**31)), log)
    link.start()
    return link.stop


def _delayed_link(live: LiveNetwork, random: Generator) -> Heal:
    return _impaired(live, random, Impairment(delay_s=0.02, jitter_s=0.02))


def _repeating_link(live: LiveNetwork, random: Generator) -> Heal:
    return _impaired(live, random, Impairment(jitter_s=0.005, loss=0.05, duplication=0.5))


def _broker_killed(live: LiveNetwork, _random: Generator) -> Heal:
    live.broker.process.send_signal(signal.SIGKILL)
    live.broker.process.wait()
    return live.broker.start


def _broker_and_agent_killed(live: LiveNetwork, random: Generator) -> Heal:
    """Start the agent again before there is a broker."""
    node = _node(live, random)
    heal = _broker_killed(live, random)
    live.signal_agent(node, signal.SIGKILL)
    live.start_agent(node)
    return heal


def _ospfd_killed(live: LiveNetwork, random: Generator) -> Heal:
    return live.kill_ospfd(_node(live, random))


LIVE_FAULTS: dict[str, tuple[str, Callable[[LiveNetwork, Generator], Heal]]] = {
    "live-agent-killed": ("kill -9 of an agent, started again after 3 s", _agent_killed),
    "live-agent-stopped": ("SIGSTOP of an agent, SIGCONT after 3 s", _agent_stopped),
    "live-link-down": ("an interface is taken down for 3 s", _link_down),
    "live-silent-link": ("nftables drop all that comes over a link for 3 s", _silent_link),
    "live-lossy-link": ("nftables drop 10 % of the agents' frames of a link for 3 s", _lossy_link),
    "live-delayed-link": ("the agents' frames of a link come 20 to 40 ms late and out of order for 3 s", _delayed_link),
    "live-repeating-link": (
        "half of the agents' frames of a link come twice, 5 % never, all out of order for 3 s",
        _repeating_link,
    ),
    "live-broker-killed": ("kill -9 of mosquitto, started again after 3 s", _broker_killed),
    "live-broker-and-agent-killed": (
        "kill -9 of mosquitto and of an agent, which is started again at once, mosquitto after 3 s",
        _broker_and_agent_killed,
    ),
    "live-ospfd-killed": ("kill -9 of an ospfd, started again after 3 s", _ospfd_killed),
}


def run_live(names: list[str], trials: int, seed: int, progress: Callable[[str], None]) -> list[Row]:
    """Run trials of each fault in one emulated network; return the rows.

    Raises
    ------
    EmulationError, InputError
        If a tool is missing.
    """
    random = Generator(Philox(key=[seed, 0x6C697665]))
    rows = {name: Row(name, LIVE_FAULTS[name][0]) for name in names}

    def work(live: LiveNetwork) -> list[dict[str, object]]:
        for number in range(trials):
            for name in names:
                progress(f"{name}: {number + 1} of {trials}")
                _trial(live, name, random, rows[name])
        return [vars(row) for row in rows.values()]

    return [_row(record) for record in in_network(work)]


def _row(record: dict[str, object]) -> Row:
    row = Row(str(record["fault"]), str(record["about"]))
    for key, value in record.items():
        setattr(row, key, type(getattr(row, key))(value))
    return row


def _trial(live: LiveNetwork, name: str, random: Generator, row: Row) -> None:
    """Let an episode begin that has something to commit, break, heal, wait for a good one, and look at what is true."""
    live.set_costs(live.plan.live_weights)
    before = live.mlu(live.plan.live_weights)
    decided = live.decisions()
    start = len(live.records)
    live.wait_for(lambda record: record["event"] == "episode_started", start, RECOVERED_S)
    deadline = time.monotonic() + float(random.uniform(0.0, 0.5))
    while (left := deadline - time.monotonic()) > 0:
        live.poll(left)
    struck, since = time.monotonic(), len(live.records)
    heal = LIVE_FAULTS[name][1](live, random)
    end = struck + HEAL_S
    while (left := end - time.monotonic()) > 0:
        live.poll(left)
    meanwhile = live.good_episode(since, 0.0)
    heal()
    healed, mark = time.monotonic(), len(live.records)
    good = live.good_episode(mark, RECOVERED_S)
    whole = live.good_episode(mark, RECOVERED_S, whole=True)
    noticed = live.noticed(since)
    row.trials += 1
    if noticed is not None and noticed < healed:
        row.detection_s.append(noticed - struck)
    if meanwhile is not None:
        row.recovery_s.append(meanwhile[0] - struck)
    elif good is not None:
        row.recovery_s.append(good[0] - healed)
    wrong = wrong_words(live, decided, since, whole is not None) + wrong_costs(live, since, before)
    for violation in wrong:
        row.violations[violation.invariant] += 1
        row.shown.append(str(violation))
