"""GraphML: the shipped networks, anybody's own, and every way in which a file can be wrong."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_routing_topology import networks

from routing.errors import DisconnectedTopology, InputError
from routing.formats import load_topology, save_topology, topology_names
from routing.topology import Topology

ROOT = Path(__file__).parent.parent
Load = Callable[..., Topology]
PUBLISHED = ROOT.parent / "shared" / "data" / "marl-gnn-te" / "links.csv"

KEYS = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="c" for="edge" attr.name="capacity" attr.type="double"/>
<key id="l" for="node" attr.name="label" attr.type="string"/>
<key id="p" for="node" attr.name="lat" attr.type="double"/>
"""
NODES = """<node id="a"/>
<node id="b"/>
<node id="c"/>
"""


def document(body: str, default: str = "undirected", keys: str = KEYS) -> str:
    return f'{keys}<graph edgedefault="{default}">\n{body}</graph>\n</graphml>\n'


def edge(ends: str, capacity: str = "1e9", more: str = "") -> str:
    return f'<edge source="{ends[0]}" target="{ends[1]}"{more}><data key="c">{capacity}</data></edge>\n'


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, profile: str = "uniform") -> Topology:
        path = tmp_path / "mine.graphml"
        path.write_text(text, encoding="utf-8")
        return load_topology(path, profile)

    return load


@pytest.mark.parametrize(("name", "nodes", "links"), [("nsfnet", 14, 42), ("gbn", 17, 52), ("geant2", 24, 74)])
def test_the_networks_of_the_papers(name: str, nodes: int, links: int) -> None:
    assert name in topology_names()
    for profile in ("uniform", "gravity"):
        topology = load_topology(name, profile)
        assert (topology.name, topology.num_nodes, topology.num_links) == (name, nodes, links)
        assert np.isfinite(topology.positions).all()
        assert topology.geographic == (name != "geant2")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published data set is not beside the repository")
@pytest.mark.parametrize("profile", ["uniform", "gravity"])
@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_links_and_capacities_are_the_published_ones(name: str, profile: str) -> None:
    topology = load_topology(name, profile)
    with PUBLISHED.open() as file:
        published = {
            (int(row["src"]), int(row["dst"])): float(row[f"capacity_{profile}"]) * 1e6
            for row in csv.DictReader(file)
            if row["topology"] == name
        }
    ends = zip(topology.src.tolist(), topology.dst.tolist(), strict=True)
    assert dict(zip(ends, topology.capacity.tolist(), strict=True)) == published


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_networkx_reads_the_same(name: str) -> None:
    graph = nx.read_graphml(ROOT / "topologies" / f"{name}.graphml")
    topology = load_topology(name, "gravity")
    assert tuple(label for _, label in graph.nodes(data="label")) == topology.nodes
    assert list(graph.nodes) == [str(node) for node in range(topology.num_nodes)]
    capacity = {(int(src), int(dst)): rate for src, dst, rate in graph.edges(data="capacity_gravity")}
    for link, ends in enumerate(zip(topology.src.tolist(), topology.dst.tolist(), strict=True)):
        assert capacity[ends] == topology.capacity[link]
    assert "source" in graph.graph


def test_gbn_runs_over_the_edges_of_germany17() -> None:
    topology = load_topology("gbn")
    edges = "Norden-Bremen Norden-Dortmund Hamburg-Berlin Hannover-Frankfurt Ulm-Muenchen Mannheim-Karlsruhe"
    names = {topology.link_name(link) for link in range(topology.num_links)}
    assert {edge.replace("-", "->") for edge in edges.split()} <= names


@given(networks())
def test_what_is_saved_is_loaded(topology: Topology) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.graphml"
        save_topology(path, topology)
        again = load_topology(path)
        graph = nx.read_graphml(path)
    assert again.digest() == topology.digest()
    assert again.name == "saved"
    assert again.geographic == topology.geographic
    np.testing.assert_array_equal(again.positions, topology.positions)
    assert [label for _, label in graph.nodes(data="label")] == list(topology.nodes)
    assert graph.number_of_edges() == topology.num_links


@given(networks())
def test_what_networkx_writes_is_loaded(topology: Topology) -> None:
    both_ways = np.maximum(topology.capacity, topology.capacity[topology.reverse])
    graph = nx.Graph()
    graph.add_nodes_from(topology.nodes)
    for link in range(topology.num_links):
        src, dst = topology.nodes[topology.src[link]], topology.nodes[topology.dst[link]]
        graph.add_edge(
            src, dst, capacity=max(topology.capacity[link], topology.capacity[topology.reverse[link]]).item()
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nx.graphml"
        nx.write_graphml(graph, path)
        again = load_topology(path)
    assert again.nodes == topology.nodes
    assert again.capacity.tolist() == both_ways.tolist()


@settings(max_examples=300)
@given(st.data())
def test_broken_files_give_a_topology_or_an_input_error(data: st.DataObject) -> None:
    whole = document(NODES + edge("ab") + edge("bc") + edge("ca")).encode()
    if data.draw(st.booleans()):
        content = data.draw(st.binary(max_size=200))
    else:
        start, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
        fragments = st.sampled_from(
            [b"<", b"&x;", b"</graph>", b'<node id="b">', b"<graph>", b'directed="true"', b"nan"]
        )
        content = whole[:start] + data.draw(st.binary(max_size=5) | fragments) + whole[start + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.graphml"
        path.write_bytes(content)
        try:
            topology = load_topology(path)
        except InputError as error:
            assert error.path == path
            assert "\n" not in str(error)
        else:
            assert topology.num_nodes >= 2


def test_undirected_edges_are_a_link_each_way(load: Load) -> None:
    topology = load(document(NODES + edge("ab") + edge("bc", "2e9")))
    assert [topology.link_name(link) for link in range(4)] == ["a->b", "b->a", "b->c", "c->b"]
    assert topology.capacity.tolist() == [1e9, 1e9, 2e9, 2e9]
    assert topology.name == "mine"
    assert np.isnan(topology.positions).all()


def test_one_edge_may_differ_from_the_default_direction(load: Load) -> None:
    more = ' directed="false"'
    topology = load(document(NODES + edge("ab", more=more) + edge("bc", more=more), "directed"))
    assert topology.num_links == 4


def test_labels_are_names_only_if_they_tell_all_nodes_apart(load: Load) -> None:
    def nodes(*labels: str) -> str:
        data = (f'<data key="l">{label}</data>' if label else "" for label in labels)
        return "".join(f'<node id="{name}">{label}</node>' for name, label in zip("abc", data, strict=True))

    edges = edge("ab") + edge("bc")
    assert load(document(nodes("A", "B &amp; B", "Köln") + edges)).nodes == ("A", "B & B", "Köln")
    assert load(document(nodes("A", "A", "C") + edges)).nodes == ("a", "b", "c")
    assert load(document(nodes("A", "", "C") + edges)).nodes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("vertical", "horizontal", "geographic"),
    [("lat", "lon", True), ("Latitude", "Longitude", True), ("y", "x", False)],
)
def test_positions(load: Load, vertical: str, horizontal: str, geographic: bool) -> None:
    keys = KEYS + "".join(
        f'<key id="{name}" for="node" attr.name="{name}" attr.type="double"/>\n' for name in (vertical, horizontal)
    )
    place = f'<data key="{vertical}">50.5</data><data key="{horizontal}">-8</data>'
    nodes = NODES.replace('<node id="a"/>', f'<node id="a">{place}</node>')
    topology = load(document(nodes + edge("ab") + edge("bc"), keys=keys))
    assert topology.positions[0].tolist() == [-8.0, 50.5]
    assert np.isnan(topology.positions[1:]).all()
    assert topology.geographic == geographic


def test_profiles(load: Load) -> None:
    keys = KEYS.replace('"capacity"', '"capacity_peak"')
    keys += '<key id="d" for="edge" attr.name="capacity" attr.type="double"><default>5</default></key>\n'
    text = document(NODES + edge("ab", "7") + edge("bc", "7").replace('<data key="c">7</data>', ""), keys=keys)
    assert load(text, "peak").capacity.tolist() == [7, 7, 5, 5]
    assert load(text, "gravity").capacity.tolist() == [5, 5, 5, 5]
    with pytest.raises(InputError, match="no capacities for profile 'night', expected one of gravity, uniform"):
        load_topology("gbn", "night")


BAD = {
    "not well-formed": (
        document(NODES).replace("</graph>", "</grap>"),
        9,
        "XML in UTF-8: mismatched tag",
    ),
    "empty": ("", 1, "no element found"),
    "dtd": ('<!DOCTYPE x [<!ENTITY e "boom">]>\n' + document(NODES), 1, "without DTD and entities"),
    "not graphml": ("<html/>", 1, "root element <html>, expected <graphml>"),
    "no capacity": (
        document(NODES + edge("ab") + '<edge source="b" target="c"/>\n'),
        10,
        "edge without capacity, expected",
    ),
    "word": (document(NODES + edge("ab", "fast") + edge("bc")), 9, "'fast' is not a number, expected the capacity"),
    "zero": (document(NODES + edge("ab") + edge("bc", "0")), 10, "capacity is 0, expected a positive"),
    "nan": (document(NODES + edge("ab", "nan") + edge("bc")), 9, "capacity is nan"),
    "infinite": (document(NODES + edge("ab", "1e999") + edge("bc")), 9, "capacity is 1e999"),
    "duplicate": (document(NODES + edge("ab") + edge("bc") + edge("ba")), 11, "duplicate link b->a"),
    "self-loop": (document(NODES + edge("ab") + edge("bb") + edge("bc")), 10, "b->b is a self-loop"),
    "one-way": (document(NODES + edge("ab") + edge("ba") + edge("bc"), "directed"), 11, "one-way .* b->c"),
    "unknown node": (document(NODES + edge("ab") + edge("bz")), 10, "unknown node 'z'"),
    "same node": (document(NODES + '<node id="a"/>\n'), 9, "duplicate node 'a', first on line 6"),
    "no source": (document(NODES + '<edge target="a"/>'), 9, "<edge> without 'source'"),
    "unknown key": (document(NODES + edge("ab").replace('"c"', '"q"')), 9, "unknown key 'q'"),
    "hyperedge": (document(NODES + "<hyperedge/>"), 9, "<hyperedge>"),
    "nested": (document('<node id="a">\n<graph/></node>'), 7, "nested graphs are not supported"),
    "latitude": (document(NODES.replace('"a"/>', '"a"><data key="p">99</data></node>')), 6, "lat is 99, expected -90"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_say_file_line_and_what_was_expected(load: Load, tmp_path: Path, case: str) -> None:
    text, line, message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        load(text)
    assert (error.value.path, error.value.line) == (tmp_path / "mine.graphml", line)
    assert str(error.value).startswith(f"{tmp_path / 'mine.graphml'}:{line}: ")


def test_what_concerns_the_whole_file_has_no_line(load: Load) -> None:
    with pytest.raises(DisconnectedTopology, match=r"mine\.graphml: .*no path from a to c"):
        load(document(NODES + edge("ab")))
    with pytest.raises(InputError, match=r"mine\.graphml: no <graph>"):
        load("<graphml/>")


def test_entities_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "bad.graphml"
    path.write_text(f'<!DOCTYPE g [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]><graphml>&e;</graphml>')
    with pytest.raises(InputError, match="without DTD"):
        load_topology(path)


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(InputError) as error:
        load_topology("gbm")
    assert str(error.value) == (
        "unknown topology 'gbm'; did you mean gbn? (known: gbn, geant2, nsfnet, synth100, synth1000, synth500, "
        "synth:NODES:LINKS, topohub:GROUP/NAME, or a file)"
    )
    with pytest.raises(InputError, match="did you mean nsfnet"):
        load_topology("NSFNet")
    with pytest.raises(InputError, match=r"'xyzzy'; \(known"):
        load_topology("xyzzy")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.graphml: cannot be read: No such file"):
        load_topology(tmp_path / "gone.graphml")
    with pytest.raises(InputError, match="Is a directory"):
        load_topology(str(tmp_path))


def test_a_file_works_wherever_a_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_topology(tmp_path / "mine", load_topology("gbn"))
    monkeypatch.chdir(tmp_path)
    assert load_topology("mine").digest() == load_topology("gbn").digest()
