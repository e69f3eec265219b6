"""What an optimisation costs: the calculation against real agents on virtual links, and the command."""

import json

import msgspec
import numpy as np
import pytest

from agent.order import Order
from emulation.records import Counted
from experiments.cost import disagreement, main
from experiments.cost_engines import Row
from experiments.cost_model import FIBRE, calculated, delays, propagation
from experiments.virtual_network import VirtualNetwork
from policy.checkpoint import load_checkpoint
from policy.mpnn import Network
from routing.formats import load_topology
from routing.state import inverse_capacity
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


def test_the_command_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--topology", "nsfnet", "--engine", "central", "--repeats", "1", "--steps", "20"]
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    wanted = ("topology", "engine", "steps", "seconds", "mlu", "greedy_mlu", "frames_per_link", "bytes_per_link")
    assert all(name in row for name in (*wanted, "wire_bytes_per_link"))
    assert row["topology"] == "nsfnet" and row["steps"] == 20 and row["seconds"] > 0
    assert row["bytes_per_link"] == row["hidden_state_bytes_per_link"] + row["sharing_bytes_per_link"]
    assert main(arguments) == 0
    assert "| nsfnet | central | 20 |" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--engine", "abacus"], ["--topology", "gbm"], ["--repeats", "0"], ["--what"]])
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_agents_and_interfaces_must_agree_within_one_percent() -> None:
    numbers = dict.fromkeys(Row.__struct_fields__, 0.0)
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
