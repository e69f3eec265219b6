"""The topology: derived arrays against networkx, canonical order, and what is refused."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import DisconnectedTopology, InputError, InvalidLink
from routing.topology import Topology

RING = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)]


def ring(**changes: object) -> Topology:
    arguments = {"name": "ring", "nodes": ("a", "b", "c"), "links": RING, "capacity": 1e9} | changes
    return Topology.from_links(**arguments)  # type: ignore[arg-type]


@st.composite
def networks(draw: st.DrawFn) -> Topology:
    """Connected networks: a random tree, more edges, links in any order."""
    num_nodes = draw(st.integers(2, 12))
    edges = {(draw(st.integers(0, n - 1)), n) for n in range(1, num_nodes)}
    pairs = st.tuples(st.integers(0, num_nodes - 1), st.integers(0, num_nodes - 1))
    edges |= {(min(pair), max(pair)) for pair in draw(st.sets(pairs, max_size=20)) if pair[0] != pair[1]}
    links = draw(st.permutations([link for edge in sorted(edges) for link in (edge, edge[::-1])]))
    positive = st.floats(1e-3, 1e15)
    capacity = draw(st.lists(positive, min_size=len(links), max_size=len(links)))
    coordinates = st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=num_nodes, max_size=num_nodes)
    names = st.text(st.characters(codec="utf-8", exclude_characters="/\\+#"), min_size=1, max_size=8)
    usable = names.filter(lambda name: name.isprintable() and name == name.strip() and name not in (".", ".."))
    nodes = draw(st.lists(usable, min_size=num_nodes, max_size=num_nodes, unique=True))
    return Topology.from_links("random", nodes, links, capacity, draw(coordinates), geographic=draw(st.booleans()))


@given(networks())
def test_derived_arrays_agree_with_networkx(topology: Topology) -> None:
    graph = nx.DiGraph(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
    assert sorted(graph.edges) == list(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
    for node in range(topology.num_nodes):
        assert topology.dst[topology.out_links(node)].tolist() == sorted(graph.successors(node))
        incoming = topology.incoming(node).tolist()
        assert incoming == sorted(incoming)
        assert topology.src[incoming].tolist() == sorted(graph.predecessors(node))
    for link, (src, dst) in enumerate(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)):
        assert topology.link_index(src, dst) == link
        assert topology.link_index(dst, src) == topology.reverse[link]
    for array in (topology.out_ptr, topology.in_ptr, topology.in_links, topology.reverse, topology.src, topology.dst):
        assert array.dtype == np.int32


@given(networks(), st.randoms(use_true_random=False))
def test_the_order_in_which_links_are_given_does_not_matter(topology: Topology, shuffler: random.Random) -> None:
    links = list(zip(topology.src.tolist(), topology.dst.tolist(), topology.capacity.tolist(), strict=True))
    shuffler.shuffle(links)
    again = Topology.from_links("other", topology.nodes, [link[:2] for link in links], [link[2] for link in links])
    assert again.digest() == topology.digest()
    assert again.capacity.tolist() == topology.capacity.tolist()


def test_digest_is_the_same_on_every_machine() -> None:
    assert ring().digest().hex() == "057578005798cb97be383d86da3bd8e5"


@pytest.mark.parametrize(
    "changes",
    [{"capacity": 2e9}, {"nodes": ("a", "b", "d")}, {"links": RING[:4]}, {"nodes": ("ab", "c", "d")}],
)
def test_digest_tells_networks_apart(changes: dict[str, object]) -> None:
    assert ring(**changes).digest() != ring().digest()


def test_arrays_are_read_only() -> None:
    topology = ring()
    for array in (topology.src, topology.dst, topology.capacity, topology.positions, topology.reverse):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_links_by_name_and_index() -> None:
    topology = ring()
    assert topology.link_name(0) == "a->b"
    for src, dst in [(0, 0), (3, 0), (-1, 0), (0, 7)]:
        with pytest.raises(ValueError, match="no link"):
            topology.link_index(src, dst)


def test_a_failed_link_takes_its_reverse_with_it() -> None:
    topology = ring(capacity=np.arange(1, 7) * 1e9)
    left = topology.without_links([topology.link_index(0, 1)])
    assert [left.link_name(link) for link in range(left.num_links)] == ["a->c", "b->c", "c->a", "c->b"]
    assert left.capacity.tolist() == [6e9, 3e9, 5e9, 4e9]
    assert topology.without_links([]).digest() == topology.digest()
    with pytest.raises(DisconnectedTopology, match=r"no path from a to b$"):
        left.without_links([left.link_index(1, 2)])


@pytest.mark.parametrize(
    ("changes", "message", "link"),
    [
        ({"links": [*RING, (1, 1)]}, "b->b is a self-loop", 6),
        ({"links": [*RING, (1, 2)]}, "duplicate link b->c", 6),
        ({"links": RING[:5]}, "every link needs its reverse: c->a", 4),
        ({"links": [RING[0], RING[2], RING[4]]}, "a->b, b->c, c->a", 0),
        ({"capacity": [1, 1, 1, 0, 1, 1]}, "capacity of c->b is 0, expected a positive number", 3),
        ({"capacity": [1, -5, 1, 1, 1, 1]}, "capacity of b->a is -5", 1),
        ({"capacity": [1, 1, 1, 1, 1, np.nan]}, "capacity of a->c is nan", 5),
        ({"capacity": np.inf}, "capacity of a->b is inf", 0),
    ],
)
def test_a_link_that_cannot_be_is_named(changes: dict[str, object], message: str, link: int) -> None:
    with pytest.raises(InvalidLink, match=message) as error:
        ring(**changes)
    assert error.value.link == link


def test_nodes_that_cannot_be_reached_are_named() -> None:
    links = [(0, 1), (1, 0), (2, 3), (3, 2)]
    with pytest.raises(DisconnectedTopology, match="no path from a to c, d"):
        ring(nodes=("a", "b", "c", "d"), links=links)
    with pytest.raises(DisconnectedTopology, match=r"to n1, .*, n10 and 2 more"):
        ring(nodes=[f"n{i}" for i in range(13)], links=[])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (("a", "b", "a"), "two nodes are called 'a'"),
        (("a", "b", ""), "'' cannot be"),
        (("a", "b", "c\n"), "cannot be a node's name"),
        (("a", "b", " c"), "cannot be a node's name"),
        (("a", "b", ".."), "cannot be a node's name"),
        (("a", "b", "../c"), "none of the characters"),
        (("a", "b", "c+"), "none of the characters"),
    ],
)
def test_unusable_names(nodes: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ring(nodes=nodes)


def test_no_network_is_smaller_than_two_nodes() -> None:
    with pytest.raises(InputError, match="expected at least 2"):
        Topology.from_links("one", ["a"], [], [])


def test_a_programmers_mistake_is_not_an_input_error() -> None:
    with pytest.raises(ValueError, match="outside"):
        ring(links=[*RING, (0, 3), (3, 0)])
    with pytest.raises(ValueError, match="sorted"):
        Topology("x", ("a", "b"), np.array([1, 0]), np.array([0, 1]), np.ones(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="shape"):
        Topology("x", ("a", "b"), np.array([0, 1]), np.array([1, 0]), np.ones(2), np.zeros((3, 2)))


def test_an_error_says_where() -> None:
    assert str(InputError("bad")) == "bad"
    assert str(InputError("bad", "x.graphml")) == "x.graphml: bad"
    assert str(InputError("bad", "x.graphml", 3)) == "x.graphml:3: bad"
