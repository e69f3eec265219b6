import json
import os
from pathlib import Path

import numpy as np
import pytest
from policy_networks import preset, random_arrays, random_topology

from policy.checkpoint import Checkpoint, make_checkpoint, random_parameters, save_checkpoint
from policy.command import main
from policy.episode import Episode, default_steps, default_threads, run_episode
from policy.mpnn import Network
from policy.preset import PRESETS
from policy.sampling import NonFiniteLogit, choose, merge, quantise, scores
from policy.schedule import increments_at
from routing.errors import InputError
from routing.state import RoutingState, inverse_capacity
from routing.topology import Topology
from routing.traffic import uniform

KIND = preset()
CHECKPOINT = make_checkpoint(KIND, random_arrays(KIND, 0), {"temperature": "0.5"})


def test_episode_keeps_the_first_best_state() -> None:
    topology = random_topology(8, 5, 1)
    start = np.random.default_rng(0).integers(1, 5, topology.num_links)
    episode = Episode(topology, uniform(topology, 1), start, 30, "default")
    state = RoutingState(topology, uniform(topology, 1), start)
    mlus = [state.mlu]
    weights = [state.weights.copy()]
    assert (episode.mlu, episode.best_mlu, episode.best_step, episode.step) == (state.mlu, state.mlu, 0, 0)
    for _ in range(30):
        busiest = int(np.argmax(state.utilization))
        state.increment(busiest)
        assert episode.apply((busiest,)) == state.mlu == episode.mlu
        mlus.append(state.mlu)
        weights.append(state.weights.copy())
    assert episode.step == 30
    assert episode.best_mlu == min(mlus) < mlus[0]
    assert episode.best_step == int(np.argmin(mlus))
    np.testing.assert_array_equal(episode.best_weights, weights[episode.best_step])


def test_several_links_grow_in_one_step() -> None:
    topology = random_topology(6, 3, 1)
    episode = Episode(topology, uniform(topology, 1), inverse_capacity(topology), 5, "default")
    episode.apply((0, 3, 3))
    assert (episode.routing.weights - inverse_capacity(topology)).tolist()[:4] == [1, 0, 0, 2]
    assert episode.step == 1


@pytest.mark.parametrize("ecmp", [True, False])
def test_links_rise_where_it_is_hot_and_fall_where_it_is_not(ecmp: bool) -> None:
    """With `moves`: what is offered, shown to the policy and done is one thing."""
    topology = random_topology(9, 6, 1)
    traffic, start = uniform(topology, 1), inverse_capacity(topology)
    links = np.arange(topology.num_links, dtype=np.int32)
    episode = Episode(topology, traffic, start, 40, "moves", ecmp=ecmp)
    rose, fell = 0, 0
    for step in range(40):
        state = RoutingState(topology, traffic, episode.routing.weights, ecmp=ecmp)
        hot = state.utilization >= 0.5 * state.mlu
        offered, lowered = episode.offers(links), state.lowered(links)
        falls = ~hot & (lowered < state.weights)
        np.testing.assert_array_equal(offered, np.where(falls, lowered, state.weights + 1))
        features = episode.features(links)
        np.testing.assert_allclose(features[:, 14], np.log(offered / state.weights).clip(-3, 3), rtol=1e-6)
        link = int(links[falls][step % falls.sum()]) if step % 2 and falls.any() else int(np.argmax(state.utilization))
        before, mlu = state.mlu, episode.apply((link,))
        state.set_weight(link, int(offered[link]))
        assert mlu == state.mlu
        np.testing.assert_array_equal(episode.routing.weights, state.weights)
        assert features[link, 12] == pytest.approx(np.clip(10 * np.log(mlu / before), -3, 3), abs=1e-5)
        rose, fell = rose + (not falls[link]), fell + bool(falls[link])
    assert rose and fell


def test_a_weight_at_its_limit_stays() -> None:
    topology = random_topology(5, 2, 1)
    weights = np.full(topology.num_links, 65535)
    episode = Episode(topology, uniform(topology, 1), weights, 5, "default")
    before = episode.mlu
    assert episode.apply((2,)) == before
    assert episode.routing.weights[2] == 65535


@pytest.mark.parametrize("link", [-1, 1000])
def test_a_link_that_does_not_exist_is_refused(link: int) -> None:
    topology = random_topology(5, 2, 1)
    episode = Episode(topology, uniform(topology, 1), inverse_capacity(topology), 5, "default")
    with pytest.raises(ValueError, match="expected 0"):
        episode.apply((link,))


def by_routers(
    topology: Topology, checkpoint: Checkpoint, steps: int, seed: int, increments: int, opening: int
) -> list[list[int]]:
    """Play an episode as routers do: each with a global state of its own, sharing hidden states and candidates."""
    network = Network(checkpoint.preset, checkpoint.parameters)
    routers = range(topology.num_nodes)
    own = [np.arange(o.start, o.stop, dtype=np.int32) for o in map(topology.out_links, routers)]
    states = [
        Episode(topology, uniform(topology, 1), inverse_capacity(topology), steps, checkpoint.preset.features)
        for _ in routers
    ]
    actions = []
    for step in range(steps):
        x = [states[r].features(own[r]) for r in routers]
        h = np.concatenate([network.initial(x[r]) for r in routers])
        for _ in range(checkpoint.preset.rounds):
            h = np.concatenate([network.round(h[own[r]], h[topology.incoming(r)]) for r in routers])
        best: list[tuple[int, int]] = []
        for r in reversed(routers):
            logits = quantise(network.readout(h[own[r]], x[r]), checkpoint.temperature)
            top = increments_at(step, steps, opening, increments)
            best = merge([*best, *choose(scores(logits, own[r], seed, 4, step), own[r], top)], top)
        actions.append([link for _, link in best])
        for state in states:
            state.apply(actions[-1])
    return actions


@pytest.mark.parametrize(("increments", "opening"), [(1, 1), (3, 1), (1, 6), (2, 5)])
def test_the_central_engine_decides_what_the_routers_decide(increments: int, opening: int) -> None:
    topology = random_topology(7, 5, 2)
    trace = run_episode(
        topology,
        uniform(topology, 1),
        inverse_capacity(topology),
        CHECKPOINT,
        steps=25,
        seed=9,
        episode=4,
        increments=increments,
        opening=opening,
    )
    chosen = [trace.chosen(step) for step in range(25)]
    assert chosen == by_routers(topology, CHECKPOINT, 25, 9, increments, opening)


def test_a_trace_describes_the_episode() -> None:
    topology = random_topology(7, 5, 2)
    start = inverse_capacity(topology)
    trace = run_episode(topology, uniform(topology, 1), start, CHECKPOINT, steps=25, seed=9)
    assert trace.actions.shape == trace.scores.shape == (25, 1)
    assert trace.mlu.shape == (26,)
    assert trace.best_mlu == trace.mlu.min() == trace.mlu[trace.best_step]
    grown = np.bincount(trace.actions[: trace.best_step, 0], minlength=topology.num_links)
    np.testing.assert_array_equal(trace.best_weights, start + grown)
    again = RoutingState(topology, uniform(topology, 1), trace.weights)
    assert again.mlu == trace.mlu[-1]


@pytest.mark.parametrize("patience", [1, 3, 8])
def test_an_episode_without_anything_better_ends_early(patience: int) -> None:
    topology = random_topology(7, 5, 2)
    start = inverse_capacity(topology)
    whole = run_episode(topology, uniform(topology, 1), start, CHECKPOINT, steps=40, seed=9)
    trace = run_episode(topology, uniform(topology, 1), start, CHECKPOINT, steps=40, seed=9, patience=patience)
    steps = len(trace.actions)
    assert steps == trace.best_step + patience < 40
    assert trace.scores.shape == (steps, 1)
    np.testing.assert_array_equal(trace.actions, whole.actions[:steps])
    np.testing.assert_array_equal(trace.mlu, whole.mlu[: steps + 1])


def test_patience_is_the_checkpoints_unless_it_is_given() -> None:
    topology = random_topology(7, 5, 2)
    start = inverse_capacity(topology)
    patient = make_checkpoint(KIND, CHECKPOINT.parameters, {"patience": "10"})
    trace = run_episode(topology, uniform(topology, 1), start, patient, steps=40, seed=9)
    assert len(trace.actions) == trace.best_step + 4 < 40
    assert len(run_episode(topology, uniform(topology, 1), start, patient, steps=40, seed=9, patience=0).actions) == 40


def test_no_steps_keep_the_start() -> None:
    topology = random_topology(5, 2, 1)
    trace = run_episode(topology, uniform(topology, 1), inverse_capacity(topology), CHECKPOINT, steps=0, seed=1)
    assert trace.best_step == 0
    assert trace.actions.shape == (0, 1)


def test_an_untrained_default_policy_lowers_the_mlu() -> None:
    topology = random_topology(12, 10, 5)
    checkpoint = make_checkpoint(PRESETS["default"], random_parameters(PRESETS["default"], 0))
    start = np.random.default_rng(0).integers(1, 5, topology.num_links)
    trace = run_episode(topology, uniform(topology, 1), start, checkpoint, steps=100, seed=1, temperature=0.15)
    assert trace.best_mlu < 0.9 * trace.mlu[0]


def test_a_network_that_overflows_stops_the_episode() -> None:
    parameters = random_arrays(KIND, 0)
    parameters["readout.0.weight"][:] = 3e38
    topology = random_topology(5, 2, 1)
    with pytest.raises(NonFiniteLogit):
        run_episode(
            topology,
            uniform(topology, 1),
            inverse_capacity(topology),
            make_checkpoint(KIND, parameters),
            steps=5,
            seed=1,
        )


def test_only_very_large_networks_take_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = []
    for size in (999, 1000):
        pairs = [(node, node + 1) for node in range(size - 1)]
        both = pairs + [(b, a) for a, b in pairs]
        networks.append(Topology.from_links("line", [str(node) for node in range(size)], both, 1e9))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert [default_threads(topology) for topology in networks] == [1, 2]
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert [default_threads(topology) for topology in networks] == [1, 1]


def test_default_steps() -> None:
    assert default_steps(random_topology(8, 0, 0)) == 44  # 2.75 * 16


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> str:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, PRESETS["default"], random_parameters(PRESETS["default"], 0), {"temperature": "0.15"})
    return str(path)


def test_the_command_prints_json(checkpoint_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gbn", "--checkpoint", checkpoint_file, "--seed", "3", "--steps", "40", "--episodes", "2", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["topology"] == "gbn"
    assert result["best_mlu"] == min(result["mlu"]) < result["mlu"][0]
    assert len(result["actions"]) == 40
    assert main(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert result | {"seconds": 0} == again | {"seconds": 0}


def test_the_command_ends_early(checkpoint_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gbn", "--checkpoint", checkpoint_file, "--seed", "3", "--patience", "5"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == len(result["actions"]) == result["best_step"] + 5 < 150
    assert main(arguments) == 0
    assert f"1 x 150 steps ({result['steps']} taken: nothing better came)" in capsys.readouterr().out


def test_the_command_prints_a_summary(checkpoint_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nsfnet", "--traffic", "gravity", "--checkpoint", checkpoint_file]) == 0
    out = capsys.readouterr().out
    assert "nsfnet: 14 nodes, 42 links, traffic gravity:1" in out
    assert "MLU, best (step " in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gbm"], "gbn"),
        (["gbn", "--traffic", "heavy"], "no traffic 'heavy', expected uniform, gravity or a file"),
        (["gbn", "--traffic", "missing.csv"], "missing.csv"),
        (["gbn", "--initial", "random:x"], "random:x"),
        (["gbn", "--checkpoint", "nothing"], "no checkpoint 'nothing'"),
        (["gbn", "--checkpoint", "nothing.safetensors"], "nothing.safetensors: cannot be read"),
        (["gbn", "--steps", "-3"], "--steps"),
        (["gbn", "--seed", str(1 << 64)], "--seed"),
        (["gbn", "--steps", "4000000000"], "--steps 4000000000, expected at most 1000000"),
        (["gbn", "--increments", "0"], "--increments 0, expected 1 to 52"),
        (["gbn", "--increments", "100"], "--increments 100, expected 1 to 52, the links of gbn"),
        (["gbn", "--opening", "53"], "--opening 53, expected 1 to 52"),
        (["gbn", "--episodes", "0"], "expected at least 1"),
        (["gbn", "--patience", "-1"], "--patience"),
        (["gbn", "--temperature", "0"], "--temperature 0.0, expected"),
        (["gbn", "--temperature", "nan"], "--temperature nan, expected"),
        (["gbn", "--unknown"], "--unknown"),
        ([], "TOPOLOGY"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert captured.err.count("\n") == 1


def test_traffic_that_does_not_fit_is_refused() -> None:
    topology, other = random_topology(5, 2, 1), random_topology(6, 2, 1)
    with pytest.raises(InputError, match="traffic matrix"):
        run_episode(topology, uniform(other, 1), inverse_capacity(topology), CHECKPOINT, steps=1, seed=0)
