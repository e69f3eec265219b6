"""Networks never seen: the list, the generated capacities, the tables, and going on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.quality_journal import NAME
from experiments.quality_tables import Row
from experiments.unseen import NETWORKS, Unseen, lines_of, main, ratios, verdicts, wins
from routing.formats import load_topology
from routing.generate import graded

TRAINED = ("nsfnet", "gbn", "geant", "nobel-us", "nobel-germany")


def test_the_list_has_real_networks_that_nothing_was_trained_on() -> None:
    assert len(set(NETWORKS)) == len(NETWORKS) >= 20
    found = set()
    shipped = {load_topology(name).num_links: load_topology(name) for name in ("nsfnet", "gbn", "geant2")}
    for name in NETWORKS:
        assert not any(known in name.lower() for known in TRAINED)
        topology = load_topology(f"topohub:{name}")
        assert 10 <= topology.num_nodes <= 80
        found.add((topology.src.tobytes(), topology.dst.tobytes()))
        twin = shipped.get(topology.num_links)
        assert twin is None or twin.src.tolist() != topology.src.tolist()
    assert len(found) == len(NETWORKS)


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
    assert verdicts(rows, ["x"], 8)[1] == ["policy:1@x", "1 + 1 even of 2", *["0 + 0 even of 0"] * 3]
    assert lines_of(rows, ["greedy"])[-1] == ["mean of 2", "", "", "1.200"]


def test_it_goes_on_with_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--networks", "1", "--episodes", "2", "--clock", "cpu", "--out", str(tmp_path), "--checkpoints"]
    assert main([*arguments, "default"]) == 0
    first = (tmp_path / NAME).read_text().splitlines()
    assert len(first) == 1 + 2 * 8
    assert main([*arguments, "default,lookahead", "--resume"]) == 0
    second = (tmp_path / NAME).read_text().splitlines()
    assert second[: len(first)] == first and len(second) == len(first) + 1 + 2 * 2
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
