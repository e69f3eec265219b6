"""Episodes played elsewhere, by processes or by a Ray cluster: the same parameters, bit for bit."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from routing.errors import InputError
from trainer.args import PRESETS
from trainer.clock import Clock
from trainer.cluster import InCluster
from trainer.env import VecEnv
from trainer.instances import InstanceSource
from trainer.players import InProcesses, InThisProcess, Players, Task, play_part
from trainer.ppo import Trainer, main, make_players
from trainer.rollout import trajectories
from trainer.validation import Validation

# Two networks and random ones, so that parts cut through blocks of the same topology.
ARGS = replace(
    PRESETS["default"], topologies=("nsfnet",), stretch=0.1, num_instances=5, generated=2, sizes=(5, 6), group_size=2
)


def _train(players: Players) -> dict[str, NDArray[np.float32]]:
    source = InstanceSource(ARGS.topologies, None, 1, ARGS.stretch)
    trainer = Trainer(ARGS, source, players)
    for _ in range(2):
        trainer.iterate()
    scores = Validation(source.validation(2), players).scores(trainer.agent, copies=2, temperature=0.8)
    return {**trainer.agent.actor.export(), "scores": np.array(scores, dtype=np.float64)}


@pytest.fixture(scope="module")
def here() -> dict[str, NDArray[np.float32]]:
    return _train(InThisProcess())


@pytest.fixture(scope="module")
def cluster() -> Iterator[InCluster]:
    pytest.importorskip("ray")
    with closing(InCluster("local", 2)) as players:
        yield players


def _assert_equal(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_processes_give_the_same_parameters(here: dict[str, NDArray[np.float32]]) -> None:
    with closing(InProcesses(2)) as players:
        _assert_equal(_train(players), here)


def test_ray_gives_the_same_parameters(here: dict[str, NDArray[np.float32]], cluster: InCluster) -> None:
    _assert_equal(_train(cluster), here)


def _dies_once(flag: str, *arguments: Any) -> Any:
    if not os.path.exists(flag):
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return play_part(*arguments)


def test_ray_repeats_what_a_killed_worker_had(
    cluster: InCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not know the tests
    flag = str(tmp_path / "killed")
    task = ray.remote(max_retries=5)(_dies_once)
    agent = Trainer(ARGS, InstanceSource((), None, 1)).agent
    todo = Task(InstanceSource(("nsfnet",), None, 1, 0.1).train(0, 4), 2, seed=1)
    expected = InThisProcess().play(agent, todo, Clock())
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_play", _Bound(task, flag))
        plays = cluster.play(agent, todo, Clock())
    assert os.path.exists(flag)
    one, other = (trajectories(found, todo.instances, 2, 0) for found in (expected, plays))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.mlu, b.mlu)
        np.testing.assert_array_equal(a.logprob, b.logprob)


class _Bound:
    def __init__(self, task: Any, flag: str) -> None:
        self._task, self._flag = task, flag

    def remote(self, *arguments: Any) -> Any:
        return self._task.remote(self._flag, *arguments)


@pytest.mark.parametrize("parts", [1, 2, 3, 50])
def test_parts_make_up_the_whole(parts: int) -> None:
    task = Task(InstanceSource(("nsfnet",), None, 1).train(0, 7), 3, seed=1, first_episode=100)
    found = task.split(parts)
    assert len(found) == min(parts, 7)
    assert [id(i) for part in found for i in part.instances] == [id(i) for i in task.instances]
    numbers = [n for part in found for block in part.environment("default").blocks for n in block.numbers.tolist()]
    assert sorted(numbers) == list(range(100, 121))


def test_episodes_of_mixed_topologies_keep_their_numbers() -> None:
    source = InstanceSource(("nsfnet", "geant2"), None, 1)
    instances = source.train(0, 6)
    env = VecEnv(instances, "default", 2, first_episode=40)
    for block in env.blocks:
        for number, instance in zip(block.numbers.tolist(), block.instances, strict=True):
            assert instances[(number - 40) // 2] is instance


def test_missing_ray_and_contradictions_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="expected neither --workers nor --ray"):
        make_players(replace(ARGS, inference="torch", workers=2))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--ray", "local", "--out", str(tmp_path / "run")]) == 2
    assert "scripts/setup train cluster" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
