"""Blocks of episodes against single ones, splits of the data, and a training that repeats itself bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policy.checkpoint import load_checkpoint
from policy.episode import Episode
from policy.mpnn import Network
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import RoutingState
from trainer.acting import exact_logits
from trainer.args import PRESETS, Args, parse
from trainer.env import VecEnv, greedy_plus_one
from trainer.instances import (
    PROFILES,
    TEST,
    TRAIN,
    VALIDATION,
    Instance,
    InstanceSource,
    PublishedData,
    generated_matrix,
    random_topology,
    random_weights,
)
from trainer.ppo import Trainer, train
from trainer.rollout import play, trajectories

DATA = Path(__file__).parents[2] / "shared" / "data" / "marl-gnn-te"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the published data set is not here")

TINY = replace(PRESETS["default"], num_instances=0, generated=3, sizes=(5, 7), group_size=2, iterations=2, threads=1)


def _instance(seed: int, nodes: int = 6, steps: int = 9) -> Instance:
    topology = random_topology(seed, nodes)
    return Instance(
        topology,
        generated_matrix(topology, "uniform", seed),
        random_weights(topology.num_links, seed),
        steps,
        "uniform",
    )


def test_block_does_what_single_episodes_do() -> None:
    small, large = _instance(1), _instance(2, nodes=8, steps=12)
    env = VecEnv([small, large, small], "default", copies=2)
    assert [(b.topology.name, b.num_envs, b.steps) for b in env.blocks] == [("random-1", 4, 9), ("random-2", 2, 12)]
    assert env.num_steps == 4 * 9 + 2 * 12
    rng = np.random.default_rng(0)
    singles = {
        id(b): [Episode(i.topology, i.traffic, i.start_weights, i.steps, "default") for i in b.instances]
        for b in env.blocks
    }
    while env.active:
        for block in env.active:
            links = np.arange(block.topology.num_links, dtype=np.int32)
            np.testing.assert_array_equal(block.observe(), [e.features(links) for e in singles[id(block)]])
            actions = rng.integers(0, block.topology.num_links, block.num_envs)
            block.step(actions)
            expected = [e.apply([a]) for e, a in zip(singles[id(block)], actions.tolist(), strict=True)]
            np.testing.assert_array_equal(block.mlu[block.step_index], expected)
    for block in env.blocks:
        np.testing.assert_array_equal(block.best_mlu, [e.best_mlu for e in singles[id(block)]])


def test_rollout_samples_from_the_policy() -> None:
    trainer = Trainer(TINY, InstanceSource((), None, 1))
    actor, instance = trainer.agent.actor, _instance(1, steps=1)
    env = VecEnv([instance], "default", copies=4000)
    plays = play(exact_logits(Network(actor.preset, actor.export())), env, seed=5)
    (trajectory,) = trajectories(plays, [instance], 4000, 0)
    (logits,) = trainer.agent.logits([(trajectory.topology, trajectory.features[0, :1])])
    log_probs = logits.log_softmax(dim=1)
    counts = torch.bincount(trajectory.actions[0], minlength=log_probs.shape[1])
    expected = 4000 * log_probs.exp()[0].detach()
    assert ((counts - expected).square() / expected).sum() < 2 * len(counts)  # chi-square, a hundred to one
    np.testing.assert_allclose(trajectory.logprob[0], log_probs[0].detach()[trajectory.actions[0]], atol=1e-3)


def test_greedy_raises_the_most_utilised_link() -> None:
    instance = _instance(7, steps=3)
    weights, seen = instance.start_weights.copy(), []
    for _ in range(4):
        state = RoutingState(instance.topology, instance.traffic, weights)
        seen.append(state.mlu)
        weights[int(np.argmax(state.utilization))] += 1
    assert greedy_plus_one(instance) == min(seen)


@pytest.mark.parametrize("baseline", ["group", "critic"])
def test_same_seed_gives_the_same_parameters(baseline: str) -> None:
    def parameters(seed: int) -> dict[str, np.ndarray]:
        args = replace(TINY, baseline=baseline, seed=seed)
        trainer = Trainer(args, InstanceSource((), None, seed))
        for _ in range(2):
            trainer.iterate()
        return trainer.agent.actor.export()

    first, again, other = parameters(3), parameters(3), parameters(4)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_training_writes_checkpoints_and_tensorboard(tmp_path: Path) -> None:
    args = replace(TINY, out=tmp_path / "run", topologies=("nsfnet",), stretch=0.05, validate_every=1)
    train(args)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    for name in ("last", "best"):
        checkpoint = load_checkpoint(tmp_path / "run" / f"{name}.safetensors")
        assert {
            "command",
            "arguments",
            "seed",
            "data",
            "start",
            "temperature",
            "validation",
        } <= checkpoint.metadata.keys()
    assert "temperature_best_of_several" in checkpoint.metadata


def test_gbn_is_refused_for_training() -> None:
    with pytest.raises(InputError, match="gbn is kept for testing"):
        InstanceSource(("nsfnet", "gbn"), None, 1)


def test_generated_instances_repeat_and_differ() -> None:
    source, same = InstanceSource(("nsfnet",), None, 5), InstanceSource(("nsfnet",), None, 5)
    a, b, c = source.train(0, 4), same.train(0, 4), source.train(1, 4)
    assert [i.profile for i in a] == ["uniform", "gravity", "uniform", "gravity"]
    for x, y, z in zip(a, b, c, strict=True):
        np.testing.assert_array_equal(x.start_weights, y.start_weights)
        np.testing.assert_array_equal(x.traffic.demand, y.traffic.demand)
        assert not np.array_equal(x.start_weights, z.start_weights)
        assert set(np.unique(x.start_weights)) <= {1, 2, 3, 4}


def test_papers_matrices_alternate() -> None:
    source = InstanceSource(("nsfnet", "geant2"), None, 1, matrices=3, fixed_start=True)
    drawn = [i for draw in range(8) for i in source.train(draw, 2)]
    assert [(i.topology.name, i.profile) for i in drawn[:4]] == [
        ("nsfnet", "uniform"), ("nsfnet", "gravity"), ("geant2", "uniform"), ("geant2", "gravity")
    ]  # fmt: skip
    names = [i.traffic.name for i in drawn[::4]]
    assert names[0] == names[3] and len(set(names)) == 3
    assert len({i.start_weights.tobytes() for i in drawn if i.topology.name == "nsfnet"}) == 1


@needs_data
def test_published_matrices_are_split_once() -> None:
    assert sorted([*TRAIN, *VALIDATION, *TEST]) == list(range(150))
    source = InstanceSource(("nsfnet", "geant2"), DATA, 1)
    drawn = {i.traffic.name for draw in range(60) for i in source.train(draw, 4)}
    assert {int(name.split("-")[2]) for name in drawn} <= set(TRAIN)
    assert {int(i.traffic.name.split("-")[2]) for i in source.validation()} == set(VALIDATION)


@needs_data
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_paper_start_and_greedy_are_the_references(name: str, profile: str) -> None:
    data, topology = PublishedData(DATA), load_topology(name, profile)
    rows = [line.split(",") for line in (DATA / "reference_mlu.csv").read_text().splitlines()]
    header = rows[0]
    row = next(dict(zip(header, r, strict=True)) for r in rows if r[:3] == [name, profile, "100"])
    traffic, start = data.matrix(topology, profile, 100), data.paper_weights(topology)
    assert RoutingState(topology, traffic, start).mlu == pytest.approx(float(row["paper_initial_weights"]), rel=1e-5)
    steps = {"nsfnet": 100, "gbn": 150, "geant2": 200}[name]
    greedy = greedy_plus_one(Instance(topology, traffic, start, steps, profile))
    assert greedy == pytest.approx(float(row["greedy_plus_one"]), rel=0.02)  # ties are broken in another order there


def test_command_line_has_presets() -> None:
    assert parse([]) == Args()
    assert parse(["--preset", "paper"]) == PRESETS["paper"]
    assert parse(["--preset", "paper", "--gamma", "0.9"]) == replace(PRESETS["paper"], gamma=0.9)
    assert parse(["--preset=paper"]).baseline == "critic"
