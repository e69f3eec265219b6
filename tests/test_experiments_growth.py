"""Cost against size: fits, counting, and the command."""

import csv
import json
from pathlib import Path

import pytest

from experiments.growth import LAWS, QUICK, main, measure
from experiments.growth_model import fitted, links_of, matrix_bytes, state_bytes, steps_of
from policy.checkpoint import load_checkpoint
from policy.episode import Episode
from routing.formats import load_network
from routing.state import RoutingState, inverse_capacity


def test_a_power_law_is_found_again() -> None:
    fit = fitted([10, 100, 1000], [2 * n**1.5 for n in (10, 100, 1000)])
    assert fit.exponent == pytest.approx(1.5) and fit.factor == pytest.approx(2) and fit.spread == pytest.approx(1)
    assert fit.at(10_000) == pytest.approx(2e6) and fit.nodes_for(2e6) == pytest.approx(10_000)
    assert fitted([10, 100, 1000], [1.0, 20.0, 100.0]).spread > 1.1
    for nodes, values in (([10], [1.0]), ([10, 10], [1.0, 2.0]), ([10, 100], [0.0, 1.0])):
        with pytest.raises(ValueError, match="at least two sizes"):
            fitted(nodes, values)


def test_networks_have_the_size_that_was_asked_for() -> None:
    for nodes in (2, 5, 10, 37, 100):
        topology, _, _ = load_network(f"synth:{nodes}:{links_of(nodes)}")
        assert topology.num_nodes == nodes and topology.num_links == links_of(nodes)
    assert links_of(500) == 1750 and steps_of(1750) == 4812


def test_counting_agrees_with_the_arrays() -> None:
    topology, traffic, _ = load_network("synth:60:210")
    assert traffic is not None
    state = RoutingState(topology, traffic, inverse_capacity(topology))
    arrays = (state.distance, state.flow, state.demand, traffic.demand)
    assert sum(array.nbytes for array in arrays) == state_bytes(60)
    assert traffic.demand.nbytes == matrix_bytes(60)


def test_the_command_writes_rows_fits_and_the_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["--sizes", "10,20", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["nodes"] for row in found["rows"]] == [10, 20]
    assert all(row["central_s"] > 0 and row["mlu"] <= row["mlu_before"] for row in found["rows"])
    assert found["fits"].keys() == found["at"]["10000"].keys() == LAWS.keys()
    assert found["fits"]["bytes_per_link"]["exponent"] == pytest.approx(1.0, abs=0.1)  # T grows with the links
    with (tmp_path / "growth.csv").open(newline="") as file:
        assert [row["nodes"] for row in csv.DictReader(file)] == ["10", "20"]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "10,000 routers" in (tmp_path / "growth.md").read_text() and len(QUICK) > 1


def test_a_router_computes_all_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[list[int]] = []
    apply = Episode.apply

    def noting(state: Episode, links: list[int]) -> float:
        applied.append(links)
        return apply(state, links)

    monkeypatch.setattr(Episode, "apply", noting)
    checkpoint = load_checkpoint("default")
    row = measure(load_network("synth:60:210"), checkpoint, 1, 1)
    central, router = applied[-2 * row.steps : -row.steps], applied[-row.steps :]
    assert row.steps == steps_of(210) == len(applied) // 2 - 1  # two more to warm up
    assert central == router and row.router_s > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sizes", "10"], ["--sizes", "010,10"], ["--sizes", "ten,20"], ["--sizes", "0,20"], ["--sizes", "10,9999999"],
        ["--repeats", "0"], ["--checkpoint", "none"], ["--what"],
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
