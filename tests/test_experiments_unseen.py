"""Networks never seen: the list, the generated capacities, the tables, and going on."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from experiments.quality_journal import NAME
from experiments.quality_tables import Row
from experiments.unseen import NETWORKS, Unseen, left_to_win, lines_of, main, ratios, verdicts, wins
from routing.formats import load_topology, without_notices
from routing.generate import graded
from routing.topohub import topohub_names
from routing.topology import Topology

TRAINED = ("nsfnet", "gbn", "geant", "nobel-us", "nobel-germany")
KEPT = {"Aarnet", "Arpanet19728", "BtEurope", "Darkstrand", "HurricaneElectric", "Internode", "Ulaknet"}


def cycles(topology: Topology) -> int:
    """Number of independent cycles of a connected network."""
    return topology.num_links // 2 - topology.num_nodes + 1


@without_notices()
def test_the_list_has_every_network_that_the_rule_names_and_none_that_was_trained_on() -> None:
    found, snapshots = set[str](), dict[str, str]()
    for key in topohub_names():
        group, _, name = key.removeprefix("topohub:").partition("/")
        if group not in ("sndlib", "topozoo") or any(known in name.lower() for known in TRAINED) or name == "sun":
            continue
        topology = load_topology(key)
        if not 10 <= topology.num_nodes <= 80:
            continue
        if group == "sndlib" or name in KEPT:
            found.add(f"{group}/{name}")
        elif cycles(topology) >= 15:
            snapshots[name.rstrip("0123456789")] = name  # ascending, so that the last stays
    assert set(NETWORKS) == found | {f"topozoo/{name}" for name in snapshots.values()}
    assert len(set(NETWORKS)) == len(NETWORKS) >= 20


@without_notices()
def test_no_network_is_twice_in_the_list_or_was_trained_on() -> None:
    graphs: list[nx.Graph] = []
    for name in (*(f"topohub:{name}" for name in NETWORKS), "nsfnet", "gbn", "geant2"):
        topology = load_topology(name)
        graph = nx.Graph(zip(topology.src.tolist(), topology.dst.tolist(), strict=True))
        twins = [
            other for other in graphs if sorted(dict(other.degree).values()) == sorted(dict(graph.degree).values())
        ]
        assert not any(nx.is_isomorphic(graph, other) for other in twins), name
        graphs.append(graph)


def test_graded_capacities_follow_the_degrees_both_ways() -> None:
    topology = load_topology("topohub:sndlib/norway")
    found = graded(topology)
    np.testing.assert_array_equal(found.src, topology.src)
    assert set(found.capacity) == {10e9, 40e9, 100e9}
    degree = np.bincount(found.src)
    product = degree[found.src] * degree[found.dst]
    for link in range(found.num_links):
        assert found.capacity[link] == found.capacity[found.link_index(int(found.dst[link]), int(found.src[link]))]
    assert product[found.capacity == 100e9].min() >= product[found.capacity == 40e9].max()
    assert product[found.capacity == 40e9].min() >= product[found.capacity == 10e9].max()


def test_instances_are_the_same_again() -> None:
    source = Unseen(NETWORKS[:2], 2)
    assert len(source.keys) == 8 == 2 * len(Unseen(NETWORKS[:2], 2, ("gravity",)).keys)
    assert [source.load(key).digest for key in source.keys] == [source.load(key).digest for key in source.keys]
    assert len({source.load(key).digest for key in source.keys}) == 8


def row(name: str, matrix: int, method: str, ratio: float) -> Row:
    return Row(f"topohub:{name}", "uniform", matrix, method, ratio, ratio, 1.0, 1.0, 1)


def test_wins_are_counted_by_network() -> None:
    a, b = NETWORKS[:2]
    rows = [row(a, 0, "greedy", 1.2), row(a, 1, "greedy", 1.0), row(b, 0, "greedy", 1.3)]
    rows += [row(a, 0, "policy:1@x", 1.1), row(a, 1, "policy:1@x", 1.1), row(b, 0, "policy:1@x", 1.2)]
    means = ratios(rows)
    assert means[f"topohub:{a}"] == pytest.approx({"greedy": 1.1, "policy:1@x": 1.1})
    assert wins(means, "policy:1@x", "greedy") == (1, 1, 2)
    even = ["0 + 0 even of 0"] * 3
    assert verdicts(rows, ["x"], 8)[1] == ["policy:1@x", "with something left", "1 + 1 even of 2", *even]
    assert lines_of(rows, ["greedy"])[-1] == ["**mean of all 2**", "", "", "1.200"]


def test_where_greedy_is_at_the_bound_nothing_is_left() -> None:
    a, b = NETWORKS[:2]
    rows = [row(name, 0, method, 1.2 if name == b else 1.004) for name in (a, b) for method in ("greedy", "policy:8@x")]
    assert list(left_to_win(ratios(rows))) == [f"topohub:{b}"]
    lines = verdicts(rows, ["x"], 8)
    assert [line[:3] for line in lines if line[0] == "policy:8@x"] == [
        ["policy:8@x", "with something left", "0 + 1 even of 1"], ["policy:8@x", "all", "0 + 2 even of 2"]
    ]  # fmt: skip
    first = [line[0] for line in lines_of(rows, ["greedy"])[1:]]
    assert first == [b, "**mean of 1 with something left**", a, "**mean of all 2**"]


def test_it_goes_on_with_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--networks", "1", "--matrices", "1", "--episodes", "2", "--clock", "cpu", "--out", str(tmp_path)]
    assert main([*arguments, "--checkpoints", ""]) == 0
    first = (tmp_path / NAME).read_text().splitlines()
    assert len(first) == 1 + 2 * 6
    assert main([*arguments, "--checkpoints", "default,lookahead", "--resume"]) == 0
    second = (tmp_path / NAME).read_text().splitlines()
    assert second[: len(first)] == first and len(second) == len(first) + 1 + 2 * 4
    summary = (tmp_path / "summary.md").read_text()
    assert "| sndlib/abilene | 12 | 30 |" in summary and "policy:2@lookahead" in summary
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoints", "default,default"], "expected different names"),
        (["--checkpoints", "nothing"], "no checkpoint 'nothing'"),
        (["--networks", "99"], "expected 1.."),
        (["--traffic", "uniform,uniform"], "expected uniform, gravity or both"),
        (["--episodes", "1"], "at least 2"),
        (["--resume"], "expected --out"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
