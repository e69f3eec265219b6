"""What commands share: tasks in processes, every result kept at once, progress, a table, and a clean end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from experiments.quality_journal import Journal, Record, Task
from experiments.quality_workers import Failure, outcomes
from routing.errors import InputError


class _Terminated(BaseException):
    """SIGTERM came."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are bad input like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"{message} (see --help)")


def natural(text: str) -> int:
    """Read a whole number below 2**64."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 64):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number")
    return int(text)


def positive(text: str) -> float:
    """Read a number of seconds above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}, expected seconds above 0")
    return value


def work(tasks: Sequence[Task], solve: Callable[[Task], Record], journal: Journal, workers: int) -> list[str]:
    """Do the tasks in processes and add what comes back to the journal; return what failed, one text each."""
    failed: list[str] = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Methods differ by orders of magnitude in time: an estimate has to look back over several instances.
    with Progress(*columns, console=console, speed_estimate_period=3600, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=len(tasks))
        for outcome in outcomes(tasks, solve, workers):
            if isinstance(outcome, Failure):
                (key, label), reason = outcome.task, outcome.reason
                failed.append(f"{label} failed on {key.cell} {key.matrix}:\n{reason}")
                progress.update(bar, advance=1)
                continue
            journal.add(outcome)
            progress.update(
                bar, advance=1, description=f"{outcome['topology']} {outcome['traffic']} {outcome['matrix']}"
            )
    return failed


def show(table: Table) -> None:
    """Print a table with every cell on one line, also where the screen is narrower, or where there is none."""
    console = Console()
    wide = console.measure(table, options=console.options.update(width=sys.maxsize)).maximum
    Console(width=max(console.width, wide)).print(table)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


_RESUMABLE = "; what was done is in --out, if given, and --resume goes on"


def command(
    name: str, run: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None, *, hint: str = _RESUMABLE
) -> int:
    """Run a command; return its exit code: its own, or 2 for bad input, 130 or 143 when interrupted.

    `hint` is what follows "interrupted": what is left of the work.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return run(argv)
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, _Terminated) as stop:
        print(f"{name}: interrupted{hint}", file=sys.stderr)
        return 143 if isinstance(stop, _Terminated) else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: not at exit either
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
