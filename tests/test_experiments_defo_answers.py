"""The stored answers' command: what it draws, writes, counts and goes on with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from published import DATA

from experiments.defo_answers import lines_of, main, reached, sampled
from experiments.quality_journal import NAME, Record

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the published data set")


def test_a_longer_sample_begins_with_the_shorter_one() -> None:
    assert sampled(30, 4)[:10] == sampled(10, 4) != sampled(10, 5)
    assert len(set(sampled(900, 0))) == 900


def record(mlu: float, **fields: float | str) -> Record:
    return {
        "topology": "gbn",
        "traffic": "uniform",
        "matrix": 1,
        "stored": 0.5,
        "mlu": mlu,
        "cpu_seconds": 2.0,
    } | fields


def test_reached_is_within_1e_5() -> None:
    assert [reached(record(mlu)) for mlu in (0.4, 0.500004, 0.500006)] == [True, True, False]


def test_the_table_counts_what_was_reached() -> None:
    records = [record(0.5), record(0.4, cpu_seconds=4.0), record(0.6), record(0.51, topology="nsfnet")]
    assert lines_of(records) == [
        ["nsfnet uniform", "1", "0", "-", "-", "1.0200", "1.0200"],
        ["gbn uniform", "3", "2", "3.00", "4.0", "1.0000", "1.2000"],
        ["all", "4", "2", "3.00", "4.0", "1.0050", "1.2000"],
    ]


@needs_data
def test_it_stops_when_reached_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(DATA), "--seconds", "0.5", "--out", str(tmp_path), "--sample"]
    assert main([*arguments, "1"]) == 0
    first = (tmp_path / NAME).read_text().splitlines()
    assert main([*arguments, "2"]) == 2
    assert main([*arguments, "2", "--resume"]) == 0
    second = (tmp_path / NAME).read_text().splitlines()
    assert second[:2] == first and len(second) == 4
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert [(row["topology"], row["traffic"], int(row["matrix"])) for row in rows] == sampled(2, 0)
    for line in (second[1], second[3]):
        found = json.loads(line)
        assert found["mlu"] >= 0.5 * found["stored"]
        assert reached(found) or found["cpu_seconds"] >= 0.4
    assert "| all | 2 |" in (tmp_path / "summary.md").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "0"], "--sample of 1 to 900"),
        (["--sample", "901"], "--sample of 1 to 900"),
        (["--resume"], "expected --out"),
        (["--seconds", "0"], "seconds above 0"),
        ([], "expected the data set"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", "/nowhere", *arguments]) == 2
    assert message in capsys.readouterr().err
