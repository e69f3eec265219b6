"""The main job refuses bad input in one line with exit code 2, and starts and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from emulation.main import main

Make = Callable[[Path], list[str]]


def _graphml(folder: Path, text: str) -> str:
    path = folder / "net.graphml"
    path.write_text(text)
    return str(path)


def _broken(folder: Path) -> list[str]:
    return [_graphml(folder, "<graphml><graph edgedefault='undirected'>\n<node id='a'>\n</graph></graphml>")]


def _disconnected(folder: Path) -> list[str]:
    graph = nx.Graph()
    graph.add_edge("a", "b", capacity=1e9)
    graph.add_edge("c", "d", capacity=1e9)
    nx.write_graphml(graph, folder / "two.graphml")
    return [str(folder / "two.graphml")]


def _traffic(demand: np.ndarray) -> Make:  # type: ignore[type-arg]
    def make(folder: Path) -> list[str]:
        np.save(folder / "traffic.npy", demand)
        return ["nsfnet", "--traffic", str(folder / "traffic.npy")]

    return make


def _with(value: float) -> np.ndarray:  # type: ignore[type-arg]
    demand = np.ones((14, 14))
    np.fill_diagonal(demand, 0)
    demand[2, 3] = value
    return demand


def _unknown_node(folder: Path) -> list[str]:
    (folder / "traffic.csv").write_text("src,dst,bps\nSeattle,Atlantis,1e6\n")
    return ["nsfnet", "--traffic", str(folder / "traffic.csv")]


def _corrupt_checkpoint(folder: Path) -> list[str]:
    (folder / "policy.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}nonsense")
    return ["gbn", "--checkpoint", str(folder / "policy.safetensors")]


def _other_shape(folder: Path) -> list[str]:
    import json

    from safetensors.numpy import save_file

    from policy.preset import PRESETS

    metadata = {"format": "1", "preset": PRESETS["default"].to_json()}
    assert json.loads(metadata["preset"])
    save_file({"message.0.weight": np.zeros((2, 2), np.float32)}, folder / "other.safetensors", metadata)
    return ["gbn", "--checkpoint", str(folder / "other.safetensors")]


def _occupied(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "out" / "theirs.txt").write_text("theirs")
    return ["gbn", "--out", str(folder / "out")]


CASES: list[tuple[Make, tuple[str, ...]]] = [
    (lambda _: ["gbm"], ("gbm", "did you mean gbn")),
    (_broken, ("net.graphml:3", "not well-formed XML")),
    (_disconnected, ("two.graphml", "not connected", "c, d")),
    (_traffic(_with(-1.0)), ("traffic.npy", "-1")),
    (_traffic(_with(float("nan"))), ("traffic.npy", "nan")),
    (_traffic(np.ones((14, 13))), ("traffic.npy", "14")),
    (_unknown_node, ("traffic.csv:2", "Atlantis")),
    (_corrupt_checkpoint, ("policy.safetensors", "expected a checkpoint")),
    (_other_shape, ("other.safetensors", "expected")),
    (_occupied, ("out", "occupied")),
    (lambda _: ["gbn", "--initial", "random:x"], ("random:x", "expected")),
    (lambda _: ["gbn", "--broker", "unix:relative"], ("unix:relative", "expected")),
    (lambda folder: ["--replay", str(folder / "nothing")], ("nothing", "expected")),
]


@pytest.mark.parametrize(("make", "words"), CASES)
def test_bad_input_is_one_line_and_exit_code_2(
    make: Make,
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*make(tmp_path)]
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert main([*arguments, "--fabric", "loopback"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for word in words:
        assert word.lower() in err.lower(), err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
