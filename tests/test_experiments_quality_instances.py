"""Instances: the data set's, generated ones, files; and where searches start."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from baselines.result import Budget
from experiments.quality_instances import CELLS, Key, Source, stored_defo
from routing.errors import InputError
from routing.formats import load_topology, save_network
from routing.state import RoutingState, inverse_capacity
from routing.traffic import gravity, uniform

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "marl-gnn-te"
published = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published data set is not at {DATA}")


def rows(name: str, profile: str) -> list[dict[str, str]]:
    with (DATA / "reference_mlu.csv").open() as file:
        return [row for row in csv.DictReader(file) if (row["topology"], row["profile"]) == (name, profile)]


@published
@pytest.mark.parametrize(("name", "profile"), CELLS)
def test_paper_weights_give_the_published_mlu(name: str, profile: str) -> None:
    source = Source(((name, profile),), tuple(range(100, 150)), data=DATA, initial="paper")
    for key, row in zip(source.keys, rows(name, profile)[100:], strict=True):
        instance = source.load(key)
        mlu = RoutingState(instance.topology, instance.traffic, instance.weights).mlu
        assert mlu == pytest.approx(float(row["paper_initial_weights"]), abs=1e-5)
        assert instance.bound == float(row["mcf_lower_bound"])
        assert instance.stored is not None
        defo = stored_defo(instance.topology, instance.traffic, instance.weights, Budget(), stored=instance.stored)
        assert defo.mlu == pytest.approx(float(row["defo"]), abs=1e-5)


@published
def test_matrices_without_a_bound_have_none() -> None:
    assert Source(CELLS[:1], (0,), data=DATA).load(Key("nsfnet", "uniform", 0)).bound is None


@published
@pytest.mark.parametrize(
    ("topology", "matrix", "message"), [("gbn", 150, "expected 0-149"), ("synth100", 1, "expected nsfnet, gbn")]
)
def test_what_the_data_set_lacks(topology: str, matrix: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Source(((topology, "uniform"),), (matrix,), data=DATA).load(Key(topology, "uniform", matrix))


@published
def test_a_damaged_data_set_is_named(tmp_path: Path) -> None:
    shutil.copy(DATA / "reference_mlu.csv", tmp_path)
    shutil.copy(DATA / "links.csv", tmp_path)
    (tmp_path / "gbn_uniform.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"gbn_uniform\.npz"):
        Source(CELLS, (0,), data=tmp_path).load(Key("gbn", "uniform", 0))
    (tmp_path / "reference_mlu.csv").write_text("topology,profile\ngbn,gravity\n")
    with pytest.raises(InputError, match="expected the columns"):
        Source(CELLS, (0,), data=tmp_path).load(Key("gbn", "gravity", 0))


def test_generated_matrices_have_their_number_as_seed() -> None:
    source = Source((("nsfnet", "uniform"), ("nsfnet", "gravity")), (3, 4))
    assert source.keys[:3] == [("nsfnet", "uniform", 3), ("nsfnet", "gravity", 3), ("nsfnet", "uniform", 4)]
    for key, generate in zip(source.keys, [uniform, gravity] * 2, strict=True):
        instance = source.load(key)
        assert isinstance(key.matrix, int)
        assert np.array_equal(instance.traffic.demand, generate(instance.topology, key.matrix).demand)
        assert np.array_equal(instance.weights, inverse_capacity(instance.topology))


def test_starts() -> None:
    key = Key("nsfnet", "uniform", 0)
    topology = load_topology("nsfnet")
    starts = {name: Source((key[:2],), (0,), initial=name).load(key) for name in ("unit", "random:5")}
    assert set(starts["unit"].weights) == {1}
    assert np.array_equal(starts["random:5"].weights, np.random.RandomState(5).randint(1, 5, topology.num_links))
    assert starts["unit"].digest != starts["random:5"].digest
    for name, message in [("paper", "expected --data"), ("given", "no weights"), ("best", "initial weights 'best'")]:
        with pytest.raises(InputError, match=message):
            Source((key[:2],), (0,), initial=name).load(key)


def test_files(tmp_path: Path) -> None:
    topology = load_topology("nsfnet")
    weights = np.arange(1, topology.num_links + 1)
    first, second = uniform(topology, 1), uniform(topology, 2)
    graph, demands = save_network(tmp_path / "n.graph", topology, first, weights)
    save_network(tmp_path / "other.graph", topology, second)
    paths = (str(demands), str(tmp_path / "other.demands"))
    source = Source(((str(graph), "file"),), (), paths, initial="given")
    instances = [source.load(key) for key in source.keys]
    assert [key.matrix for key in source.keys] == list(paths)
    for instance, traffic in zip(instances, (first, second), strict=True):
        assert np.array_equal(instance.traffic.demand, traffic.demand)
        assert np.array_equal(instance.weights, weights)
    with pytest.raises(InputError, match="no demands of its own"):
        Source(((str(graph), "file"),)).load(Key(str(graph), "file", "own"))


@published
def test_generated_matrices_beside_those_of_the_data() -> None:
    source = Source((("nsfnet", "uniform"),), (149,), data=DATA, initial="paper", generated=2)
    assert [key.matrix for key in source.keys] == [149, 1000, 1001]
    stored, one, two = (source.load(key) for key in source.keys)
    assert stored.bound is not None and one.bound is None and one.stored is None
    np.testing.assert_array_equal(one.weights, stored.weights)
    np.testing.assert_array_equal(one.traffic.demand, uniform(one.topology, 1000).demand)
    assert not np.array_equal(one.traffic.demand, two.traffic.demand)
    with pytest.raises(InputError, match="no uniform matrix 1002"):
        source.load(Key("nsfnet", "uniform", 1002))
