"""The command: what it prints and writes, how it stops and goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.quality import main
from experiments.quality_journal import NAME
from experiments.quality_workers import Failure, outcomes
from routing.errors import InputError

ROOT = Path(__file__).parent.parent
SMALL = ["--topology", "nsfnet", "--matrices", "2", "--initial", "random:1", "--methods"]
SLOW = [*SMALL, "unit,local_search:600s"]  # the second never ends in a test


def test_json_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "unit,greedy,greedy:2,optimum", "--json", "--workers", "2"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert captured.err == ""
    assert len(found["instances"]) == 8
    assert set(found["summary"]) == {"unit", "greedy", "greedy:2", "optimum"}
    for row in found["instances"]:
        assert row["ratio"] >= 1 - 1e-6 and row["seconds"] >= 0
    assert found["summary"]["optimum"]["mean_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert found["summary"]["greedy"]["mean_ratio"] < found["summary"]["unit"]["mean_ratio"]


def test_folder_and_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main([*SMALL, "unit", "--bound", "none", *out]) == 0
    assert "nsfnet uniform" in capsys.readouterr().out
    lines = (tmp_path / "out" / NAME).read_text().splitlines()
    assert len(lines) == 3
    assert main([*SMALL, "unit,inverse_capacity", "--bound", "none", *out]) == 2
    assert main([*SMALL, "unit,inverse_capacity", "--bound", "none", "--resume", *out]) == 0
    again = (tmp_path / "out" / NAME).read_text().splitlines()
    assert again[:3] == lines and len(again) == 6
    read = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["method"] for row in read] == ["unit", "inverse_capacity"] * 2
    for name in ("mlu-nsfnet-uniform.png", "cdf-nsfnet-uniform.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert main([*SMALL[:-1], "--methods", "unit", "--initial", "unit", "--bound", "none", "--resume", *out]) == 2
    assert "initial was 'random:1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one of --topology, --cells and --graph"),
        (["--cells", "all", "--topology", "gbn"], "expected one of"),
        (["--topology", "gbm"], "did you mean gbn"),
        (["--topology", "gbn,gbn"], "each network once"),
        (["--topology", "gbn", "--traffic", "x"], "expected uniform, gravity or both"),
        (["--topology", "gbn", "--matrices", "1-x"], "expected how many"),
        (["--topology", "gbn", "--matrices", "3-2"], "at least one"),
        (["--topology", "gbn", "--matrices", "1,1"], "none twice"),
        (["--topology", "gbn", "--demands", "x"], "expected --graph"),
        (["--topology", "gbn", "--generated", "3"], "expected --data"),
        (["--graph", "gbn", "--matrices", "3"], "no --matrices"),
        (["--graph", "/nowhere.graph"], "/nowhere.graph: cannot be read"),
        (["--topology", "gbn", "--data", "/nowhere"], "expected the data set"),
        (["--topology", "gbn", "--methods", "x"], "no method 'x'"),
        (["--topology", "gbn", "--methods", "policy@x"], "no checkpoint 'x'"),
        (["--topology", "gbn", "--budget", "nan"], "expected seconds above 0"),
        (["--topology", "gbn", "--seed", "-1"], "expected a whole number"),
        (["--topology", "gbn", "--workers", "0"], "at least 1"),
        (["--topology", "gbn", "--resume"], "expected --out"),
        (["--topology", "gbn", "--methods", "stored_defo"], "expected --data"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and message in captured.err


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "experiments.quality", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_interrupted(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """What is done is kept, no process is left, and it goes on."""
    path = tmp_path / NAME
    process = started(*SLOW, "--bound", "none", "--out", str(tmp_path))
    try:
        wait_for(lambda: path.exists() and len(path.read_bytes().splitlines()) == 2)
        workers = children(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    if code > 0:
        assert out == "" and len(err.splitlines()) == 1 and "--resume" in err
    wait_for(lambda: not any(alive(worker) for worker in workers))
    assert main([*SMALL, "unit", "--bound", "none", "--out", str(tmp_path), "--resume"]) == 0
    methods = [json.loads(line).get("method") for line in path.read_text().splitlines()]
    assert methods == [None, "unit", None, "unit"]


def solve(task: str) -> dict[str, Any]:
    if task == "crash":
        raise ZeroDivisionError
    if task == "die":
        os._exit(7)
    if task == "input":
        raise InputError("a mistake")
    return {"task": task}


def test_failures_do_not_stop_the_others() -> None:
    found = list(outcomes(["a", "crash", "die", "b"], solve, workers=1))
    assert found[0] == {"task": "a"} and found[3] == {"task": "b"}
    assert isinstance(found[1], Failure) and "ZeroDivisionError" in found[1].reason
    assert isinstance(found[2], Failure) and found[2].reason == "the process ended with 7"


def test_a_mistake_in_the_input_does() -> None:
    with pytest.raises(InputError, match="a mistake"):
        list(outcomes(["input", "a"], solve, workers=2))


def test_better_than_possible_is_said_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    assert main([*SMALL, "unit", *out]) == 0
    path = tmp_path / NAME
    wrong = [record | {"mlu": 1e-3} for record in map(json.loads, path.read_text().splitlines())]  # as a method may be
    path.write_text("".join(json.dumps(record) + "\n" for record in wrong))
    capsys.readouterr()
    assert main([*SMALL, "unit", *out, "--resume"]) == 1
    assert "unit BEATS THE BOUND on nsfnet uniform 0" in capsys.readouterr().err
