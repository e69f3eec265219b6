"""``python -m routing.formats``, and networks by name: topohub's and synthetic ones wherever a name works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.command import main as optimise
from routing import topohub
from routing.draft import Assumptions
from routing.errors import InputError
from routing.formats import load_network, load_topology, topology_names
from routing.formats_command import describe, main
from routing.topology import Topology
from routing.traffic import uniform

ROOT = Path(__file__).parent.parent


@pytest.fixture
def gbn() -> Topology:
    return load_topology("gbn")


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "gbn"]) == 0
    assert capsys.readouterr().out == (
        "gbn\n"
        "  nodes       17 (17 with a position)\n"
        "  links       52 directed; 2 to 6 per node, mean 3.06\n"
        "  diameter    6 hops\n"
        "  capacities  26 x 10 Gbit/s, 14 x 40 Gbit/s, 12 x 25 Gbit/s\n"
        "  demand      none\n"
        "  weights     none\n"
    )


def test_show_as_json(tmp_path: Path, gbn: Topology, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "gbn", str(tmp_path / "net.graph")]) == 0
    traffic = uniform(gbn, 1)
    np.save(tmp_path / "tm.npy", traffic.demand)
    capsys.readouterr()
    assert main(["show", str(tmp_path / "net.graph"), "--demands", str(tmp_path / "tm.npy"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["nodes"], facts["links"], facts["diameter"]) == (17, 52, 6)
    assert facts["capacity"][0] == {"bps": 10e9, "links": 26}
    assert facts["demand"] == {"pairs": 17 * 16, "bps": traffic.demand.sum()}
    assert facts["weights"]["min"] >= 1


@pytest.mark.parametrize("target", ["net.gml", "net.graphml", "net.graph", "net.xml", "net.txt", "net/"])
def test_convert_there_and_back(target: str, tmp_path: Path, gbn: Topology, capsys: pytest.CaptureFixture[str]) -> None:
    traffic = uniform(gbn, 1)
    np.save(tmp_path / "tm.npy", traffic.demand)
    assert main(["convert", "gbn", f"{tmp_path}/{target}", "--demands", str(tmp_path / "tm.npy")]) == 0
    files = capsys.readouterr().out.split()
    assert all(Path(file).exists() for file in files)
    again = load_network(files[0], files[1] if target in ("net.gml", "net.graphml", "net.graph") else None)
    np.testing.assert_array_equal(again.topology.src, gbn.src)
    np.testing.assert_array_equal(again.topology.dst, gbn.dst)
    assert again.traffic is not None
    np.testing.assert_array_equal(again.traffic.demand, traffic.demand)
    if target != "net/":
        np.testing.assert_array_equal(again.topology.capacity, gbn.capacity)


def test_what_a_format_cannot_hold_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    main(["convert", "nsfnet", str(tmp_path / "net.graph")])
    assert not caplog.records
    main(["convert", str(tmp_path / "net.graph"), str(tmp_path / "net.gml")])
    assert "net.gml: the weights are lost" in caplog.text
    main(["convert", "nsfnet", f"{tmp_path}/net/"])
    assert "capacities and names of nodes are lost" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "the following arguments are required: A (see --help)"),
        (["show", "gbm"], "unknown topology 'gbm'; did you mean gbn?"),
        (["show", "gbn", "--capacity", "fast"], "'fast' is not a rate"),
        (["show", "gbn", "--unit", "Pbit"], "invalid choice: 'Pbit'"),
        (["convert", "gbn", "net.pdf"], "net.pdf: cannot tell the format"),
        (["show", "synth:10"], "'synth:10', expected synth:NODES:LINKS or synth:NODES:LINKS:SEED"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("routing.formats: ")
    assert message in error
    assert error.count("\n") == 1


def test_it_runs_as_a_module_without_what_only_some_networks_need() -> None:
    for command in (["show", "--help"], ["convert", "--help"], ["show", "nsfnet"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "routing.formats", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert "usage: python -m routing.formats" in done.stdout or done.stdout.startswith("nsfnet\n")
        assert not {"topohub", "numba", "networkx"} & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


def test_topohub_by_name(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("topohub")
    topology, traffic, weights = load_network("topohub:sndlib/geant")
    assert topology.name == "topohub-sndlib-geant"
    assert (topology.num_nodes, topology.num_links) == (22, 72)
    assert topology.nodes[:2] == ("at1.at", "be1.be")
    assert set(topology.capacity.tolist()) == {10e9}
    assert topology.geographic
    assert traffic is not None
    assert (traffic.demand > 0).sum() == 462
    assert weights is None
    assert "topohub:sndlib/geant: demands without unit, Mbit/s assumed" in caplog.text
    assert "topohub:sndlib/geant: 72 link(s) without capacity, 10 Gbit/s assumed" in caplog.text
    other = load_network("topohub:sndlib/geant", assume=Assumptions(capacity=1e9, unit="kbit"))
    assert other.topology.capacity[0] == 1e9
    assert other.traffic is not None
    np.testing.assert_array_equal(other.traffic.demand * 1000, traffic.demand)


@pytest.mark.parametrize("group", ["backbone", "caida", "gabriel", "sndlib", "topozoo"])
def test_networks_of_every_group_of_topohub(group: str) -> None:
    pytest.importorskip("topohub")
    names = [name for name in topohub.topohub_names() if name.startswith(f"topohub:{group}/")]
    assert len(names) >= 20
    for name in names[:: len(names) // 5]:
        assert describe(load_network(name))["nodes"] >= 2


def test_unknown_names_of_topohub_suggest_near_ones() -> None:
    pytest.importorskip("topohub")
    with pytest.raises(InputError, match="no 'sndlib/Gaent'; did you mean topohub:sndlib/geant"):
        load_topology("topohub:sndlib/Gaent")
    for key in ("../../secret", "", "/etc/passwd", "sndlib"):
        with pytest.raises(InputError, match="groups: backbone, caida, gabriel, sndlib, topozoo"):
            load_topology(f"topohub:{key}")


def test_without_topohub_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "topohub", None)
    with pytest.raises(InputError, match="not installed; expected `scripts/setup baselines` first"):
        load_topology("topohub:sndlib/geant")
    assert topohub.topohub_names() == []


def test_a_name_works_wherever_a_topology_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"gbn", "synth100", "synth500", "synth1000"} <= set(topology_names())
    assert optimise(["synth:12:40:3", "--steps", "3"]) == 0
    assert capsys.readouterr().out.startswith("synth-12-40-3: 12 nodes, 40 links")
