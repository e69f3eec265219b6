"""Start weights: each rule, and files with their mistakes named."""

from pathlib import Path

import numpy as np
import pytest

from routing.errors import InputError
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.state import inverse_capacity
from routing.topology import Topology


@pytest.fixture(scope="module")
def square() -> Topology:
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)]
    return Topology.from_links("square", ["a", "b", "c", "d"], pairs, np.full(8, 1e9))


def rows_of(topology: Topology) -> list[str]:
    return [f"{topology.link_name(link).replace('->', ',')},{link + 1}" for link in range(topology.num_links)]


def written(folder: Path, rows: list[str]) -> str:
    path = folder / "weights.csv"
    path.write_text("\n".join(["src,dst,weight", *rows, ""]))
    return str(path)


def test_inverse_capacity_is_the_state_s() -> None:
    gbn = load_topology("gbn")
    assert (initial_weights("inverse-capacity", gbn) == inverse_capacity(gbn)).all()


def test_random_weights_are_the_documented_stream() -> None:
    gbn = load_topology("gbn")
    weights = initial_weights("random:1", gbn)
    assert weights.dtype == np.int64
    # MT19937, seed 1: the stream has been frozen since NumPy 1.17.
    assert weights[:16].tolist() == [2, 4, 1, 1, 4, 2, 4, 2, 4, 1, 1, 2, 1, 4, 2, 1]
    assert set(weights.tolist()) == {1, 2, 3, 4}
    assert (weights != initial_weights("random:2", gbn)).any()


def test_files_in_any_order(tmp_path: Path, square: Topology) -> None:
    expected = list(range(1, 9))
    assert initial_weights(written(tmp_path, rows_of(square)[::-1]), square).tolist() == expected
    np.save(tmp_path / "weights.npy", np.array(expected, dtype=np.uint16))
    assert initial_weights(str(tmp_path / "weights.npy"), square).tolist() == expected
    np.save(tmp_path / "floats.npy", np.array(expected, dtype=np.float64))
    assert initial_weights(str(tmp_path / "floats.npy"), square).tolist() == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,0", ":2: weight '0' of a->b, expected a whole number 1..65535"),
        ("a,b,65536", ":2: weight '65536' of a->b"),
        ("a,b,9999999", ":2: weight '9999999' of a->b"),
        ("a,b,-1", ":2: weight '-1' of a->b"),
        ("a,b,1.5", ":2: weight '1.5' of a->b"),
        ("a,c,1", ":2: no link a->c in square"),
        ("a,z,1", ":2: unknown node 'z', expected a node of square"),
        ("a,b", ":2: 2 columns, expected src,dst,weight"),
        ("a,d,1", ":3: second weight of a->d"),
        ("", " 1 links without a weight, the first is a->b"),
    ],
)
def test_mistakes_in_csv_are_named(tmp_path: Path, square: Topology, row: str, message: str) -> None:
    path = written(tmp_path, [row, *rows_of(square)[1:]])
    with pytest.raises(InputError) as caught:
        initial_weights(path, square)
    assert str(caught.value).startswith(path + message.removeprefix(" ") if message[0] == ":" else f"{path}:{message}")


def test_other_mistakes_are_named(tmp_path: Path, square: Topology) -> None:
    def mistake(spec: str) -> str:
        with pytest.raises(InputError) as caught:
            initial_weights(spec, square)
        return str(caught.value)

    assert "expected inverse-capacity, random:SEED, or a file" in mistake("inverse")
    for seed in ("", "-1", "x", "1.0", "4294967296", "²"):
        assert "expected a whole number 0..4294967295" in mistake(f"random:{seed}")
    assert "cannot be read" in mistake(str(tmp_path / "none.csv"))
    (tmp_path / "header.csv").write_text("link,weight\n")
    assert ":1: expected the header" in mistake(str(tmp_path / "header.csv"))
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in mistake(str(tmp_path / "latin.csv"))
    short = tmp_path / "weights.npy"
    np.save(short, np.ones(7))
    assert "(7,) weights, expected (8,)" in mistake(str(short))
    np.save(short, np.full(8, 1.5))
    assert "whole numbers" in mistake(str(short))
    np.save(short, np.full(8, 70000))
    assert "weight 70000 of link a->b" in mistake(str(short))
    np.save(short, np.ones((8, 1)))
    assert "shape (8, 1)" in mistake(str(short))
    np.save(short, np.array([1] * 8, dtype=object), allow_pickle=True)
    assert "not an array of numbers" in mistake(str(short))
    short.write_bytes(short.read_bytes()[:20])
    assert "NumPy's format" in mistake(str(short))
    np.save(short, np.ones(8))
    short.write_bytes(short.read_bytes()[:-1])
    assert "63 bytes of weights" in mistake(str(short))
