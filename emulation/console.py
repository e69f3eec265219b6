"""What the user sees in the terminal: phases with ticks and times, the MLU falling step by step, then a short table.

Everything here takes plain values and writes to rich consoles, nothing else. On a terminal the current line is redrawn
in place; anywhere else each phase is one plain line and an episode a handful. With ``json_only`` the summary, as
JSON, is all that goes to standard output, and the rest goes to standard error.

Nothing runs in the background: rich's refresh thread is off, because the run forks agents, and a fork while another
thread holds a lock of the console leaves a child that hangs on its first word.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from emulation.outcome import print_outcome
from emulation.records import LinkRow, Summary
from emulation.results import to_json

Clock = Callable[[], float]

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_LINES = 5
_REDRAW_S = 0.05
_WIDTH = 110


class RunConsole:
    """The progress of one run. Use it as a context manager: whatever happens, the terminal is left in order.

    Parameters
    ----------
    json_only : progress on standard error, and only the summary's JSON on standard output
    out, err : consoles instead of standard output and error
    clock : seconds, monotonic
    """

    def __init__(
        self,
        *,
        json_only: bool = False,
        out: Console | None = None,
        err: Console | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._out = out or _standard(sys.stdout)
        self._progress = (err or _standard(sys.stderr)) if json_only else self._out
        self._err = err or _standard(sys.stderr)
        self._json_only = json_only
        self._clock = clock
        self._live: Live | None = None

    def __enter__(self) -> "RunConsole":
        """Return the console."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop redrawing and show the cursor again."""
        self.end_line()

    def heading(self, words: str) -> None:
        """Say what is about to run, in one line."""
        self._say(Text(words, style="bold"))

    def note(self, words: str) -> None:
        """Say something in passing; it scrolls above the line that is being redrawn."""
        self._say(Text(f"  {words}", style="dim"))

    def warn(self, words: str) -> None:
        """Say what the user should know about this run."""
        self._say(Text.assemble(("warning: ", "yellow"), words))

    def error(self, words: str) -> None:
        """Say in one line, on standard error, why the run ends."""
        self.end_line()
        self._err.print(Text.assemble(("error: ", "bold red"), words), soft_wrap=True)

    @contextmanager
    def phase(self, name: str) -> Iterator["Phase"]:
        """Show a phase while its body runs, then a tick, its last detail and its time; a cross if it raises."""
        phase = Phase(self, name, self._clock())
        phase.update("")
        try:
            yield phase
        except BaseException:
            self._end_phase(phase, good=False)
            raise
        self._end_phase(phase, good=True)

    def episode(self, steps: int, *, live: float, start: float) -> "EpisodeProgress":
        """Begin to show an episode of `steps` steps, given the MLU with the live costs and with the start weights."""
        return EpisodeProgress(self, steps, live, start, self._clock())

    def show(self, summary: Summary, links: Sequence[LinkRow], report: str | None) -> None:
        """Print the outcome: the table, or with `json_only` the summary as JSON on standard output."""
        self.end_line()
        if self._json_only:
            self._out.out(to_json(summary).decode(), end="", highlight=False)
        else:
            print_outcome(self._out, summary, links, report)

    @property
    def is_terminal(self) -> bool:
        """Whether the progress is redrawn in place."""
        return self._progress.is_terminal and not self._progress.is_dumb_terminal

    @property
    def ascii_only(self) -> bool:
        """Whether the terminal cannot show ticks and bars."""
        return self._progress.options.ascii_only

    @property
    def now(self) -> float:
        """The clock, seconds."""
        return self._clock()

    def redraw(self, words: Text) -> None:
        """Show `words` in the line that is redrawn; off a terminal nothing happens."""
        if not self.is_terminal:
            return
        words.no_wrap, words.overflow = True, "ellipsis"
        if self._live is None:
            self._live = Live(
                words,
                console=self._progress,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
        else:
            self._live.update(words, refresh=True)

    def end_line(self, words: Text | None = None) -> None:
        """Remove the line that is redrawn and, if given, leave `words` in its place for good."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if words is not None:
            self._say(words)

    def mark(self, good: bool) -> tuple[str, str]:
        """Return a tick or a cross, and its style."""
        marks = ("ok", "--") if self.ascii_only else ("✓", "✗")
        return (marks[0], "green") if good else (marks[1], "red")

    def _say(self, words: Text) -> None:
        self._progress.print(words, soft_wrap=True)

    def _end_phase(self, phase: "Phase", *, good: bool) -> None:
        detail = f"  {phase.detail}" if phase.detail else ""
        seconds = f"{self._clock() - phase.began:6.2f} s"
        self.end_line(Text.assemble(self.mark(good), f" {phase.name:<{_NAME}}", (seconds, "cyan"), (detail, "dim")))


_NAME = 28


class Phase:
    """A phase that is going on: `update` says how far it is; the last words stay on its line."""

    def __init__(self, console: RunConsole, name: str, began: float) -> None:
        self._console = console
        self.name = name
        self.began = began
        self.detail = ""

    def update(self, detail: str) -> None:
        """Say how far the phase is, as in ``12 of 17 routers``."""
        self.detail = detail
        dots = "..." if self._console.ascii_only else "…"
        self._console.redraw(Text.assemble((f"{dots:<2}", "cyan"), f"{self.name:<{_NAME}}", (detail, "dim")))


class EpisodeProgress:
    """An episode that is going on: a bar, the step, and the MLU so far."""

    def __init__(self, console: RunConsole, steps: int, live: float, start: float, began: float) -> None:
        self._console = console
        self._steps = steps
        self._live_mlu = live
        self._mlu = [start]
        self._best, self._best_step = start, 0
        self._began = began
        self._drawn = float("-inf")
        self._printed = 0

    def step(self, step: int, mlu: float, link: str = "") -> None:
        """Show that after `step` steps (1..T) the MLU is `mlu`, the weight of `link` having grown."""
        self._mlu.append(mlu)
        if mlu < self._best:
            self._best, self._best_step = mlu, step
        console = self._console
        if console.is_terminal:
            # Redrawing costs about a millisecond: a step of the episode must not wait for its picture.
            if console.now - self._drawn >= _REDRAW_S or step >= self._steps:
                self._drawn = console.now
                console.redraw(self._picture(step, mlu, link))
        elif step * _PLAIN_LINES // max(self._steps, 1) > self._printed and step < self._steps:
            self._printed = step * _PLAIN_LINES // self._steps
            console.end_line(Text(f"   step {step} of {self._steps}: MLU {mlu:.3f}, best {self._best:.3f}"))

    def finish(self, status: str = "") -> None:
        """Leave one line: the time, the best MLU and where it was found. `status` says why an episode ended early."""
        console = self._console
        seconds = f"{console.now - self._began:6.2f} s"
        taken = len(self._mlu) - 1
        steps = f"{self._steps}" if status or taken >= self._steps else f"{taken}; {self._steps} at most"
        words = f"  MLU {self._live_mlu:.3f} live, {self._best:.3f} best (step {self._best_step} of {steps})"
        line = Text.assemble(console.mark(not status), f" {'episode':<{_NAME}}", (seconds, "cyan"), (words, "dim"))
        if status:
            line.append(f"  {status}", "red")
        elif not console.ascii_only:
            line.append(f"  {sparkline(self._mlu, 24)}", "cyan")
        console.end_line(line)

    def _picture(self, step: int, mlu: float, link: str) -> Text:
        full, empty = ("#", "-") if self._console.ascii_only else ("━", "╌")
        width = 24
        done = width * step // max(self._steps, 1)
        line = Text.assemble(
            ("   " if self._console.ascii_only else "… ", "cyan"),
            (full * done, "cyan"),
            (empty * (width - done), "dim"),
            f" step {step} of {self._steps}  MLU ",
            (f"{self._live_mlu:.3f} → {mlu:.3f}" if not self._console.ascii_only else f"{mlu:.3f}", "bold"),
            f"  best {self._best:.3f} ",
        )
        if not self._console.ascii_only:
            line.append(f" {sparkline(self._mlu, 24)}", "cyan")
        return line.append(f"  +1 {link}", "dim") if link else line


def _standard(stream: TextIO) -> Console:
    """Return a console on standard output or error that neither folds what goes to a file nor fails on a letter."""
    if isinstance(stream, io.TextIOWrapper):
        # A router called Zürich must not end a run whose output goes to an ASCII terminal.
        stream.reconfigure(errors="replace")
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        # A pipe or a file has no width of its own; 80 columns would fold the table.
        console.width = max(console.width, _WIDTH)
    return console


def sparkline(values: Sequence[float], width: int) -> str:
    """Return `values` as a row of at most `width` bars from the lowest to the highest; each bar is a mean."""
    count = min(width, len(values))
    edges = [n * len(values) // count for n in range(count + 1)] if count else [0]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in means)
