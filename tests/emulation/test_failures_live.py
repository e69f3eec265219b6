"""Failures live, for real: one link, one seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulation.results import read_run
from experiments.failures_live import main

pytestmark = pytest.mark.root


def test_a_fault_is_run_and_its_row_is_that_of_the_kept_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--topology", "nsfnet", "--faults", "Seattle-Palo Alto@5", "--seeds", "1", "--window", "1"]
    assert main([*arguments, "--json", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)["rows"]
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    failure = read_run(folder).summary.failure
    assert failure is not None and failure.happened and row["happened"]
    assert row["packets_lost"] == failure.packets_lost < row["packets_sent"]
    assert 0 < row["rerouted_s"] == failure.rerouted_s
    assert (tmp_path / "failures_live.md").read_text().count(f"| {failure.what}, step 5 | 1 |") == 1
    assert captured.err.count("1 of 1: ") == 1
