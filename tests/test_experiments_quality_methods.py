"""Methods by name, their options, and the check of every answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from baselines.result import Budget, Result
from experiments.quality_instances import Instance, Key
from experiments.quality_methods import METHODS, Spec, check, function_of, parse_methods
from experiments.quality_policy import identity, policy
from policy.checkpoint import load_checkpoint, save_checkpoint
from policy.episode import default_steps, run_episode
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import RoutingState
from routing.traffic import uniform


@pytest.fixture(scope="module")
def instance() -> Instance:
    topology = load_topology("nsfnet")
    weights = np.random.RandomState(1).randint(1, 5, topology.num_links).astype(np.int64)
    return Instance(Key("nsfnet", "uniform", 1), topology, uniform(topology, 1), weights)


def test_options_stand_in_the_name() -> None:
    chains = parse_methods("greedy, greedy:8,policy@a/b-1.safetensors:8:3T,policy:2s@paper,local_search:0.2s", 1.5)
    assert [chain.label for chain in chains][1] == "greedy:8"
    assert [chain.parts[0] for chain in chains] == [
        Spec("greedy", "greedy"),
        Spec("greedy:8", "greedy", episodes=8),
        Spec("policy@a/b-1.safetensors:8:3T", "policy", 8, 3.0, None, "a/b-1.safetensors"),
        Spec("policy:2s@paper", "policy", None, 1.0, 2.0, "paper"),
        Spec("local_search:0.2s", "local_search", seconds=0.2),
    ]
    assert chains[2].checkpoints == ["a/b-1.safetensors"]


def test_a_chain_shares_the_budget() -> None:
    chain, led = parse_methods("local_search+segments,inverse_capacity+segments", 3.0)
    assert [part.seconds for part in chain.parts] == [1.5, 1.5]
    assert [part.seconds for part in led.parts] == [None, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected different methods"),
        ("greedy,greedy", "expected different methods"),
        ("gredy", "no method 'gredy', expected one of given, unit"),
        ("greedy:8x", "no method"),
        ("greedy:1.5", "a whole one"),
        ("policy:0", "above 0"),
        ("unit:2", "unit takes a number of episodes not"),
        ("policy:2:3", "policy takes a number of episodes once"),
        ("greedy@default", "takes a checkpoint not"),
        ("optimum+segments", "only a method that finds weights"),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_methods(text, 1.0)


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if not entry.stored])
def test_every_method_runs_and_its_answer_holds(name: str, instance: Instance) -> None:
    (chain,) = parse_methods(name, 0.05)
    result = chain.run(instance, seed=1)
    assert result.mlu > 0
    bound = function_of(Spec("optimum", "optimum"))(instance.topology, instance.traffic, instance.weights, Budget())
    assert bound.bound is not None and result.mlu >= bound.bound


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, instance: Instance) -> None:
    entry = replace(METHODS["optimum"], function="baselines_missing.optimum:optimum")
    monkeypatch.setitem(METHODS, "optimum", entry)
    with pytest.raises(InputError, match="optimum needs baselines_missing, expected `scripts/setup"):
        function_of(Spec("optimum", "optimum"))


def test_stored_answers_need_the_data_set(instance: Instance) -> None:
    with pytest.raises(InputError, match="expected --data"):
        parse_methods("stored_defo", 1.0)[0].run(instance, 0)


def test_a_chain_goes_on_from_the_weights_found(instance: Instance) -> None:
    searched, both = (chain.run(instance, 0) for chain in parse_methods("greedy,greedy+inverse_capacity+given", 1.0))
    assert both.mlu == function_of(Spec("", "inverse_capacity"))(
        instance.topology, instance.traffic, instance.weights, Budget()
    ).mlu  # fmt: skip
    assert both.evaluations == searched.evaluations + 2
    mlus = [mlu for _, mlu in both.trace]
    assert mlus == sorted(mlus, reverse=True)


def test_policy_is_the_best_of_its_episodes(instance: Instance) -> None:
    steps = default_steps(instance.topology)
    result = parse_methods("policy:3", 1.0)[0].run(instance, seed=7)
    traces = [
        run_episode(
            instance.topology, instance.traffic, instance.weights, load_checkpoint("default"),
            steps=steps, seed=7, episode=episode,
        )
        for episode in range(3)
    ]  # fmt: skip
    assert result.mlu == min(trace.best_mlu for trace in traces)
    assert result.weights is not None
    assert RoutingState(instance.topology, instance.traffic, result.weights).mlu == result.mlu
    assert result.evaluations == 1 + sum(len(trace.actions) for trace in traces)


def test_policy_stops_when_its_time_is_over(instance: Instance) -> None:
    arguments = (instance.topology, instance.traffic, instance.weights)
    result = policy(*arguments, Budget(seconds=0.0, steps=5), episodes=None)
    assert result.evaluations == 1
    with pytest.raises(ValueError, match="episodes or seconds"):
        policy(*arguments, Budget(steps=5), episodes=None)


def test_the_check_finds_a_wrong_mlu(instance: Instance) -> None:
    topology, traffic = instance.topology, instance.traffic
    state = RoutingState(topology, traffic, instance.weights)
    right = Result(state.mlu, 1, 0.0, ((0.0, state.mlu),), state.weights)
    check(topology, traffic, right)
    with pytest.raises(RuntimeError, match="its routing has"):
        check(topology, traffic, replace(right, mlu=0.99 * state.mlu))
    with pytest.raises(RuntimeError, match="its routing has"):
        check(topology, traffic, replace(right, segments={(0, n): (9,) for n in range(1, 9)}))


def test_the_check_wants_real_links(instance: Instance) -> None:
    with pytest.raises(RuntimeError, match="links that the network does not have"):
        check(instance.topology, instance.traffic, Result(1.0, 1, 0.0, (), None))


def test_files_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((Path(__file__).parent.parent / "policy" / "pretrained" / "default.safetensors").read_bytes())
    (chain,) = parse_methods(f"policy@{path}:2", 1.0)
    assert chain.checkpoints == [str(path)]


def test_what_a_checkpoint_recommends_is_part_of_its_identity(tmp_path: Path) -> None:
    """Results of another opening are not resumed, though the parameters, and their hash, are the same."""
    one = load_checkpoint("default")
    paths = [tmp_path / f"{opening}.safetensors" for opening in (1, 4)]
    for path, opening in zip(paths, ("1", "4"), strict=True):
        save_checkpoint(path, one.preset, one.parameters, {**one.metadata, "opening": opening})
    first, second = (identity(str(path)) for path in paths)
    assert first != second and first.split(",")[0] == second.split(",")[0] == one.hash
