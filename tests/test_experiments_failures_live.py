"""Failures live: what the command checks, the rows and the table of summaries, and runs that fail."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from run_folders import make_summary

from emulation.records import Level, Mlu, Outage, Summary
from emulation.results import read_summary, write_summary
from experiments import failures_live
from experiments.failures_live import FAULTS, main, markdown, parser, row_of, runs_of
from experiments.main_job import RunFailed, run_main_job

OUTAGE = Outage(
    what="link Paris-Wien", step=40, happened=True, rerouted_s=0.046, episode_ended_s=0.21, committed_s=1.84,
    packets_sent=16_000, packets_lost=82, packets_dropped=43, mlu_unchanged=1.19,
)  # fmt: skip


def summary(seed: int = 0, after: float = 0.794, **changes: Any) -> Summary:
    return msgspec.structs.replace(
        make_summary(),
        seed=seed,
        mlu=Mlu(before=Level(predicted=0.9), after=Level(predicted=after)),
        failure=msgspec.structs.replace(OUTAGE, **changes),
    )


def test_a_row_is_what_the_stored_summary_says(tmp_path: Path) -> None:
    write_summary(tmp_path, summary(seed=2, after=0.8))
    row = row_of(read_summary(tmp_path), 6.5)
    for name in Outage.__struct_fields__:
        assert getattr(row, "fault" if name == "what" else name) == getattr(OUTAGE, name)
    assert (row.topology, row.seed, row.mlu, row.load_average) == ("alps", 2, 0.8, 6.5)
    with pytest.raises(ValueError, match="without a failure"):
        row_of(make_summary(), 0.0)


def test_the_table_has_a_line_for_each_fault_with_the_range_over_its_runs() -> None:
    rows = [
        row_of(summary(0), 1.0),
        row_of(summary(1, 0.87, rerouted_s=0.103, packets_lost=160, packets_dropped=161, mlu_unchanged=1.27), 3.25),
        row_of(summary(2, 1.2, committed_s=None, packets_lost=100), 2.0),
        row_of(summary(0, 0.55, what="router Wien", packets_lost=0, packets_dropped=0, committed_s=None), 1.5),
    ]
    assert markdown(rows).splitlines()[2:4] == [
        "| link Paris-Wien, step 40 | 3 | 46 to 103 ms | 82 to 160 (0.51 to 1.00 %) | 43 to 161 | 1.19 to 1.27 "
        "| 0.21 s | 1.8 s; none in 1 of 3 | 0.79 to 1.20 |",
        "| router Wien, step 40 | 1 | 46 ms | 0 | 0 | 1.19 | 0.21 s | none | 0.55 |",
    ]
    assert markdown(rows).endswith("cores, load average 1.0 to 3.2 when runs began.")


def test_a_failure_that_came_too_late_is_told_and_does_not_count() -> None:
    late: dict[str, Any] = {
        "happened": False, "rerouted_s": None, "episode_ended_s": None, "committed_s": None, "mlu_unchanged": None,
        "packets_lost": 0, "packets_dropped": 0,
    }  # fmt: skip
    both = markdown([row_of(summary(0), 1.0), row_of(summary(1, **late), 1.0)])
    assert "| link Paris-Wien, step 40 | 2; in 1 too late | 46 ms | 82 (0.51 %) |" in both
    assert "| 1; in 1 too late | - | - | - | - | - | - | - |" in markdown([row_of(summary(1, **late), 1.0)])
    assert "| failed |" in markdown([])


def test_every_fault_runs_with_every_seed() -> None:
    runs = runs_of(parser().parse_args(["--seeds", "2", "--window", "1"]))
    assert len(runs) == 2 * len(FAULTS.split(","))
    assert runs[1] == ["gbn", "--fail", "Hannover-Frankfurt@40", "--window", "1.0", "--seed", "1"]
    assert runs[-1] == ["gbn", "--fail-router", "Ulm@40", "--window", "1.0", "--seed", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topology", "gbm"], "gbm"),
        (["--topology", "nsfnet"], "no link 'Hannover-Frankfurt' in nsfnet"),
        (["--faults", "Leipzig@40,Hannover-Ulm@40"], "no link 'Hannover-Ulm'"),
        (["--faults", "Leipzig@9999"], "step of 0..150"),
        (["--faults", "Leipzig"], "A-B@STEP"),
        (["--faults", ""], "A-B@STEP"),
        (["--faults", "Ulm@40, Ulm@40"], "different"),
        (["--faults", "--fail@1"], "expected one argument"),
        (["--faults=--fail@1"], "expected one argument"),
        (["--seeds", "0"], "at least 1"),
        (["--seeds", "-1"], "whole number"),
        (["--window", "0"], "seconds above 0"),
        (["--windows", "1"], "--windows"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_before_anything_runs(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1
    assert captured.out == "" and not (tmp_path / "out").exists()


def test_what_the_machine_lacks_and_a_folder_in_use_are_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main([]) == 2 and "root is needed" in capsys.readouterr().err
    monkeypatch.setattr(failures_live, "check_emulation", lambda: None)
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "occupied" in error and error.count("\n") == 1


def test_a_run_that_fails_is_told_the_others_count_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []

    def job(arguments: Sequence[str], out: Path) -> Summary:
        folders.append(out)
        seed = int(arguments[-1])
        if seed == 1:
            raise RunFailed("exit code 3: the agents disagree")
        return summary(seed, what="router Ulm")

    monkeypatch.setattr(failures_live, "check_emulation", lambda: None)
    monkeypatch.setattr(failures_live, "run_main_job", job)
    assert main(["--faults", "Ulm@40", "--json", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "2 of 3: Ulm@40, seed 1: exit code 3: the agents disagree" in captured.err
    assert "3 of 3: Ulm@40, seed 2: router Ulm after step 40, rerouted after 46 ms" in captured.err
    rows = json.loads(captured.out)["rows"]
    assert [(row["fault"], row["seed"], row["packets_lost"]) for row in rows] == [
        ("router Ulm", 0, 82), ("router Ulm", 2, 82)
    ]  # fmt: skip
    assert json.loads((tmp_path / "failures_live.json").read_text())["rows"] == rows
    assert "| router Ulm, step 40 | 2 |" in (tmp_path / "failures_live.md").read_text()
    assert [folder.name for folder in folders] == [f"{n + 1:03d}-Ulm@40-seed{n}" for n in range(3)]


def test_the_main_job_is_started_as_by_a_user(tmp_path: Path) -> None:
    found = run_main_job(["nsfnet", "--fabric", "loopback", "--steps", "3", "--patience", "0"], tmp_path / "run")
    assert found == read_summary(tmp_path / "run") and found.steps == 3
    with pytest.raises(RunFailed, match=r"exit code 2: run\.py: .*gbm"):
        run_main_job(["gbm"], tmp_path / "other")
