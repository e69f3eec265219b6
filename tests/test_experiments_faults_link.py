"""What is wanted after a link's failure, and the command line. The failures themselves are in `tests/emulation`."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict

import pytest

from experiments import faults_link
from experiments.faults_link import Failure, main, missed

GOOD = Failure("a-b", 0.05, 0.3, 0.4, 0.509, 0.5)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (GOOD, ""),
        (Failure("a-b", math.nan, 0.1, 0.4, 0.5, 0.5), "a-b: not every kernel forwarded"),
        (Failure("a-b", 0.1, 0.301, 0.4, 0.5, 0.5), "a-b: new epoch after 0.301 s, wanted at most 0.3 s"),
        (Failure("a-b", 0.1, math.nan, 0.4, 0.5, 0.5), "a-b: new epoch after nan s"),
        (Failure("a-b", 0.1, 0.1, 0.4, 0.489, 0.5), "a-b: MLU 2.20% apart, wanted at most 2%"),
    ],
)
def test_a_missed_figure_is_said_and_changes_the_exit_code(
    failure: Failure, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = missed([GOOD, failure])
    assert [line[: len(said)] for line in lines] == ([said] if said else [])

    def measured(_work: Callable[..., object]) -> list[dict[str, object]]:
        return [asdict(failure)]

    monkeypatch.setattr(faults_link, "in_network", measured)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(["--json"]) == bool(said)
    shown = capsys.readouterr()
    assert [line.removeprefix("faults_link: missed: ") for line in shown.err.splitlines()] == lines
    assert "NaN" not in shown.out
    assert json.loads(shown.out)["missed"] == lines


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--trials", "0"], "--trials 0, expected at least 1"),
        (["--trials", "-2"], "argument --trials: '-2', expected a whole number"),
        (["--seed", "x"], "argument --seed: 'x', expected a whole number"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        ([], "expected root: namespaces, FRR"),
    ],
)
def test_bad_input_is_one_line(
    wrong: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(wrong) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"faults_link: {said}")
