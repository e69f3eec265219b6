"""What the experiments' commands share."""

import pytest
from rich.table import Table

from experiments.batch import show
from experiments.faults import table as faults_table
from experiments.faults_broker import table as broker_table
from experiments.faults_broker_trial import Trial
from experiments.faults_campaign import Row
from experiments.faults_link import Failure
from experiments.faults_link import table as link_table

TIMES = [0.25, 1.25]
TABLES = {
    "faults": faults_table(
        [Row(name, "", 3, detection_s=TIMES, next_s=TIMES, recovery_s=TIMES) for name in ("crash-all-commit", "x" * 40)]
    ),
    "link": link_table([Failure("a rather long name-another one", 0.1, 0.2, 0.3, 0.5, 0.5)]),
    "broker": broker_table([Trial("in-band-commit", 1, status="committed", back_s=100.0, next_s=100.0)], 60.0),
}


@pytest.mark.parametrize("columns", ["20", "80", "400"])
@pytest.mark.parametrize("name", TABLES)
def test_no_cell_of_a_table_is_cut_or_broken(
    name: str, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table: Table = TABLES[name]
    show(table)
    lines = capsys.readouterr().out.splitlines()
    assert not any("…" in line for line in lines)
    for column in table.columns:
        for part in str(column.header).splitlines():
            assert any(part in line for line in lines)
        for cell in column.cells:
            assert any(str(cell) in line for line in lines)
