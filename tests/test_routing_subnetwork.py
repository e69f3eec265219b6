"""What is left of a network, against networkx."""

import networkx as nx
import numpy as np
import pytest

from routing.errors import InputError
from routing.formats import load_topology
from routing.state import RoutingState
from routing.subnetwork import components, without
from routing.topology import Topology
from routing.traffic import uniform

GBN = load_topology("gbn")


def graph_of(topology: Topology, down: set[int]) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(topology.num_nodes))
    up = [link for link in range(topology.num_links) if link not in down and int(topology.reverse[link]) not in down]
    graph.add_edges_from((int(topology.src[link]), int(topology.dst[link])) for link in up)
    return graph


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_part_is_kept_with_its_names_capacities_and_demands(seed: int) -> None:
    random = np.random.default_rng(seed)
    down = set(random.choice(GBN.num_links, int(random.integers(1, 20)), replace=False).tolist())
    parts = sorted(nx.connected_components(graph_of(GBN, down)), key=lambda part: (-len(part), min(part)))
    part = without(GBN, down)
    assert part.nodes.tolist() == sorted(parts[0])
    kept = graph_of(GBN, down).subgraph(parts[0])
    ends = {(int(GBN.src[link]), int(GBN.dst[link])) for link in part.links}
    assert ends == set(kept.edges) | {(b, a) for a, b in kept.edges}
    for number, link in enumerate(part.links):
        assert part.network.link_name(number) == GBN.link_name(int(link))
        assert part.network.capacity[number] == GBN.capacity[link]
    traffic = uniform(GBN, 1)
    inside = part.traffic(traffic).demand
    for i, src in enumerate(part.nodes):
        assert part.node(int(src)) == i
        for j, dst in enumerate(part.nodes):
            assert inside[i, j] == traffic.demand[src, dst]
    for node in set(range(GBN.num_nodes)) - parts[0]:
        with pytest.raises(ValueError, match=f"{GBN.nodes[node]} is not in this part"):
            part.node(node)


def test_a_link_that_is_down_carries_what_an_infinitely_long_one_carries() -> None:
    link = GBN.link_index(0, int(GBN.dst[0]))
    traffic = uniform(GBN, 3)
    part = without(GBN, [link])
    weights = np.arange(1, GBN.num_links + 1)
    far = weights.copy()
    far[[link, GBN.reverse[link]]] = 65535
    left = RoutingState(part.network, part.traffic(traffic), weights[part.links])
    full = RoutingState(GBN, traffic, far)
    assert full.load[link] == full.load[GBN.reverse[link]] == 0
    np.testing.assert_array_equal(full.load[part.links], left.load)
    np.testing.assert_array_equal(part.into(weights, left.weights)[part.links], weights[part.links])


def test_nothing_down_is_the_network_itself() -> None:
    part = without(GBN, [])
    assert part.network is GBN
    assert part.traffic(traffic := uniform(GBN, 1)) is traffic
    assert part.nodes.tolist() == list(range(GBN.num_nodes))


def test_nothing_left() -> None:
    with pytest.raises(InputError):
        without(GBN, range(GBN.num_links))


def test_components_among_some_nodes() -> None:
    up = np.ones(GBN.num_links, dtype=bool)
    assert components(GBN, up) == [list(range(GBN.num_nodes))]
    some = [0, int(GBN.dst[0])]
    assert components(GBN, up, some) == [some]
