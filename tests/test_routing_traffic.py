"""Traffic matrices: the generators against the published data, files in every format, and what is refused."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_routing_topology import networks

from routing.errors import InputError
from routing.formats import load_topology
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, load_traffic, save_traffic, uniform

PUBLISHED = Path(__file__).parent.parent.parent / "shared" / "data" / "marl-gnn-te"
PAIR = Topology.from_links("pair", ["a", "b"], [(0, 1), (1, 0)], 1e9)
GENERATORS = {"uniform": uniform, "gravity": gravity}
Load = Callable[[str], TrafficMatrix]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> TrafficMatrix:
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return load_traffic(path, PAIR)

    return load


def off_diagonal(traffic: TrafficMatrix) -> np.ndarray:
    return traffic.demand[~np.eye(traffic.num_nodes, dtype=bool)]


@pytest.mark.parametrize("generator", GENERATORS.values())
def test_a_seed_gives_the_same_matrix_again_and_another_a_different_one(
    generator: Callable[[Topology, int], TrafficMatrix],
) -> None:
    topology = load_topology("gbn")
    first, again, other = generator(topology, 3), generator(topology, 3), generator(topology, 4)
    np.testing.assert_array_equal(first.demand, again.demand)
    assert not np.isclose(off_diagonal(first), off_diagonal(other)).all()
    assert first.name == f"{generator.__name__}:3"


def test_the_generators_are_the_same_on_every_machine() -> None:
    topology = load_topology("nsfnet")
    assert uniform(topology, 1).demand[0, 1:4].tolist() == [1271026496.0, 343154944.0, 175649024.0]
    assert gravity(topology, 1).demand[0, 1:4].tolist() == [1748112.0, 2738704.0, 2813904.0]


@given(networks(), st.integers(0, 2**64 - 1))
def test_generated_matrices_are_valid_for_any_network(topology: Topology, seed: int) -> None:
    for generator in GENERATORS.values():
        traffic = generator(topology, seed)
        assert traffic.num_nodes == topology.num_nodes
        assert traffic.demand.sum() > 0


def test_seeds_have_64_bits() -> None:
    large = [uniform(PAIR, seed).demand[0, 1] for seed in (2**64 - 1, 2**64 - 2, 0)]
    assert len(set(large)) == 3
    for seed in (-1, 2**64):
        with pytest.raises(InputError, match="expected 0"):
            gravity(PAIR, seed)


@given(networks(), st.integers(0, 10), st.sampled_from([2.0**-10, 2.0, 2.0**20]))
def test_the_level_follows_the_capacities(topology: Topology, seed: int, factor: float) -> None:
    links = np.stack([topology.src, topology.dst], axis=1)
    other = Topology.from_links("other", topology.nodes, links, topology.capacity * factor)
    for generator in GENERATORS.values():
        np.testing.assert_array_equal(generator(other, seed).demand, generator(topology, seed).demand * factor)


def test_uniform_lies_between_a_sixth_and_eleven_sixths_of_the_mean() -> None:
    topology = load_topology("geant2")
    demands = np.concatenate([off_diagonal(uniform(topology, seed)) for seed in range(50)])
    mean = demands.mean()
    assert 0.98 < demands.min() / (mean / 6) < 1.05
    assert 0.97 < demands.max() / (mean * 11 / 6) < 1.02
    # Each sixth of the range holds its share.
    counts, _ = np.histogram(demands, bins=6, range=(mean / 6, mean * 11 / 6))
    assert np.abs(counts / len(demands) - 1 / 6).max() < 0.01


def test_gravity_is_a_product() -> None:
    demand = gravity(load_topology("gbn"), 5).demand
    # d[i, j] d[k, l] = d[i, l] d[k, j]
    quotient = demand[0, 2] * demand[1, 3] / (demand[0, 3] * demand[1, 2])
    assert quotient == pytest.approx(1, rel=1e-4)


def test_gravity_draws_exponential_factors() -> None:
    topology = load_topology("geant2")
    totals = np.concatenate([gravity(topology, seed).demand.sum(axis=1) for seed in range(100)])
    totals /= totals.mean()
    # Of an exponential distribution: P(x > 1) = 1/e, P(x > 2) = 1/e^2; row sums without the diagonal come close.
    assert (totals > 1).mean() == pytest.approx(np.exp(-1), abs=0.03)
    assert (totals > 2).mean() == pytest.approx(np.exp(-2), abs=0.03)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published data set is not beside the repository")
@pytest.mark.parametrize("profile", GENERATORS)
@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_levels_are_those_of_the_published_matrices(name: str, profile: str) -> None:
    topology = load_topology(name, profile)
    published = np.load(PUBLISHED / f"{name}_{profile}.npz")["tm"][:, ~np.eye(topology.num_nodes, dtype=bool)] * 1e6
    ours = np.stack([off_diagonal(GENERATORS[profile](topology, seed)) for seed in range(100)])
    assert ours.mean() == pytest.approx(published.mean(), rel=0.04 if profile == "uniform" else 0.13)
    spread = [matrices.std() / matrices.mean() for matrices in (ours, published)]
    assert spread[0] == pytest.approx(spread[1], rel=0.1)
    medians = [np.median(matrices) / matrices.mean() for matrices in (ours, published)]
    assert medians[0] == pytest.approx(medians[1], abs=0.03)


@given(networks(), st.data(), st.sampled_from([".csv", ".npy", ".npz"]))
def test_what_is_saved_is_loaded(topology: Topology, data: st.DataObject, suffix: str) -> None:
    n = topology.num_nodes
    demand = np.array(data.draw(st.lists(st.floats(0, 1e15), min_size=n * n, max_size=n * n))).reshape(n, n)
    np.fill_diagonal(demand, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"traffic{suffix}"
        save_traffic(path, TrafficMatrix(demand), topology)
        again = load_traffic(path, topology)
    np.testing.assert_array_equal(again.demand, demand)
    assert again.name == path.name


@settings(max_examples=300)
@given(st.sampled_from([".csv", ".npy", ".npz"]), st.binary(max_size=8), st.data())
def test_broken_files_give_a_matrix_or_an_input_error(suffix: str, inserted: bytes, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"traffic{suffix}"
        save_traffic(path, TrafficMatrix(np.array([[0, 1e9], [2e9, 0]])), PAIR)
        content = path.read_bytes()
        start, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 30))
        path.write_bytes(content[:start] + inserted + content[start + length :])
        try:
            traffic = load_traffic(path, PAIR)
        except InputError as error:
            assert error.path == path
            assert "\n" not in str(error)
        else:
            assert traffic.num_nodes == 2


@pytest.mark.parametrize(
    "text",
    [
        ",a,b\na,0,5\nb,7,0\n",
        "node,b,a\nb,0,7\na,5,0\n",
        "a,b\n0,5\n7,0\n",
        "b,a\n0,7\n5,0\n",
        "src,dst,bps\na,b,5\nb,a,7\n",
        "\ufeffsrc, dst, bps\r\n\r\nb, a, 7\r\na, b, 5e0\r\na, a, 0\r\n",
    ],
)
def test_the_ways_to_write_csv(load: Load, text: str) -> None:
    assert load(text).demand.tolist() == [[0, 5], [7, 0]]


def test_pairs_that_do_not_occur_have_no_demand(load: Load) -> None:
    assert load("src,dst,bps\nb,a,7\n").demand.tolist() == [[0, 0], [7, 0]]


BAD = {
    "empty": ("\n\n", None, "empty"),
    "negative": (",a,b\na,0,-5\nb,7,0\n", 2, "demand from a to b is -5, expected a finite number >= 0"),
    "nan": (",a,b\na,0,5\nb,nan,0\n", 3, "demand from b to a is nan"),
    "infinite": ("src,dst,bps\na,b,inf\n", 2, "demand from a to b is inf"),
    "word": ("src,dst,bps\na,b,much\n", 2, "'much' is not a number, expected the demand in bit/s"),
    "hole": (",a,b\na,0,\nb,7,0\n", 2, "'' is not a number"),
    "to itself": (",a,b\na,0,5\nb,7,1\n", 3, "demand from b to itself, expected 0"),
    "unknown in header": (",a,c\na,0,5\nc,7,0\n", 1, "unknown node 'c', expected a node of the topology: a, b"),
    "unknown in row": (",a,b\na,0,5\nc,7,0\n", 3, "unknown node 'c'"),
    "unknown in demand": ("src,dst,bps\na,b,5\nb,z,5\n", 3, "unknown node 'z'"),
    "header twice": (",a,a\na,0,5\nb,7,0\n", 1, "2 nodes, expected each of the 2 nodes once"),
    "row twice": (",a,b\na,0,5\na,0,5\n", 3, "second row for a"),
    "demand twice": ("src,dst,bps\na,b,5\n\na,b,5\n", 4, "second demand from a to b, first on line 2"),
    "too few rows": (",a,b\na,0,5\n", 2, "1 rows below the header, expected 2"),
    "not square": ("a,b\n0,5\n7\n", 3, "1 columns, expected 2"),
    "four columns": ("src,dst,bps\na,b,5,6\n", 2, "4 columns, expected src,dst,bps"),
    "quotes": ('src,dst,bps\n"a,b,5\n', 2, "not CSV: unexpected end of data"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_say_file_line_and_what_was_expected(load: Load, tmp_path: Path, case: str) -> None:
    text, line, message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        load(text)
    assert (error.value.path, error.value.line) == (tmp_path / "mine.csv", line)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3)), r"array of shape \(3, 3\), expected \(2, 2\) for pair"),
        (np.zeros((150, 2, 2)), r"array of shape \(150, 2, 2\), expected \(2, 2\)"),
        (np.zeros(4), r"array of shape \(4,\)"),
        (np.array([["a", "b"], ["c", "d"]]), "not an array of numbers"),
        (np.array([[0, -1], [0, 0]]), "demand from node 0 to node 1 is -1, expected no negative demand"),
        (np.array([[0, 0], [np.nan, 0]]), "demand from node 1 to node 0 is nan, expected a finite number"),
        (np.eye(2), "demand from node 0 to node 0 is 1, expected no demand from a node to itself"),
    ],
)
def test_arrays_that_are_no_traffic_matrix(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "bad.npy", array)
    np.savez(tmp_path / "bad.npz", demand=array)
    for name in ("bad.npy", "bad.npz"):
        with pytest.raises(InputError, match=message) as error:
            load_traffic(tmp_path / name, PAIR)
        assert error.value.path == tmp_path / name


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i4", "|u1", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_type_and_order(tmp_path: Path, dtype: str, order: str) -> None:
    np.save(tmp_path / "traffic.npy", np.asarray([[0, 5], [7, 0]], dtype, order=order))  # type: ignore[call-overload]
    assert load_traffic(tmp_path / "traffic.npy", PAIR).demand.tolist() == [[0, 5], [7, 0]]


def test_the_inputs_of_a_run_are_a_traffic_file(tmp_path: Path) -> None:
    demand = np.array([[0.0, 5.0], [7.0, 0.0]])
    np.savez(tmp_path / "inputs.npz", capacity=np.ones(2), traffic=demand)
    assert load_traffic(tmp_path / "inputs.npz", PAIR).demand.tolist() == demand.tolist()
    np.savez(tmp_path / "odd.npz", one=demand, two=demand)
    with pytest.raises(InputError, match="expected an array called demand or traffic"):
        load_traffic(tmp_path / "odd.npz", PAIR)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "text.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "matrix.xlsx").write_bytes(b"")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("demand.npy", b"")
    (tmp_path / "odd.npz").write_bytes(buffer.getvalue())
    for name, message in {
        "text.csv": "not UTF-8 text",
        "matrix.xlsx": r"\.xlsx, expected a traffic matrix in \.csv, \.npy or \.npz",
        "odd.npz": "compressed in a way",
        "gone.csv": "cannot be read: No such file",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            load_traffic(tmp_path / name, PAIR)
        assert error.value.path == tmp_path / name
    with pytest.raises(InputError, match="cannot tell the format"):
        save_traffic(tmp_path / "traffic.txt", uniform(PAIR, 0), PAIR)


def test_a_matrix_is_checked_frozen_and_scaled() -> None:
    traffic = TrafficMatrix(np.array([[0.0, 5.0], [7.0, 0.0]]), "mine")
    with pytest.raises(ValueError, match="read-only"):
        traffic.demand[0, 1] = 1
    assert traffic.scaled(2).demand.tolist() == [[0, 10], [14, 0]]
    assert traffic.scaled(2).name == "mine"
    with pytest.raises(InputError, match="square"):
        TrafficMatrix(np.zeros((2, 3)))
