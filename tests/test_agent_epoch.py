"""Epochs: who is in, over what tree, under which id."""

import networkx as nx
import numpy as np
import pytest

from agent.epoch import Epoch, NoEpoch
from agent.tree import spanning_tree
from routing.formats import load_topology
from routing.topology import Topology

GBN = load_topology("gbn")
LINE = Topology.from_links("line", ["a", "b", "c", "d"], [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)], 1e9)


def test_with_all_links_and_agents_it_is_the_network() -> None:
    epoch = Epoch.of(GBN)
    assert epoch.part.network is GBN
    assert epoch.members == tuple(range(GBN.num_nodes))
    assert epoch.tree == spanning_tree(GBN)
    assert Epoch.of(GBN).id == epoch.id


@pytest.mark.parametrize("seed", range(30))
def test_the_tree_spans_the_members_over_links_that_are_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    down = random.choice(GBN.num_links, int(random.integers(0, 6)), replace=False).tolist()
    absent = set(random.choice(GBN.num_nodes, int(random.integers(0, 5)), replace=False).tolist())
    graph = nx.Graph()
    gone = set(down) | {int(GBN.reverse[link]) for link in down}
    graph.add_nodes_from(range(GBN.num_nodes))
    ends = [(int(GBN.src[link]), int(GBN.dst[link])) for link in range(GBN.num_links) if link not in gone]
    graph.add_edges_from(ends)
    largest = max(sorted(nx.connected_components(graph), key=min), key=len)
    members = largest - absent
    among = graph.subgraph(members)
    if not nx.is_connected(among):
        with pytest.raises(NoEpoch, match="the live agents are not connected"):
            Epoch.of(GBN, down, absent)
        return
    epoch = Epoch.of(GBN, down, absent)
    assert epoch.members == tuple(sorted(members))
    names = epoch.part.nodes
    spanned = [(int(names[node]), int(names[above])) for node, above in enumerate(epoch.tree.parent) if above >= 0]
    assert len(spanned) == len(members) - 1
    assert all(among.has_edge(*edge) for edge in spanned)
    assert nx.is_connected(among.edge_subgraph(spanned))
    root = int(names[epoch.tree.root])
    assert epoch.tree.depth == nx.radius(among) == nx.eccentricity(among, root)
    for router in members:
        heard = [int(names[peer]) for peer in epoch.neighbours(epoch.part.node(router))]
        assert heard == sorted(among.neighbors(router))


def test_equal_facts_have_equal_ids_and_others_have_others() -> None:
    link = 3
    one = Epoch.of(GBN, [link])
    assert one.id == Epoch.of(GBN, [int(GBN.reverse[link]), link]).id
    ids = {Epoch.of(GBN).id, one.id, Epoch.of(GBN, [4]).id, Epoch.of(GBN, [link], [2]).id, Epoch.of(GBN, [], [2]).id}
    assert len(ids) == 5


def test_members_that_are_not_connected() -> None:
    with pytest.raises(NoEpoch, match="no path among them from a to c"):
        Epoch.of(LINE, [], [1])
    with pytest.raises(NoEpoch, match="no agent is left"):
        Epoch.of(LINE, [], range(4))
    with pytest.raises(NoEpoch, match="no two routers"):
        Epoch.of(LINE, range(LINE.num_links))


def test_one_member_is_a_tree() -> None:
    epoch = Epoch.of(LINE, [], [0, 2, 3])
    assert (epoch.members, epoch.tree.root, epoch.tree.depth) == ((1,), 1, 0)
    assert epoch.neighbours(1) == []


def test_a_router_that_is_cut_off_is_no_member() -> None:
    epoch = Epoch.of(LINE, [LINE.link_index(2, 3)])
    assert epoch.members == (0, 1, 2)
    assert epoch.part.network.nodes == ("a", "b", "c")
