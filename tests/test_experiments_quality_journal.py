"""What is done survives, and is never mixed with what was done otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.quality_instances import Key
from experiments.quality_journal import NAME, Journal, Record
from routing.errors import InputError

RECORD: Record = {"topology": "gbn", "traffic": "uniform", "matrix": 1, "method": "unit", "mlu": 1.5}
TASK = (Key("gbn", "uniform", 1), "unit")


def journal(folder: Path | None, resume: bool = True, checkpoint: str = "aa", **settings: Any) -> Journal:
    return Journal(folder, resume, {"budget": 1.0, **settings}, {"default": checkpoint})


def test_goes_on(tmp_path: Path) -> None:
    with journal(tmp_path / "out", resume=False) as first:
        first.add(RECORD)
    with journal(tmp_path / "out") as second:
        assert second.records == {TASK: RECORD}
        second.add(RECORD | {"method": "given"})
    with journal(tmp_path / "out") as third:
        assert len(third.records) == 2


def test_without_a_folder_nothing_is_written() -> None:
    with journal(None) as kept:
        kept.add(RECORD)
    assert kept.records == {TASK: RECORD}


def test_a_line_cut_off_is_done_again(tmp_path: Path) -> None:
    with journal(tmp_path) as first:
        first.add(RECORD)
        first.add(RECORD | {"method": "given"})
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-9])
    with journal(tmp_path) as second:
        assert list(second.records) == [TASK]
        second.add(RECORD | {"method": "given"})
    with journal(tmp_path) as third:
        assert len(third.records) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 2.0}, r"results\.jsonl:1: --resume with other settings: budget was 1\.0"),
        ({"seed": 2}, "seed was None"),
        ({"checkpoint": "bb"}, "default was 'aa'"),
        ({"resume": False}, "expected --resume or another folder"),
    ],
)
def test_refuses(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with journal(tmp_path) as first:
        first.add(RECORD)
    with pytest.raises(InputError, match=message):
        journal(tmp_path, **arguments)


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    for line in (b"{nonsense\n", b"[]\n", b'{"topology": "gbn"}\n'):
        (tmp_path / NAME).write_bytes(line)
        with pytest.raises(InputError, match=r"results\.jsonl:1: damaged"):
            journal(tmp_path)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with journal(tmp_path), pytest.raises(InputError, match="in use by another run"):
        journal(tmp_path)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="expected a folder"):
        journal(tmp_path / "out")
