"""The tree pass under any schedule, and the tree itself against networkx."""

from collections.abc import Sequence
from random import Random

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_networks import random_topology

from agent.messages import MAX_DATAGRAM, MAX_PART, MAX_PARTS, Down, MalformedFrame, Up, encode
from agent.session import OVERHEAD
from agent.tree import Passing, Tree, TreePass, spanning_tree, split
from routing.formats import load_topology
from routing.topology import Topology

PASSES = 4
DIGEST = b"\0" * 4


def graph(topology: Topology) -> nx.Graph:
    return nx.Graph(list(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)))


def check_tree(topology: Topology, tree: Tree) -> None:
    network = graph(topology)
    eccentricity = nx.eccentricity(network)
    assert tree.root == min(nx.center(network))
    assert tree.depth == nx.radius(network) == eccentricity[tree.root]
    assert tree.parent[tree.root] == -1
    distance = nx.single_source_shortest_path_length(network, tree.root)
    for node, parent in enumerate(tree.parent):
        if node != tree.root:
            assert network.has_edge(node, parent)
            assert distance[node] == distance[parent] + 1
            assert node in tree.children(parent)
    assert sum(len(tree.children(node)) for node in network) == topology.num_nodes - 1


@given(st.integers(3, 20), st.integers(0, 30), st.integers(0, 10_000))
def test_the_tree_is_a_shortest_one_from_the_centre(nodes: int, extra: int, seed: int) -> None:
    topology = random_topology(nodes, extra, seed)
    check_tree(topology, spanning_tree(topology))
    assert spanning_tree(topology) == spanning_tree(random_topology(nodes, extra, seed))


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_trees_of_the_shipped_topologies(name: str) -> None:
    topology = load_topology(name)
    check_tree(topology, spanning_tree(topology))
    assert spanning_tree(topology).depth == 3


def test_two_routers_are_a_tree() -> None:
    tree = spanning_tree(Topology.from_links("pair", ["a", "b"], [(0, 1), (1, 0)], 1e9))
    assert tree == Tree(root=0, parent=(-1, 0), depth=1)


def contribution(router: int, number: int, size: int = 0) -> bytes:
    return b"%d.%d" % (number, router) + bytes(size)


def combine(payloads: Sequence[bytes]) -> bytes:
    """Collect what everybody said, so that nothing is missing or twice."""
    return b"|".join(sorted(part for payload in payloads for part in payload.split(b"|")))


class Network:
    """Routers with nothing but tree passes, wired as `agent.run` wires them."""

    def __init__(self, topology: Topology, size: int = 0) -> None:
        self.tree = spanning_tree(topology)
        self.nodes = topology.num_nodes
        self.size = size
        self.passes = [TreePass(self.tree, router) for router in range(self.nodes)]
        self.outcomes: list[list[bytes]] = [[] for _ in range(self.nodes)]
        self.flying: list[tuple[int, int, Up | Down]] = []  # receiver, sender, frame
        self.frames = 0
        for router in range(self.nodes):
            self.begin(router)

    def begin(self, router: int) -> None:
        number = self.passes[router].number + 1
        if number < PASSES:
            self.passes[router].begin(contribution(router, number, self.size), combine)
        self.advance(router)

    def advance(self, router: int) -> None:
        outcome = self.passes[router].outcome()
        if outcome is not None:
            self.outcomes[router].append(outcome)
            self.flush(router)
            self.begin(router)
        self.flush(router)

    def flush(self, router: int) -> None:
        for passing in self.passes[router].outbox:
            for frame in passing.frames(1, DIGEST):
                assert len(encode(frame)) + OVERHEAD <= MAX_DATAGRAM
                assert isinstance(frame, Up | Down)
                self.flying.append((passing.router, router, frame))
                self.frames += 1
        self.passes[router].outbox.clear()

    def deliver(self, at: int, *, lose: bool = False, keep: bool = False) -> None:
        receiver, sender, frame = self.flying[at] if keep else self.flying.pop(at)
        if lose:
            return
        one = self.passes[receiver]
        if isinstance(frame, Up):
            one.receive_up(sender, frame.number, frame.part, frame.parts, frame.payload, frame.want)
        else:
            one.receive_down(sender, frame.number, frame.part, frame.parts, frame.payload)
        self.advance(receiver)
        assert len(one._up) <= 2 and len(one._down) <= 1
        parent = one.parent
        assert parent < 0 or -1 <= one.number - self.passes[parent].number <= 1

    def repeat(self, router: int) -> None:
        self.passes[router].repeat()
        self.flush(router)

    def done(self) -> bool:
        return all(len(outcomes) == PASSES for outcomes in self.outcomes)

    def assert_right(self) -> None:
        expected = [combine([contribution(r, n, self.size) for r in range(self.nodes)]) for n in range(PASSES)]
        for outcomes in self.outcomes:
            assert outcomes == expected


topologies = st.builds(random_topology, st.integers(3, 9), st.integers(0, 10), st.integers(0, 99))


@given(topologies, st.integers(0, 2**32))
def test_without_loss_a_pass_takes_two_frames_per_router_but_one(topology: Topology, seed: int) -> None:
    network, random = Network(topology), Random(seed)
    while network.flying:
        network.deliver(random.randrange(len(network.flying)))
    assert network.done()
    network.assert_right()
    assert network.frames == PASSES * 2 * (topology.num_nodes - 1)


@given(topologies, st.integers(0, 2**32), st.floats(0, 0.5), st.floats(0, 0.5), st.sampled_from([0, 0, 700]))
def test_all_hear_the_same_outcome_whatever_is_lost_and_repeated(
    topology: Topology, seed: int, loss: float, repetition: float, size: int
) -> None:
    network, random = Network(topology, size), Random(seed)
    for _ in range(2000):
        if network.done():
            break
        if network.flying and random.random() < 0.95:
            at = random.randrange(len(network.flying))
            network.deliver(at, lose=random.random() < loss, keep=random.random() < repetition / 2)
        else:
            network.repeat(random.randrange(topology.num_nodes))
    for _ in range(2 * PASSES * topology.num_nodes):
        while network.flying:
            network.deliver(0)
        for router in range(topology.num_nodes):
            network.repeat(router)
    assert network.done()
    assert network.flying == []
    network.assert_right()


def test_large_payloads_travel_in_parts() -> None:
    assert split(b"") == [b""]
    assert split(bytes(MAX_PART)) == [bytes(MAX_PART)]
    assert [len(part) for part in split(bytes(2 * MAX_PART + 1))] == [MAX_PART, MAX_PART, 1]
    with pytest.raises(ValueError, match=f"more than {MAX_PARTS} parts"):
        split(bytes(MAX_PART * MAX_PARTS + 1))
    up = Passing(3, True, 7, bytes(MAX_PART + 5), want=True).frames(2, DIGEST)
    assert up == [Up(2, 7, True, DIGEST, 0, 2, bytes(MAX_PART)), Up(2, 7, True, DIGEST, 1, 2, bytes(5))]
    assert Passing(3, False, 7, b"x").frames(2, DIGEST) == [Down(2, 7, DIGEST, 0, 1, b"x")]


def chain() -> list[TreePass]:
    """Return a - b - c with the root in the middle, all in their first pass."""
    tree = spanning_tree(Topology.from_links("chain", ["a", "b", "c"], [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9))
    assert tree == Tree(root=1, parent=(1, -1, 1), depth=1)
    passes = [TreePass(tree, router) for router in range(3)]
    for router, one in enumerate(passes):
        one.begin(b"%d" % router, combine)
    return passes


def test_who_is_waited_for() -> None:
    a, b, c = chain()
    assert (a.missing(), b.missing(), c.missing()) == ([1], [0, 2], [1])
    b.receive_up(2, 0, 0, 1, b"2", False)
    assert b.missing() == [0]
    b.receive_up(0, 0, 0, 1, b"0", False)
    assert b.missing() == []
    assert b.outcome() == b"0|1|2"
    assert b.outcome() is None
    assert b.outbox == [Passing(0, False, 0, b"0|1|2"), Passing(2, False, 0, b"0|1|2")]
    a.receive_down(1, 0, 0, 1, b"0|1|2")
    assert a.outcome() == b"0|1|2"
    assert a.missing() == []
    with pytest.raises(ValueError, match="pass 0 is not complete"):
        c.begin(b"", combine)


def test_only_children_speak_up_and_only_the_parent_down() -> None:
    a, b, _ = chain()
    with pytest.raises(MalformedFrame, match="not a child"):
        a.receive_up(1, 0, 0, 1, b"", False)
    with pytest.raises(MalformedFrame, match="not the parent"):
        b.receive_down(0, 0, 0, 1, b"")
    with pytest.raises(MalformedFrame, match="not the parent"):
        a.receive_down(2, 0, 0, 1, b"")


def test_parts_that_contradict_each_other_are_refused() -> None:
    _, b, _ = chain()
    with pytest.raises(MalformedFrame, match="part 1 of 1"):
        b.receive_up(0, 0, 1, 1, b"", False)
    b.receive_up(0, 0, 0, 2, b"x", False)
    with pytest.raises(MalformedFrame, match="part 1 of 3"):
        b.receive_up(0, 0, 1, 3, b"y", False)


def test_passes_far_ahead_or_long_over_are_ignored() -> None:
    a, b, _ = chain()
    for number in (2, 3, 4_000_000_000):
        b.receive_up(0, number, 0, 1, b"early", True)
    a.receive_down(1, 1, 0, 1, b"early")
    assert list(b._up) == [] and list(a._down) == [] and b.outbox == []
    b.receive_up(0, 1, 0, 1, b"the next", False)  # not impossible: kept
    assert list(b._up) == [1]


def test_the_outcome_is_repeated_once_for_a_question_in_parts() -> None:
    _, b, _ = chain()
    for child in (0, 2):
        b.receive_up(child, 0, 0, 1, b"%d" % child, False)
    assert b.outcome() is not None
    b.outbox.clear()
    b.receive_up(0, 0, 0, 2, b"", True)
    b.receive_up(0, 0, 1, 2, b"", True)
    assert b.outbox == [Passing(0, False, 0, b"0|1|2", again=True)]
    b.outbox.clear()
    b.receive_up(0, 0, 0, 1, b"0", False)  # late or repeated by the network: nobody waits
    assert b.outbox == []
