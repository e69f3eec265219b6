"""A short run of the fuzz loop over every parser, and the proof that it can see."""

import hmac
import tempfile
from pathlib import Path

import pytest

from agent import session
from experiments.fuzz import MOST_FINDINGS, all_targets, fuzz, main
from experiments.fuzz_mutate import damaged
from experiments.fuzz_network import Target, forged

COUNT = 400


def names() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return [target.name for target in all_targets(Path(folder))]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return {target.name: target for target in all_targets(tmp_path_factory.mktemp("fuzz"))}


@pytest.mark.parametrize("name", names())
def test_nothing_but_the_declared_error(name: str, targets: dict[str, Target]) -> None:
    tally = fuzz(targets[name], seed=7, first=0, count=COUNT)
    assert tally.findings == []
    assert tally.accepted + tally.refused == COUNT
    assert tally.refused > 0
    assert (tally.accepted > 0) != (name == "forged"), "damage that every parser refuses at once goes not deep enough"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("topohub", b"[" * 100_000),
        ("topohub", b'{"graph": [], "nodes": [{"id": 0}], "edges": []}'),
        ("topohub", b'{"graph": {"demands": {"0": {"0": 1%s}}}, "nodes": [{"id": 0}], "edges": []}' % (b"0" * 400)),
        ("topohub", b'{"graph": {}, "nodes": [{"id": 0, "pos": [1]}], "edges": []}'),
        ("topohub", b"\xff"),
        ("journal-faults", b"\xff\n"),
        ("journal-faults", b'{"code": "\xff", "plant": ""}\n'),
        ("authority-key", 48),
        ("authority-key", 72),
        ("server-certificate", 2731),
        ("training-state", b"\x80\xac"),
        ("training-state", b"\x80\x02X\x01"),
        ("impaired-frame", b"\2" * 12 + b"\x08\0\x4f" + b"\0" * 27),
    ],
)
def test_what_was_found_once(name: str, data: bytes | int, targets: dict[str, Target]) -> None:
    """A number is that of an input of seed 1."""
    target = targets[name]
    with pytest.raises(target.declared):
        target.parse(damaged(target.good, f"1:{name}:{data}") if isinstance(data, int) else data)


def test_the_same_number_is_the_same_input() -> None:
    good = [b"abc" * 20, b"xyz"]
    inputs = [damaged(good, f"1:x:{number}") for number in range(200)]
    assert inputs == [damaged(good, f"1:x:{number}") for number in range(200)]
    assert len(set(inputs)) > 150


def test_a_planted_bug_is_found_and_named() -> None:
    def parse(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("planted")
        raise ValueError("refused")

    target = Target("planted", [b"abcdef"], lambda data: parse(data) if data != b"abcdef" else None, (ValueError,))
    tally = fuzz(target, seed=1, first=0, count=5000)
    assert len(tally.findings) == MOST_FINDINGS
    number, what = tally.findings[3]
    assert what == "KeyError: 'planted'"
    assert b"\xff" in damaged(target.good, f"1:planted:{number}")
    assert fuzz(target, seed=1, first=number, count=1).findings == [(number, what)]


@pytest.mark.parametrize("plant", ["no authentication", "no window"])
def test_a_session_that_takes_forged_frames_is_caught(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if plant == "no authentication":
        for module in (hmac, session):  # wherever it is looked up
            monkeypatch.setattr(module, "compare_digest", lambda *_: True, raising=False)
    else:
        monkeypatch.setattr(session._Direction, "accept", lambda *_: None)
    tally = fuzz(forged(), seed=1, first=0, count=5000)
    assert tally.findings and tally.findings[0][1].startswith("Accepted: ")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20", "frame", "graphml"]) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["frame", "20", "inputs:"],
        ["graphml", "20", "inputs:"],
    ]
    assert main(["nonsense"]) == 2
    assert "expected forged, frame" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--count", "0"], "--count 0, expected at least 1"),
        (["--count", "-1"], "argument --count: '-1', expected a whole number"),
        (["--first", "-5"], "argument --first: '-5', expected a whole number"),
        (["--seed", "-1"], "argument --seed: '-1', expected a whole number"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_numbers_with_which_nothing_would_be_tested_are_refused(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*wrong, "frame"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"fuzz: {said}")
