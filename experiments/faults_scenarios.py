"""The faults of the campaign: what breaks, how it heals, and what is asked of the network meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from numpy.random import Generator

from experiments.faults_lab import COORDINATOR, Lab
from experiments.faults_lies import Liar
from experiments.virtual_network import Impairment

UNIMPAIRED = Impairment()
Heal = Callable[[], None]
Strike = Callable[[Lab, Generator], Heal | None]


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes
    ----------
    about : one line
    strike : breaks something and returns what heals it, if anything has to
    impairment : of all links, all the time
    during : when it strikes: `episode` or `commit`, at random, or `point` or `point of all` (see `faults_points`)
    lasts_s : how long until it heals, drawn between these
    trials, quick : how many, in full and in the quick campaign; 0: as many as there are points
    same : every episode that comes to an end decides as the undisturbed one
    harmless : the episode that runs ends well, and nothing of its result is lost
    """

    about: str
    strike: Strike
    impairment: Impairment = UNIMPAIRED
    during: str = "episode"
    lasts_s: tuple[float, float] = (0.01, 5.0)
    trials: int = 50
    quick: int = 4
    same: bool = True
    harmless: bool = False


def nothing(_lab: Lab, _random: Generator) -> None:
    """Break nothing: what is wrong is wrong all the time, or nothing is."""


def _router(lab: Lab, random: Generator) -> int:
    return int(random.integers(lab.topology.num_nodes))


def _link(lab: Lab, random: Generator) -> int:
    return int(random.integers(lab.topology.num_links))


def _pause(lab: Lab, random: Generator) -> Heal:
    router = _router(lab, random)
    lab.pause(router)
    return partial(lab.resume, router)


def _crash(lab: Lab, random: Generator) -> Heal:
    router = _router(lab, random)
    lab.kill(router)
    return partial(lab.boot, router)


def _crash_for_good(lab: Lab, random: Generator) -> None:
    lab.kill(_router(lab, random))


def crash_all(lab: Lab, _random: Generator | None = None) -> Heal:
    """Kill all agents; they come back together."""
    routers = range(lab.topology.num_nodes)
    for router in routers:
        lab.kill(router)

    def heal() -> None:
        for router in routers:
            lab.boot(router)

    return heal


def _crash_all_scattered(lab: Lab, random: Generator) -> Heal:
    """Let them come back one by one."""
    for router in range(lab.topology.num_nodes):
        lab.kill(router)
        lab.world.after(float(random.uniform(0.0, 3.0)), partial(lab.boot, router))
    return lambda: None


def _crash_all_disks(lab: Lab, random: Generator) -> Heal:
    """Let some lose what they had written down, but not all of those that set costs."""
    heal = crash_all(lab)
    setting = sorted({int(lab.topology.src[link]) for link in lab.truth.commits[-1].ordered})
    keeper = int(random.choice(setting)) if setting else 0
    for router in range(lab.topology.num_nodes):
        if router != keeper and random.random() < 0.7:
            lab.disks.pop(router, None)
    return heal


def _partition(lab: Lab, random: Generator) -> Heal:
    """Cut all links between two random halves, for agents and OSPF alike."""
    topology = lab.topology
    side = random.random(topology.num_nodes) < 0.5
    crossing = [link for link in range(topology.num_links) if side[topology.src[link]] != side[topology.dst[link]]]
    return _take_down(lab, [link for link in crossing if topology.src[link] < topology.dst[link]])


def _take_down(lab: Lab, links: list[int], *, ospf_sees_after_s: float = 0.02) -> Heal:
    ends = [(int(lab.topology.src[link]), int(lab.topology.dst[link])) for link in links]
    both = ends + [(dst, src) for src, dst in ends]
    lab.wires.cut.update(both)
    for link in links:
        lab.area.link_down(link, after_s=ospf_sees_after_s)

    def heal() -> None:
        lab.wires.cut.difference_update(both)
        for link in links:
            lab.area.link_up(link, after_s=max(0.05, ospf_sees_after_s))

    return heal


def _link_down(lab: Lab, random: Generator) -> Heal:
    return _take_down(lab, [_link(lab, random)])


def _silent_link(lab: Lab, random: Generator) -> Heal:
    """Frames are lost on a link that is up: OSPF finds out after its dead interval, the agents earlier."""
    return _take_down(lab, [_link(lab, random)], ospf_sees_after_s=4.0)


def _one_way(lab: Lab, random: Generator) -> Heal:
    """Agents' frames get lost in one direction of a link; OSPF's do not (a filter)."""
    link = _link(lab, random)
    ends = int(lab.topology.src[link]), int(lab.topology.dst[link])
    lab.wires.cut.add(ends)
    return lambda: lab.wires.cut.discard(ends)


def _broker_dies(lab: Lab, _random: Generator) -> Heal:
    lab.broker.die()
    return lab.broker.restart


def _broker_and_agent_die(lab: Lab, random: Generator) -> Heal:
    """Let the agent come back first, and find its feet alone."""
    router = _router(lab, random)
    lab.broker.die()
    lab.kill(router)
    lab.world.after(float(random.uniform(0.0, 1.0)), partial(lab.boot, router))
    return lab.broker.restart


def _coordinator_restarts(lab: Lab, _random: Generator) -> Heal:
    lab.kill(COORDINATOR)
    return partial(lab.boot, COORDINATOR)


def _ospfd_dies(lab: Lab, random: Generator) -> Heal:
    router = _router(lab, random)
    lab.area.kill(router)

    def restart() -> None:
        with lab.truth.by_hand():
            lab.area.restart(router)

    return restart


def _operator(lab: Lab, random: Generator) -> None:
    """Somebody sets a cost by hand."""
    with lab.truth.by_hand():
        lab.area.set_cost(_link(lab, random), int(random.integers(1, 50)))


def _lie(lab: Lab, random: Generator) -> Heal:
    router = _router(lab, random)
    share = float(random.choice([0.02, 0.2, 1.0]))
    lab.liars[router] = Liar(random, share, lab.topology.num_links, lab.setting.steps)
    lab.truth.liars.add(router)

    def heal() -> None:  # the truth holds it to nothing even when it has come to its senses
        del lab.liars[router]

    return heal


def _forge(lab: Lab, random: Generator) -> Heal:
    """Somebody on the links without the key sends noise, damaged copies, and what was recorded."""
    recorded: list[tuple[int, int, bytes]] = []
    at_work = [True]

    def record(sender: int, receiver: int, data: bytes) -> bytes:
        recorded.append((sender, receiver, data))
        return data

    def attack() -> None:
        if not at_work:
            return
        sender, receiver, data = recorded[int(random.integers(len(recorded)))] if recorded else (0, 0, b"")
        kind = int(random.integers(3))
        if kind == 0 and recorded:
            lab.wires.forge(sender, receiver, random.bytes(int(random.integers(1, 200))))
        elif kind == 1 and recorded:
            damaged = bytearray(data)
            damaged[int(random.integers(len(damaged)))] ^= int(random.integers(1, 256))
            lab.wires.forge(sender, receiver, bytes(damaged))
        elif recorded:
            lab.wires.deliver(sender, receiver, data, 0.0)  # replayed: the window refuses it, or it is an Init
        lab.world.after(0.0005, attack)

    lab.wires.taps.append(record)
    attack()

    def stop() -> None:
        at_work.clear()
        lab.wires.taps.remove(record)

    return stop


def _two(lab: Lab, random: Generator) -> Heal:
    """Two of the others at once."""
    strikes = [_pause, _crash, _partition, _silent_link, _one_way, _broker_dies, _coordinator_restarts]
    first, second = random.choice(len(strikes), 2, replace=False)
    heals = [strikes[first](lab, random), strikes[second](lab, random)]

    def heal_both() -> None:
        for heal in heals:
            heal()

    return heal_both


FAULTS = {
    "none": Fault("nothing: the control", nothing, trials=100),
    "loss-1": Fault("1 % of all frames are lost", nothing, Impairment(loss=0.01), trials=100),
    "loss-10": Fault("10 % of all frames are lost", nothing, Impairment(loss=0.1), trials=100),
    "loss-20": Fault("20 % of all frames are lost", nothing, Impairment(loss=0.2), trials=100),
    "duplication": Fault("half of all frames come twice", nothing, Impairment(duplication=0.5), trials=100),
    "reordering": Fault(
        "30 % of all frames come up to 64 link delays late", nothing, Impairment(reordering=0.3), trials=100
    ),
    "corruption": Fault("5 % of all frames are damaged", nothing, Impairment(corruption=0.05), trials=100),
    "everything": Fault(
        "loss 5 %, duplication 20 %, reordering 20 %, damage 2 %",
        nothing,
        Impairment(loss=0.05, duplication=0.2, reordering=0.2, corruption=0.02),
    ),
    "forged-frames": Fault("noise, damaged and recorded frames from outside", _forge),
    "pause": Fault("an agent is stopped and continued", _pause, trials=500),
    "pause-commit": Fault("an agent is stopped during the commit", _pause, during="commit", trials=500),
    "crash": Fault("an agent is killed and comes back", _crash, trials=500),
    "crash-for-good": Fault("an agent is killed and stays away", _crash_for_good, trials=200),
    "crash-commit": Fault("an agent is killed at any point of the commit", _crash, during="commit", trials=200),
    "commit-points": Fault("a process is killed at every point of two commits", nothing, during="point", trials=0),
    "crash-all-commit": Fault("all agents are killed in the commit", crash_all, during="commit", trials=500),
    "crash-all-points": Fault(
        "all agents are killed at every point of two commits", nothing, during="point of all", trials=0
    ),
    "crash-all-scattered": Fault(
        "all agents are killed in the commit and come back one by one",
        _crash_all_scattered,
        during="commit",
        lasts_s=(3.0, 5.0),
    ),
    "crash-all-disks": Fault(
        "all agents are killed in the commit, and most routers' disks are lost", _crash_all_disks, during="commit"
    ),
    "link-down": Fault("a link goes down", _link_down),
    "silent-link": Fault("a link loses everything", _silent_link),
    "one-way": Fault("agents' frames are lost in one direction of a link", _one_way),
    "partition": Fault("the network falls into two halves", _partition),
    "partition-commit": Fault("it falls into two halves during the commit", _partition, during="commit", trials=100),
    "broker-dead": Fault("the broker is dead for up to a minute", _broker_dies, lasts_s=(0.05, 60.0), harmless=True),
    "broker-minute": Fault("the broker is dead for a minute", _broker_dies, lasts_s=(60.0, 60.0), harmless=True),
    "broker-dead-commit": Fault(
        "likewise, in the commit", _broker_dies, during="commit", lasts_s=(0.05, 60.0), harmless=True
    ),
    "broker-dead-crash": Fault(
        "the broker dies and an agent with it, which comes back before the broker",
        _broker_and_agent_die,
        lasts_s=(1.0, 60.0),
    ),
    "coordinator-restart": Fault("the coordinator is killed and started again", _coordinator_restarts),
    "ospfd-dead": Fault("ospfd is killed and started again", _ospfd_dies),
    "ospfd-dead-commit": Fault("likewise, in the commit", _ospfd_dies, during="commit"),
    "operator": Fault("somebody sets a cost by hand", _operator),
    "operator-commit": Fault("somebody sets a cost by hand during the commit", _operator, during="commit", trials=100),
    "lying-agent": Fault("an agent sends false contents", _lie, same=False),
    "two-faults": Fault("two of these at once", _two, trials=500),
}
