"""The console: few plain lines off a terminal, a redrawn line on one, pure JSON when asked for."""

import io
import json
from collections.abc import Iterator
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from run_folders import make_run, make_summary

from emulation import results
from emulation.console import RunConsole, sparkline
from emulation.records import LinkRow


@pytest.fixture
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[LinkRow, ...]:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return results.read_links(folder)


def ticking() -> Iterator[float]:
    return (float(n) for n in count())


def consoles(**options: bool) -> tuple[RunConsole, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    clock = ticking()
    terminal = options.pop("terminal", False)
    made = RunConsole(
        out=Console(file=out, force_terminal=terminal, highlight=False, color_system=None, width=140),
        err=Console(file=err, force_terminal=False, highlight=False),
        clock=lambda: next(clock),
        **options,
    )
    return made, out, err


def drive(console: RunConsole, rows: tuple[LinkRow, ...]) -> None:
    with console:
        console.heading("alps: 5 routers, 12 links")
        with console.phase("routers up") as phase:
            for n in range(6):
                phase.update(f"{n} of 5 routers")
        episode = console.episode(100, live=0.9, start=0.9)
        for step in range(1, 101):
            episode.step(step, 0.9 - step / 500, "Paris->Wien")
        episode.finish()
        console.note("a word in passing")
        console.show(make_summary(), rows, "runs/1/report.html")


def test_plain_lines_are_few(rows: tuple[LinkRow, ...]) -> None:
    console, out, err = consoles()
    drive(console, rows)
    progress = out.getvalue().split("committed")[0].splitlines()
    assert len(progress) <= 10
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue()
    assert "✓ routers up" in progress[1] and "5 of 5 routers" in progress[1] and "1.00 s" in progress[1]
    assert sum("step" in text and "MLU" in text for text in progress) == 5
    assert "0.900 live, 0.700 best (step 100 of 100)" in out.getvalue()
    assert err.getvalue() == ""


def test_outcome_says_what_changed_and_what_it_cost(rows: tuple[LinkRow, ...]) -> None:
    console, out, _ = consoles()
    console.show(make_summary(), rows, "runs/1/report.html")
    lines = out.getvalue().splitlines()
    found = {text.split()[0]: text for text in lines if text.split()}
    assert found["predicted"].split() == ["predicted", "1.080", "0.640", "-40.7%"]
    assert found["measured"].split() == ["measured", "1.074", "0.645", "-39.9%"]
    assert "4 of 12 changed, LSDB verified, 20 of 20 routes verified" in found["costs"]
    assert "1,306 frames, 90.1 kB (hidden states 80.0 kB, sharing 9.1 kB, control 1.0 kB); 150.0 kB on" in found["per"]
    assert "2.9 kB per router in 5.4 messages, 2.3 kB of it the start" in found["MQTT"]
    assert "bring-up 3.20 s, episode 1.50 s, commit 0.40 s, total 23.50 s" in found["time"]
    assert found["report"].split() == ["report", "runs/1/report.html"]
    loaded = [text for text in lines if text.count("->") >= 2]
    assert len(loaded) == 5 and loaded[0].split()[:2] == ["Paris->Zürich", "108.0%"]
    assert len(lines) <= 26


def test_outcome_fits_a_narrow_terminal(rows: tuple[LinkRow, ...]) -> None:
    out = io.StringIO()
    console = RunConsole(out=Console(file=out, force_terminal=True, color_system=None, width=72, highlight=False))
    console.show(make_summary(), rows, None)
    table = [text for text in out.getvalue().splitlines() if "->" in text]
    assert len(table) == 10 and max(map(len, table)) <= 72 and "…" not in out.getvalue()


def test_json_is_all_there_is_on_stdout(rows: tuple[LinkRow, ...]) -> None:
    console, out, err = consoles(json_only=True)
    drive(console, rows)
    assert msgspec.json.decode(out.getvalue(), type=type(make_summary())) == make_summary()
    assert json.loads(out.getvalue())["mlu"]["after"]["predicted"] == 0.64
    assert "routers up" in err.getvalue() and "best (step 100 of 100)" in err.getvalue()


def test_a_terminal_is_redrawn_and_left_in_order(rows: tuple[LinkRow, ...]) -> None:
    console, out, _ = consoles(terminal=True)
    drive(console, rows)
    written = out.getvalue()
    assert "step 57 of 100  MLU 0.900 → 0.786" in written and "+1 Paris->Wien" in written
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0


def test_a_failed_phase_gets_a_cross_and_the_cursor_comes_back() -> None:
    console, out, _ = consoles(terminal=True)
    with pytest.raises(KeyboardInterrupt), console, console.phase("adjacencies") as phase:
        phase.update("3 of 17")
        raise KeyboardInterrupt
    assert "✗ adjacencies" in out.getvalue() and "3 of 17" in out.getvalue()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h")


def test_an_aborted_episode_says_why() -> None:
    console, out, _ = consoles()
    episode = console.episode(10, live=0.9, start=1.2)
    episode.step(1, 1.1)
    episode.finish("router r4 fell silent")
    assert "✗ episode" in out.getvalue() and "router r4 fell silent" in out.getvalue()


def test_errors_go_to_stderr_in_one_line() -> None:
    console, out, err = consoles()
    console.error("topologies/x.graphml:3: " + "expected a capacity " * 20)
    assert out.getvalue() == "" and err.getvalue().count("\n") == 1


def test_a_stream_without_unicode_gets_ascii(rows: tuple[LinkRow, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks and bars have ASCII forms; a name that has none loses a letter, not the run."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    drive(RunConsole(), rows)
    written = raw.getvalue().decode("ascii")
    assert "ok routers up" in written and "Paris->Z?rich" in written


def test_names_are_not_markup(rows: tuple[LinkRow, ...]) -> None:
    console, out, _ = consoles()
    odd = [msgspec.structs.replace(row, src="[red]", dst="[/]") for row in rows]
    console.note("[bold]x[/bold]")
    console.show(make_summary(), odd, None)
    assert "[red]->[/]" in out.getvalue() and "[bold]x[/bold]" in out.getvalue()


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(1, 30))
def test_sparkline_fits(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)


def test_sparkline_falls() -> None:
    assert sparkline([3, 2, 1, 0], 4) == "█▆▃▁"
    assert sparkline([1, 1], 4) == "▁▁"
