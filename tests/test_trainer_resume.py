"""A run that is killed with SIGKILL at any moment goes on to the parameters of the run that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from policy.checkpoint import load_checkpoint
from routing.errors import InputError
from trainer.args import PRESETS
from trainer.ppo import main
from trainer.resume import NAME, arguments, read_state, write_state

ROOT = Path(__file__).parent.parent
SHORT = [
    "--iterations", "14", "--topologies", "nsfnet", "--stretch", "0.3", "--num-instances", "2", "--generated", "1",
    "--sizes", "6", "8", "--group-size", "2", "--validate-every", "2", "--validation-matrices", "1",
    "--baseline", "critic", "--preset", "default", "--matrix-iterations", "3",
]  # fmt: skip


def _start(*words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainer.ppo", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def _kill_when(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not moment():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
    process.kill()
    process.wait()


def _iteration(folder: Path) -> int:
    return int(read_state(folder)["trainer"]["iteration"]) if (folder / NAME).exists() else 0


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def _curve(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()  # type: ignore[no-untyped-call]
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*SHORT, "--out", str(whole)]) == 0
    _kill_when(_start(*SHORT, "--out", str(broken)), lambda: _iteration(broken) >= 3)
    reached = _iteration(broken)
    # In the middle of writing: the state's next version is there, its last one not yet replaced. Where writing takes
    # no time at all, at any moment.
    partial = broken / f".{NAME}.partial"
    _kill_when(_start("--resume", str(broken)), lambda: partial.exists() or _iteration(broken) >= 10)
    assert reached <= _iteration(broken) < 14
    # Right after a better checkpoint was written, so that it belongs to an iteration that will be repeated.
    older = (broken / "last.safetensors").stat().st_mtime_ns
    _kill_when(_start("--resume", str(broken)), lambda: (broken / "last.safetensors").stat().st_mtime_ns != older)
    assert _start("--resume", str(broken)).wait() == 0
    one, other = read_state(whole), read_state(broken)
    assert one["trainer"]["iteration"] == 14
    assert _equal(one["trainer"], other["trainer"])
    assert (one["best"], one["done"]) == (other["best"], other["done"])
    for name in ("last", "best"):
        a, b = (load_checkpoint(folder / f"{name}.safetensors") for folder in (whole, broken))
        assert a.hash == b.hash
        assert a.metadata["temperature"] == b.metadata["temperature"]
    for curve in ("charts/reward", "losses/entropy", "validation/ratio_to_bound"):
        assert _curve(whole, curve) == _curve(broken, curve)


def test_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_state(tmp_path, PRESETS["default"], {})
    assert main(["--out", str(tmp_path)]) == 2
    assert "is a run already" in capsys.readouterr().err


def test_arguments_of_a_run_are_kept(tmp_path: Path) -> None:
    stored = arguments(["--preset", "paper", "--sizes", "5", "9", "--init", "x.safetensors", "--out", str(tmp_path)])
    write_state(tmp_path, stored, {})
    again = arguments(["--resume", str(tmp_path), "--iterations", "7"])
    assert (again.sizes, again.init, again.iterations, again.baseline) == ((5, 9), Path("x.safetensors"), 7, "critic")
    with pytest.raises(InputError, match=r"cannot go on with other arguments, expected --gamma 0\.97"):
        arguments([f"--resume={tmp_path}", "--gamma", "0.9"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no state.pt"), (b"", "damaged"), (b"PK\x03\x04 half", "damaged"), ({"a": 1}, "format 1")],
)
def test_bad_state_is_one_line(
    tmp_path: Path, content: object, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(content, bytes):
        (tmp_path / NAME).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / NAME)
    assert main(["--resume", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line and str(tmp_path) in line


def test_missing_device_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "cuda" if not torch.cuda.is_available() else "cuda:99"
    for device in (name, "gpuu", "meta"):
        assert main(["--device", device, "--out", str(tmp_path / "x")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--device {device}" in line and "expected a device of this machine" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seed", "-1"], "--seed -1, expected 0 to"),
        (["--iterations", "0"], "--iterations 0, expected at least 1"),
        (["--group-size", "1"], "expected at least 2 for --baseline group"),
        (["--num-instances", "0"], "at least one instance"),
        (["--sizes", "9", "5"], "expected fewest and most nodes"),
        (["--sample-fraction", "0"], "expected above 0"),
        (["--topologies", "nosuch"], "nosuch"),
        (["--topologies", "gbn"], "kept for testing"),
        (["--init", "nosuch.safetensors"], "nosuch.safetensors"),
        (["--data", "nosuch"], "nosuch"),
    ],
)
def test_bad_arguments_are_one_line(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not (tmp_path / "run" / NAME).exists()
