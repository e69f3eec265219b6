"""What an optimisation costs: the calculation against real agents on virtual links, and the command."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.order import Order
from baselines.result import Budget
from emulation.records import Agreement, Computing, Counted, Level, Mlu, Ospf, Overhead, Summary, Times
from experiments.cost import NETWORKS, main, parser, prepare
from experiments.cost_agents import agents_row
from experiments.cost_case import Case
from experiments.cost_model import FIBRE, calculated, delays, propagation
from experiments.cost_row import PAPER_MB, PAPER_MB_S, PAPER_S, Row, disagreement, table
from experiments.virtual_network import VirtualNetwork
from policy.checkpoint import load_checkpoint
from policy.mpnn import Network
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import RoutingState, inverse_capacity
from routing.traffic import uniform

STEPS = 12
ROUNDS = load_checkpoint("default").preset.rounds


def virtual(name: str, steps: int, *, distant: bool) -> tuple[VirtualNetwork, float]:
    """Run agents, on links with real delays if distant; return the network and the virtual seconds of the episode."""
    topology, checkpoint = load_topology(name), load_checkpoint("default")
    network = Network(checkpoint.preset, checkpoint.parameters)
    delay = delays(topology) if distant else None
    run = VirtualNetwork(topology, network, inverse_capacity(topology), delays=delay)
    assert run.run_until(run.ready, 60)
    order = Order(
        episode=1, seed=7, steps=steps, increments=1, temperature_milli=1000, share="candidate", ecmp=True,
        margin_milli=1000, checkpoint=checkpoint.hash, traffic=uniform(topology, 1), start=inverse_capacity(topology),
    )  # fmt: skip
    began = run.now
    run.run_episode(order)
    return run, run.now - began


def test_the_calculation_agrees_with_what_agents_send() -> None:
    run, _ = virtual("gbn", STEPS, distant=False)
    sent = [one for agent in run.agents for one in agent.overhead().values()]
    links = run.topology.num_links
    expected = calculated(run.topology, [1] * STEPS, ROUNDS, 32)
    assert sum(one.retransmitted_frames for one in sent) == 0
    assert sum(one.hidden_bytes for one in sent) / links == pytest.approx(expected.hidden_bytes, rel=0.05)
    assert sum(one.sharing_bytes for one in sent) / links == pytest.approx(expected.sharing_bytes, rel=0.05)
    assert expected.wire_bytes == expected.bytes + 42 * expected.frames


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_the_time_that_propagation_takes_agrees_with_the_virtual_clock(name: str) -> None:
    # The difference of two lengths: what an episode takes besides its steps drops out, and nothing is committed.
    (run, short), (_, long) = virtual(name, STEPS, distant=True), virtual(name, 2 * STEPS, distant=True)
    delay = delays(run.topology)
    short_s, long_s = (propagation(run.topology, delay, steps, ROUNDS) for steps in (STEPS, 2 * STEPS))
    assert long - short == pytest.approx(long_s - short_s, rel=0.02)


def test_delays_are_those_of_light_in_glass() -> None:
    topology = load_topology("gbn")
    delay = delays(topology)
    np.testing.assert_allclose(delay, delay[topology.reverse])
    link = topology.link_index(topology.nodes.index("Hamburg"), topology.nodes.index("Berlin"))
    assert delay[link] * FIBRE == pytest.approx(255e3, rel=0.05)
    assert 0 < delays(load_topology("synth100")).max() < 0.03


def test_no_steps_take_no_time() -> None:
    topology = load_topology("nsfnet")
    assert propagation(topology, delays(topology), 0, 2) == 0.0
    assert calculated(topology, [], 2, 32).bytes == 0


def rows_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """Run the command once for each engine; return its rows."""
    assert main([*arguments, "--repeats", "1", "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


def test_the_command_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--topology", "nsfnet", "--engine", "central", "--steps", "20"]
    (row,) = rows_of(capsys, *arguments)
    wanted = ("topology", "engine", "steps", "seconds", "mlu", "greedy_mlu", "frames_per_link", "bytes_per_link")
    assert all(name in row for name in (*wanted, "wire_bytes_per_link", "mqtt_bytes_per_router"))
    assert row["topology"] == "nsfnet" and row["steps"] == 20 and row["seconds"] > 0
    assert row["bytes_per_link"] == row["hidden_state_bytes_per_link"] + row["sharing_bytes_per_link"]
    assert row["rate_mb_s"] is None and row["mqtt_bytes_per_router"] is None  # nobody sends
    assert row["compute_s_per_router"] > 0
    assert main([*arguments, "--repeats", "1"]) == 0
    assert "| nsfnet | central | 20 |" in capsys.readouterr().out


def test_agents_beside_the_central_engine_play_the_same_episode(capsys: pytest.CaptureFixture[str]) -> None:
    # A network with traffic of its own, and settings that are not the usual ones.
    arguments = ("--topology", "synth:10:36", "--steps", "14", "--patience", "5", "--seed", "3")
    agents, central = rows_of(capsys, *arguments, "--engine", "loopback,central")
    same = ("topology", "steps", "increments", "opening", "patience", "temperature", "decisions", "greedy_mlu")
    assert [agents[name] for name in same] == [central[name] for name in same]
    assert agents["mlu"] == pytest.approx(central["mlu"], rel=1e-9)
    topology = load_topology("synth:10:36")
    assert agents["propagation_s"] == propagation(topology, delays(topology), agents["decisions"], ROUNDS)
    assert agents["rate_mb_s"] == agents["wire_bytes_per_link"] / agents["seconds"] / 1e6
    assert agents["frames_per_link"] > central["frames_per_link"] and agents["mqtt_bytes_per_router"] > 0
    assert agents["mean_compute_s_per_router"] <= agents["compute_s_per_router"]
    (alone,) = rows_of(capsys, *arguments[:4], "--engine", "central")
    assert (alone["temperature"], alone["opening"], alone["patience"], alone["decisions"]) == (0.25, 1, 0, 14)


SUMMARY = Summary(
    topology="gbn", fabric="loopback", traffic="uniform:1", load=None, initial="inverse-capacity", seed=1, routers=17,
    links=52, status="committed", reason="", steps=30, best_step=9,
    mlu=Mlu(before=Level(predicted=0.8), after=Level(predicted=0.4)), agreement=Agreement(digest="00", routers=17),
    ospf=Ospf(costs_changed=3), time_s=Times(bring_up=1.0, episode=2.0, commit=None, total=3.0),
    overhead=Overhead(
        frames_per_link=60.0, bytes_per_link=3000.0, hidden_state_bytes_per_link=1900.0, sharing_bytes_per_link=1000.0,
        control_bytes_per_link=100.0, wire_bytes_per_link=5520.0, repeated_bytes_per_link=0.0,
        mqtt_bytes_per_router=4000.0,
    ),
    computing=Computing(
        cpu_s_mean=0.02, cpu_s_busiest=0.05, cores=2, share=0.3, memory_bytes=1e7, rounds_per_s=15.0
    ),
)  # fmt: skip


def gbn_case() -> Case:
    """The usual episode on gbn."""
    return prepare(parser().parse_args(["--topology", "gbn"]))[0][0]


def test_the_row_of_agents_has_the_figures_of_their_own_run() -> None:
    case = gbn_case()
    slow = msgspec.structs.replace(SUMMARY, steps=72, time_s=Times(bring_up=1.0, episode=9.0, commit=None, total=9.0))
    full = case.greedy(Budget(steps=case.steps))
    row = agents_row(case, "loopback", full, [(slow, None), (SUMMARY, (70.0, 3500.0))], 0.04)
    assert (row.seconds, row.decisions, row.repeats) == (2.0, 30, 2)
    topology = case.problem.topology
    assert row.propagation_s == propagation(topology, delays(topology), 30, ROUNDS)
    ospf = RoutingState(topology, case.problem.traffic, inverse_capacity(topology)).mlu
    assert row.mlu == pytest.approx(ospf / 2)
    assert row.greedy_same_time_mlu <= full.mlu  # two seconds of it, more than its T steps take
    assert (row.mean_compute_s_per_router, row.compute_s_per_router) == (0.02, 0.05)
    assert row.mqtt_bytes_per_router == 4000.0 and row.kernel_frames_per_link == 70.0
    assert row.rate_mb_s == pytest.approx(5520.0 / 2.0 / 1e6)
    printed = table([row])
    assert "| 180 | 4.0 | 0.00276 | 1.32 | 0.02 | 0.05 |" in printed and printed.count("\n| gbn | loopback |") == 1


@pytest.mark.parametrize("missing", ["control_bytes_per_link", "mqtt_bytes_per_router"])
def test_a_run_without_counts_is_no_row(missing: str) -> None:
    summary = msgspec.structs.replace(SUMMARY, overhead=msgspec.structs.replace(SUMMARY.overhead, **{missing: None}))
    case = gbn_case()
    with pytest.raises(InputError, match="gbn on loopback: committed, nothing counted"):
        agents_row(case, "loopback", case.greedy(Budget(steps=1)), [(summary, None)], 0.04)


def test_the_papers_figures_stand_beside_a_network_whatever_its_file_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(Path(__file__).parent.parent / "topologies" / "gbn.graphml")
    (row,) = rows_of(capsys, "--topology", file, "--engine", "central")
    assert (row["topology"], row["steps"]) == ("gbn", 150)
    assert PAPER_MB_S.keys() == PAPER_S.keys() == PAPER_MB.keys() == set(NETWORKS)
    for name in NETWORKS:
        assert PAPER_MB[name] == pytest.approx(PAPER_S[name] * PAPER_MB_S[name], rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--engine", "abacus"], "no engine 'abacus'"),
        (["--engine", ""], "--engine ''"),
        (["--engine", "central,"], "--engine 'central,'"),
        (["--topology", "gbm"], "did you mean gbn?"),
        (["--topology", ""], "--topology ''"),
        (["--topology", "gbn,,"], "--topology 'gbn,,'"),
        (["--topology", "gbn,gbm"], "did you mean gbn?"),
        (["--repeats", "0"], "--repeats 0"),
        (["--temperature", "0"], "--temperature 0.0, expected 0.001 to 1000"),
        (["--temperature", "-1"], "--temperature -1.0, expected"),
        (["--temperature", "nan"], "--temperature nan, expected"),
        (["--temperature", "inf"], "--temperature inf, expected"),
        (["--steps", "0"], "--steps"),
        (["--steps", "99999999999"], "--steps 99999999999, expected at most 1000000"),
        (["--patience", "99999999999"], "--patience 99999999999, expected at most 1000000"),
        (["--topology", "gbn", "--engine", "central", "--increments", "53"], "--increments 53, expected 1 to 52"),
        (["--topology", "gbn", "--engine", "central", "--opening", "53"], "--opening 53, expected 1 to 52"),
        (["--topology", "gbn", "--increments", "2"], "--increments 2, expected --engine central"),
        (["--engine", "loopback", "--temperature", "3"], "--temperature 3, expected --engine central"),
        (["--engine", "central,loopback", "--opening", "1"], "--opening 1, expected --engine central"),
        (["--engine", "loopback", "--threads", "2"], "--threads 2, expected --engine central"),
        (["--engine", "loopback", "--seed", str(1 << 63)], "--seed"),
        (["--seed", "-1"], "--seed"),
        (["--checkpoint", "nothing"], "no checkpoint 'nothing'"),
        (["--what"], "--what"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1  # nothing was measured before
    assert captured.err.startswith("experiments.cost: ") and expected in captured.err


def test_mininet_without_root_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--topology", "gbn", "--engine", "central,mininet"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "root is needed" in captured.err


def test_what_agents_would_take_anyway_may_be_said() -> None:
    policy = load_checkpoint("default")
    settings = ["--temperature", f"{policy.temperature}", "--opening", f"{policy.opening}", "--increments", "1"]
    ((case, engines),) = prepare(parser().parse_args(["--topology", "gbn", "--engine", "loopback", *settings]))
    assert engines == ("loopback",) and case.temperature == policy.temperature and case.steps == 150


def test_agents_and_interfaces_must_agree_within_one_percent() -> None:
    numbers: dict[str, Any] = dict.fromkeys(Row.__struct_fields__, 0.0)
    row = Row(**{**numbers, "topology": "gbn", "engine": "mininet", "frames_per_link": 400.0, "bytes_per_link": 2e4})
    assert disagreement(msgspec.structs.replace(row, counts_apart=0.0099)) == []
    (words,) = disagreement(msgspec.structs.replace(row, counts_apart=0.0125))
    assert words == "gbn mininet: agents and interfaces count 1.2% apart, over 1 %"
    assert disagreement(msgspec.structs.replace(row, counts_apart=None)) == []


def test_counts_are_compared_in_frames_and_bytes() -> None:
    same = Counted(agents_frames=1000, agents_bytes=50_000, kernel_frames=1000, kernel_bytes=50_000)
    assert same.apart == 0.0
    assert msgspec.structs.replace(same, kernel_frames=990).apart == pytest.approx(0.01)
    assert msgspec.structs.replace(same, kernel_bytes=51_000).apart == pytest.approx(0.02)
