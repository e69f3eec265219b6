"""REPETITA, GML, SNDlib and PRISMA: round trips, meaning, and every way in which a file can be wrong."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_files import broken, gives_a_network_or_an_input_error, with_traffic
from test_routing_topology import networks

from routing.complete import Network
from routing.draft import Assumptions
from routing.errors import InputError
from routing.formats import load_demands, load_network, load_topology, save_network
from routing.rates import in_units, parse_rate, scaled
from routing.topology import Topology
from routing.traffic import TrafficMatrix, load_traffic

PRISMA = Path(__file__).parent.parent.parent / "shared" / "data" / "prisma"
OTN = PRISMA.parent / "otn"
Load = Callable[..., Network]

GRAPH = """NODES 3
label x y
0_Oslo 10.75 59.91
1_Rome 12.5 41.9
2_None 0.0 0.0

EDGES 6
label src dest weight bw delay
edge_0 0 1 10 1000000 3
edge_1 1 0 10 1000000 3
edge_2 1 2 20 2500000.5 3
edge_3 2 1 30 2500000.5 3
edge_4 0 2 5 622080 3
edge_5 2 0 5 622080 3
"""
DEMANDS = """DEMANDS 3
label src dest bw
demand_0 0 1 300
demand_1 2 1 0.5
demand_2 0 1 100
"""
GML = """graph [
  Creator "Topology Zoo Toolset"
  directed 0
  node [
    id 7
    label "K&#246;ln"
    Longitude 6.95
    Latitude 50.93
  ]
  node [ id 3 label "Bonn/Nord" graphics [ w 1.0 ] ]
  node [ id 5 label "A ]" ]
  edge [
    source 7
    target 3
    LinkSpeedRaw 2.5E9
  ]
  edge [ source 3 target 5 LinkLabel "fast" ]
]
"""
NATIVE = """?SNDlib native format; type: network; version: 1.0
# network tiny
META (
  granularity = 5min
  unit = KBITPERSEC
)
NODES (
  A ( 13.4 52.5 )
  B (-1.0 -2.0)
  C ( 0 0 ) () ()
)
LINKS (
  L1 ( A B ) 155.00 0 0 0 ( 622.00 1.0 )
  L2 ( B C ) 0.00 0 0 0 ( 622.00 1.0 155.0 2.0 )  # the smaller one
  L3 ( C A ) 0.00 0 0 0 ( )
)
DEMANDS (
  D1 ( A B ) 1 10.5 UNLIMITED
  D2 ( A B ) 2 3.00 5
)
ADMISSIBLE_PATHS ( )
"""
XML = """<?xml version="1.0"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0">
 <meta><unit>KBITPERSEC</unit></meta>
 <networkStructure>
  <nodes coordinatesType="geographical">
   <node id="A"><coordinates><x>13.4</x><y>52.5</y></coordinates></node>
   <node id="B"><coordinates><x>-1</x><y>-2</y></coordinates></node>
   <node id="C"><coordinates><x>0</x><y>0</y></coordinates></node>
  </nodes>
  <links>
   <link id="L1"><source>A</source><target>B</target>
    <preInstalledModule><capacity>155</capacity><cost>0</cost></preInstalledModule>
    <additionalModules><addModule><capacity>622</capacity><cost>1</cost></addModule></additionalModules>
   </link>
   <link id="L2"><source>B</source><target>C</target>
    <additionalModules>
     <addModule><capacity>622</capacity><cost>1</cost></addModule>
     <addModule><capacity>155</capacity><cost>2</cost></addModule>
    </additionalModules>
   </link>
   <link id="L3"><source>C</source><target>A</target></link>
  </links>
 </networkStructure>
 <demands>
  <demand id="D1"><source>A</source><target>B</target><demandValue>10.5</demandValue></demand>
  <demand id="D2"><source>A</source><target>B</target><routingUnit>2</routingUnit><demandValue>3</demandValue></demand>
 </demands>
</network>
"""
ADJACENCY, INTENSITY, COORDINATES = "0 1 1\n1 0 0\n1 0 0\n", "0Kbps 1.5Kbps 2Mbps\n0 0 0\n8bps 0 0\n", "0 1\n2 3\n4 5\n"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(name: str, text: str, demands: str | None = None, **assume: object) -> Network:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load_network(tmp_path / name, demands, assume=Assumptions(**assume))  # type: ignore[arg-type]

    return load


def saved_and_loaded(
    target: str, topology: Topology, traffic: TrafficMatrix | None = None, weights: np.ndarray | None = None
) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        files = save_network(folder + "/" + target, topology, traffic, weights)
        return load_network(files[0], *files[1:2])


@given(with_traffic(), st.data())
def test_repetita_round_trip(case: tuple[Topology, TrafficMatrix], data: st.DataObject) -> None:
    topology, traffic = case
    size = topology.num_links
    weights = np.array(data.draw(st.lists(st.integers(1, 65535), min_size=size, max_size=size)))
    again = saved_and_loaded("net.graph", topology, traffic, weights)
    assert again.traffic is not None
    assert again.weights is not None
    np.testing.assert_array_equal(again.topology.src, topology.src)
    np.testing.assert_array_equal(again.topology.dst, topology.dst)
    np.testing.assert_array_equal(again.topology.capacity, topology.capacity)
    np.testing.assert_array_equal(again.traffic.demand, traffic.demand)
    np.testing.assert_array_equal(again.weights, weights)
    known = ~(topology.positions == 0).all(axis=1)
    np.testing.assert_array_equal(again.topology.positions[known], topology.positions[known])
    for old, new in zip(topology.nodes, again.topology.nodes, strict=True):
        assert new == old or any(c.isspace() for name in topology.nodes for c in name)


@given(networks())
def test_gml_round_trip(topology: Topology) -> None:
    again = saved_and_loaded("net.gml", topology).topology
    assert again.digest() == topology.digest()
    assert again.geographic == topology.geographic
    np.testing.assert_array_equal(again.positions, topology.positions)


@given(networks())
def test_networkx_reads_our_gml(topology: Topology) -> None:
    assume(not {"()", "[]"} & set(topology.nodes))  # which networkx takes for an empty tuple and an empty list
    with tempfile.TemporaryDirectory() as folder:
        save_network(Path(folder) / "net.gml", topology)
        graph = nx.read_gml(Path(folder) / "net.gml")
    assert tuple(graph.nodes) == topology.nodes
    for link, (src, dst) in enumerate(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)):
        assert graph.edges[topology.nodes[src], topology.nodes[dst]]["capacity"] == topology.capacity[link]


@given(with_traffic(), st.sampled_from(["net.xml", "net.txt"]))
def test_sndlib_round_trip(case: tuple[Topology, TrafficMatrix], target: str) -> None:
    topology, traffic = case
    again = saved_and_loaded(target, topology, traffic)
    assert (again.traffic is None) == (not traffic.demand.any())
    if again.traffic is not None:
        np.testing.assert_array_equal(again.traffic.demand, traffic.demand)
    np.testing.assert_array_equal(again.topology.src, topology.src)
    np.testing.assert_array_equal(again.topology.dst, topology.dst)
    np.testing.assert_array_equal(again.topology.capacity, topology.capacity)
    np.testing.assert_array_equal(again.topology.positions, topology.positions)
    if target == "net.xml":
        assert again.topology.nodes == topology.nodes
        assert again.topology.geographic == topology.geographic


@given(with_traffic())
def test_prisma_round_trip(case: tuple[Topology, TrafficMatrix]) -> None:
    topology, traffic = case
    with tempfile.TemporaryDirectory() as folder:
        save_network(folder + "/net/", topology, traffic)
        again = load_network(folder + "/net")
    assert again.traffic is not None
    np.testing.assert_array_equal(again.topology.src, topology.src)
    np.testing.assert_array_equal(again.topology.dst, topology.dst)
    np.testing.assert_array_equal(again.traffic.demand, traffic.demand)
    np.testing.assert_array_equal(again.topology.positions, topology.positions)
    assert again.topology.name == "net"


@given(st.floats(1e-9, 1e20), st.sampled_from([0, 3, 6, 9]))
def test_units_lose_no_bit(value: float, exponent: int) -> None:
    assert scaled(in_units(value, exponent), exponent) == value


def test_repetita(load: Load, tmp_path: Path) -> None:
    (tmp_path / "tm.demands").write_text(DEMANDS)
    network = load("net.graph", GRAPH, str(tmp_path / "tm.demands"))
    topology, traffic, weights = network
    assert topology.nodes == ("0_Oslo", "1_Rome", "2_None")
    assert topology.capacity.tolist() == [1e9, 622.08e6, 1e9, 2500000.5e3, 622.08e6, 2500000.5e3]
    assert weights is not None
    assert weights.tolist() == [10, 5, 10, 20, 5, 30]
    assert traffic is not None
    assert traffic.demand.tolist() == [[0, 400e3, 0], [0, 0, 0], [0, 500, 0]]
    assert topology.positions[0].tolist() == [10.75, 59.91]
    assert np.isnan(topology.positions[2]).all()
    assert load_traffic(tmp_path / "tm.demands", topology).demand.tolist() == traffic.demand.tolist()


@pytest.mark.skipif(not OTN.exists(), reason="the published data set is not beside the repository")
def test_published_repetita_files() -> None:
    for name, nodes, links in (("geant2", 24, 74), ("nsfnet", 14, 42)):
        network = load_network(OTN / f"{name}.graph")
        assert (network.topology.num_nodes, network.topology.num_links) == (nodes, links)
        assert network.topology.link_index(0, 1) == 0
        np.testing.assert_array_equal(network.topology.src, load_topology(name).src)
        np.testing.assert_array_equal(network.topology.dst, load_topology(name).dst)


@pytest.mark.parametrize("name", ["topozoo/Roedunet", "topozoo/Dfn", "topozoo/Ulaknet", "sndlib/ta2", "gabriel/100/0"])
@pytest.mark.parametrize("target", ["net.graph", "net.graphml", "net.gml"])
def test_real_networks_of_many_nodes_come_back_from_files(name: str, target: str, tmp_path: Path) -> None:
    topology = load_topology(f"topohub:{name}")
    assert 40 <= topology.num_nodes <= 113
    save_network(tmp_path / target, topology, None, None)
    again = load_topology(str(tmp_path / target))
    for field in ("src", "dst", "capacity"):
        np.testing.assert_array_equal(getattr(again, field), getattr(topology, field))


def test_parallel_links_loops_and_one_way_links_of_repetita(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    text = GRAPH.replace("edge_1 1 0 10", "edge_1 0 1 7").replace("EDGES 6", "EDGES 7") + "edge_6 2 2 5 1 3\n"
    topology, _, weights = load("net.graph", text)
    assert topology.capacity[:3].tolist() == [2e9, 622.08e6, 2e9]
    assert weights is not None
    assert weights[:3].tolist() == [7, 5, 7]
    said = " ".join(record.getMessage() for record in caplog.records)
    for part in (
        "1 parallel link(s) merged",
        "; 1 of unequal weight",
        "1 one-way link(s)",
        "1 link(s) from a node to itself left out",
    ):
        assert part in said


def test_weights_that_ospf_cannot_have_are_left_out(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    assert load("net.graph", GRAPH.replace("0 1 10", "0 1 70000")).weights is None
    assert "weights left out: 70000 is one, expected 1..65535" in caplog.text


def test_gml_of_the_topology_zoo(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    topology = load("Zoo.gml", GML, capacity=1e9).topology
    assert topology.nodes == ("Köln", "Bonn_Nord", "A ]")
    assert [topology.link_name(link) for link in range(2)] == ["Köln->Bonn_Nord", "Bonn_Nord->Köln"]
    assert topology.capacity.tolist() == [2.5e9, 2.5e9, 1e9, 1e9]
    assert topology.positions[0].tolist() == [6.95, 50.93]
    assert "2 link(s) without capacity, 1 Gbit/s assumed" in caplog.text
    assert "'Bonn/Nord' is now Bonn_Nord" in caplog.text


def test_directed_gml_with_each_edge_once(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    assert load("Zoo.gml", GML.replace("directed 0", "directed 1")).topology.num_links == 4
    assert "2 one-way link(s)" in caplog.text


def test_graphml_of_the_topology_zoo(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    text = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
    <key attr.name="LinkSpeedRaw" attr.type="double" for="edge" id="d42" />
    <key attr.name="label" attr.type="string" for="node" id="d33" />
    <graph edgedefault="undirected">
    <node id="0"><data key="d33">NL</data></node><node id="1"><data key="d33">BE</data></node>
    <node id="2"><data key="d33">lonely</data></node>
    <edge source="0" target="1"><data key="d42">2500000000.0</data></edge>
    <edge source="0" target="1"/>
    </graph></graphml>"""
    with pytest.raises(InputError, match=r"no path from NL to lonely; .* --largest"):
        load("Zoo.graphml", text)
    caplog.clear()
    topology = load("Zoo.graphml", text, largest=True).topology
    assert topology.nodes == ("NL", "BE")
    assert topology.capacity.tolist() == [12.5e9, 12.5e9]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "2 link(s) without capacity, 10 Gbit/s assumed",
        "2 parallel link(s) merged with the first between the same nodes, summing up",
        "1 node(s) outside the largest connected part left out",
    ]
    assert all(record.levelno == logging.WARNING for record in caplog.records)


@pytest.mark.parametrize(("name", "text"), [("net.txt", NATIVE), ("net.xml", XML), ("net", NATIVE), ("other", XML)])
def test_sndlib(load: Load, caplog: pytest.LogCaptureFixture, name: str, text: str) -> None:
    topology, traffic, weights = load(name, text, capacity=1e9)
    assert topology.nodes == ("A", "B", "C")
    assert topology.capacity.tolist() == [155e3, 1e9, 155e3, 155e3, 1e9, 155e3]
    assert traffic is not None
    assert traffic.demand.tolist() == [[0, 16.5e3, 0], [0, 0, 0], [0, 0, 0]]
    assert weights is None
    assert topology.geographic
    assert topology.positions[1].tolist() == [-1, -2]
    assert "1 link(s) without preinstalled capacity have one of their smallest modules" in caplog.text
    assert "2 link(s) without capacity, 1 Gbit/s assumed" in caplog.text
    assert load(name, text, modules="largest").topology.capacity[3] == 622e3
    assert load(name, text, modules="ignore").topology.capacity[3] == 10e9


def test_sndlib_without_unit(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    text = NATIVE.replace("  unit = KBITPERSEC\n", "")
    assert load("net.txt", text).topology.capacity[0] == 155e6
    assert "no unit, Mbit/s assumed" in caplog.text
    assert load("net.txt", text, unit="Gbit").topology.capacity[0] == 155e9


def test_sndlib_demands_for_another_topology(load: Load, tmp_path: Path) -> None:
    topology = load("net.txt", NATIVE).topology
    (tmp_path / "other.xml").write_text(XML.replace(">A<", ">x<").replace('"A"', '"x"'))
    with pytest.raises(InputError, match=r"other\.xml: demand of node 'x', expected a node of net"):
        load_demands(tmp_path / "other.xml", topology)
    matrix = NATIVE[: NATIVE.index("LINKS")] + "LINKS ( )\n" + NATIVE[NATIVE.index("DEMANDS") :]
    (tmp_path / "matrix.txt").write_text(matrix)
    assert load_demands(tmp_path / "matrix.txt", topology).demand[0, 1] == 16.5e3


def test_prisma(load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "node_coordinates.txt").write_text(COORDINATES)
    (tmp_path / "node_intensity.txt").write_text(INTENSITY)
    (tmp_path / "adjacency_matrix.txt").write_text(ADJACENCY)
    for path in (tmp_path, tmp_path / "adjacency_matrix.txt"):
        topology, traffic, _ = load_network(path)
        assert topology.name == tmp_path.name
        assert topology.nodes == ("0", "1", "2")
        assert topology.capacity.tolist() == [500e3] * 4
        assert traffic is not None
        assert traffic.demand.tolist() == [[0, 1500, 2e6], [0, 0, 0], [8, 0, 0]]
        assert topology.positions.tolist() == [[0, 1], [2, 3], [4, 5]]
        assert not topology.geographic
    assert "4 link(s) without capacity, 500 kbit/s assumed" in caplog.text
    (tmp_path / "adjacency_matrix.txt").write_text("0 1 1\n0 0 0\n0 0 0\n")  # the upper triangle
    assert load_topology(tmp_path).digest() == topology.digest()


@pytest.mark.skipif(not PRISMA.exists(), reason="the published data set is not beside the repository")
@pytest.mark.parametrize(("name", "nodes", "links"), [("abilene", 11, 28), ("geant", 23, 74)])
def test_published_prisma_files(name: str, nodes: int, links: int) -> None:
    topology, traffic, _ = load_network(PRISMA / name)
    assert (topology.name, topology.num_nodes, topology.num_links) == (name, nodes, links)
    assert traffic is not None
    assert (traffic.demand > 0).sum() == nodes * (nodes - 1)


BAD = {
    "no section": ("a.graph", "EDGES 3\n", 1, "'EDGES 3', expected 'NODES' and their number"),
    "empty": ("a.graph", "", None, "expected 'NODES' and their number"),
    "header": ("a.graph", GRAPH.replace("label x y", "label lat lon"), 2, "expected the header 'label x y'"),
    "too few": (
        "a.graph",
        GRAPH.replace("NODES 3", "NODES 4"),
        7,
        r"2 columns, expected 'label x y' \(NODES promises 4",
    ),
    "cut": ("a.graph", GRAPH[: GRAPH.index("edge_4")], 12, "the file ends after 4 of 6 EDGES"),
    "too many": ("a.graph", GRAPH + "edge_6 0 1 1 1 1\n", 15, "more after the edges"),
    "no node": ("a.graph", GRAPH.replace("0 2 5", "0 3 5"), 13, r"node '3', expected a number 0\.\.2"),
    "bandwidth": ("a.graph", GRAPH.replace("622080", "0"), 13, "0, expected bw in kbit/s above zero"),
    "word": ("a.graph", GRAPH.replace("622080", "fast"), 13, "'fast' is not a finite number, expected bw in kbit/s"),
    "weight": ("a.graph", GRAPH.replace("0 2 5", "0 2 x"), 13, "weight 'x', expected a whole number"),
    "gml empty": ("a.gml", "", None, "0 graphs, expected GML with one 'graph"),
    "gml end": ("a.gml", GML[:-3], 17, r"the file ends within a list, expected \]"),
    "gml value": ("a.gml", GML.replace('label "A ]"', "label label"), 11, "'label', expected a value of label"),
    "gml character": ("a.gml", GML.replace("directed 0", "directed = 0"), 3, "'=', expected a key, a number"),
    "gml id": ("a.gml", GML.replace("id 7\n", ""), 4, r"node without id, expected 'node \[ id"),
    "gml twice": ("a.gml", GML.replace("id 5", "id 3"), 11, "second node 3, first on line 10"),
    "gml unknown": ("a.gml", GML.replace("source 7", "source 8"), 12, "edge to unknown node 8"),
    "gml speed": ("a.gml", GML.replace("2.5E9", '"fast"'), 15, "'fast' is not a number, expected the LinkSpeedRaw"),
    "native header": ("a.txt", NATIVE.replace("1.0\n", "2.0\n", 1), 1, "expected '.SNDlib native format"),
    "native section": ("a.txt", NATIVE.replace("LINKS (", "LINKS"), 12, r"'LINKS', expected a section such as"),
    "native end": ("a.txt", NATIVE[:-23], None, r"the file ends within DEMANDS, expected \)"),
    "native link": ("a.txt", NATIVE.replace("155.00 0 0 0", "155.00 0 0"), 13, r"expected 'link \( source target \)"),
    "native node": ("a.txt", NATIVE.replace("( A B ) 155", "( A X ) 155"), 13, "unknown node 'X'"),
    "native unit": ("a.txt", NATIVE.replace("KBITPERSEC", "POUNDS"), 5, "unit 'POUNDS', expected one of BITPERSEC"),
    "native demand": ("a.txt", NATIVE.replace("10.5", "-10.5"), 18, "-10.5, expected a demand, not below zero"),
    "xml dtd": ("a.xml", XML.replace("<network ", '<!DOCTYPE n [<!ENTITY e "x">]><network ', 1), 2, "without DTD"),
    "xml tag": ("a.xml", XML.replace("</links>", "</link>"), 22, "mismatched tag"),
    "xml id": ("a.xml", XML.replace('<node id="A">', "<node>"), 6, "<node> without 'id'"),
    "xml twice": ("a.xml", XML.replace('<node id="B">', '<node id="A">'), 7, "second node 'A', first on line 6"),
    "xml source": ("a.xml", XML.replace("<source>C</source>", ""), 21, "'L3' has 0 source, expected one"),
    "xml number": ("a.xml", XML.replace(">10.5<", "><"), 25, "'' is not a finite number, expected a demand"),
    "prisma": (
        "adjacency_matrix.txt",
        ADJACENCY.replace("1 0 0\n1", "1 0 2\n1"),
        2,
        "'2' in column 3, expected 0 or 1",
    ),
    "prisma row": ("adjacency_matrix.txt", ADJACENCY.replace("0 1 1", "0 1"), 1, "2 columns, expected 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_say_file_line_and_what_was_expected(load: Load, tmp_path: Path, case: str) -> None:
    name, text, line, message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        load(name, text)
    assert (error.value.path, error.value.line) == (tmp_path / name, line)


def test_errors_in_the_other_files_of_a_network_name_them(load: Load, tmp_path: Path) -> None:
    (tmp_path / "tm.demands").write_text(DEMANDS.replace("300", "much"))
    with pytest.raises(InputError, match=r"tm\.demands:3: 'much' is not a finite number"):
        load("net.graph", GRAPH, str(tmp_path / "tm.demands"))
    (tmp_path / "node_intensity.txt").write_text(INTENSITY.replace("2Mbps", "2MBps"))
    with pytest.raises(InputError, match=r"node_intensity\.txt:1: '2MBps' is not a rate.* \(column 3\)"):
        load("adjacency_matrix.txt", ADJACENCY)
    (tmp_path / "node_intensity.txt").unlink()
    (tmp_path / "node_coordinates.txt").write_text("0 1\n2 3\n")
    with pytest.raises(InputError, match=r"node_coordinates\.txt: 2 lines, expected one for each of 3 nodes"):
        load("adjacency_matrix.txt", ADJACENCY)


@settings(max_examples=150)
@given(
    st.data(), st.sampled_from([("a.graph", GRAPH), ("a.gml", GML), ("a.txt", NATIVE), ("a.xml", XML), ("a", GRAPH)])
)
def test_broken_files_give_a_network_or_an_input_error(data: st.DataObject, whole: tuple[str, str]) -> None:
    gives_a_network_or_an_input_error({whole[0]: data.draw(broken(whole[1].encode()))}, whole[0])


@settings(max_examples=100)
@given(st.data(), st.sampled_from([("tm.demands", DEMANDS), ("tm", XML.replace("A", "0_Oslo")), ("tm.txt", INTENSITY)]))
def test_broken_demands_give_a_matrix_or_an_input_error(data: st.DataObject, whole: tuple[str, str]) -> None:
    files = {"net.graph": GRAPH.encode(), whole[0]: data.draw(broken(whole[1].encode()))}
    gives_a_network_or_an_input_error(files, "net.graph", whole[0])


@settings(max_examples=60)
@given(st.data())
def test_broken_prisma_folders_give_a_network_or_an_input_error(data: st.DataObject) -> None:
    texts = {"adjacency_matrix.txt": ADJACENCY, "node_coordinates.txt": COORDINATES, "node_intensity.txt": INTENSITY}
    files = {name: data.draw(st.just(text.encode()) | broken(text.encode())) for name, text in texts.items()}
    gives_a_network_or_an_input_error(files, "adjacency_matrix.txt")


@pytest.mark.parametrize(
    ("text", "rate"), [("10G", 10e9), ("155.52 Mbit/s", 155.52e6), ("500Kbps", 5e5), ("1e9", 1e9), ("2.5 Gb/s", 2.5e9)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "10GB", "10MiB/s", "-1G", "nan", "1e999", "1.2.3"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InputError, match="is not a rate, expected bit/s"):
        parse_rate(text)


def test_names_without_a_format_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot tell the format, expected \.graphml"):
        save_network(tmp_path / "net.pdf", load_topology("nsfnet"))
    with pytest.raises(InputError, match="cannot be written: No such file"):
        save_network(tmp_path / "none" / "net.gml", load_topology("nsfnet"))


@pytest.mark.parametrize("assume", [{"capacity": 0.0}, {"capacity": np.nan}, {"unit": "Pbit"}, {"modules": "all"}])
def test_assumptions_are_checked(assume: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        Assumptions(**assume)  # type: ignore[arg-type]
