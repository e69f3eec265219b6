"""Solves tasks in processes of their own, one after the other in each, so that the parent can stop at any moment.

Each worker hangs on one pipe. A parent that dies closes it, and a thread in the worker watches for that: a worker in
the middle of a solver's C++ code would not notice otherwise.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from routing.errors import InputError

Task = TypeVar("Task")
_PATIENCE = 5.0  # seconds between asking a process to end and ending it


@dataclass(frozen=True)
class Failure(Generic[Task]):
    """A task that crashed: a mistake in a method, not in the input."""

    task: Task
    reason: str


def outcomes(
    tasks: Sequence[Task], solve: Callable[[Task], dict[str, Any]], workers: int
) -> Iterator[dict[str, Any] | Failure[Task]]:
    """Yield what `solve` returns for every task, as soon as it is there.

    Parameters
    ----------
    tasks, solve : sent to the processes, so they have to be picklable
    workers : how many processes, at most one for each task

    Raises
    ------
    InputError : raised by a task; the others are given up
    """
    # A fresh interpreter: forking a process with threads (progress, solvers) is not safe.
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(tasks))
    busy: dict[Connection, tuple[BaseProcess, Task]] = {}
    processes: list[BaseProcess] = []

    def start() -> Connection:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, solve), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        busy[ours] = (process, waiting.pop())
        ours.send(busy[ours][1])
        return ours

    try:
        for _ in range(min(workers, len(tasks))):
            start()
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                process, task = busy.pop(ready)
                try:
                    kind, content = ready.recv()
                except EOFError:
                    process.join()
                    kind, content = "failed", f"the process ended with {process.exitcode}"
                    ready.close()
                    if waiting:
                        start()
                else:
                    if waiting:
                        busy[ready] = (process, waiting.pop())
                        ready.send(busy[ready][1])
                    else:
                        ready.close()
                if kind == "input":
                    raise InputError(content)
                yield content if kind == "done" else Failure(task, content)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_PATIENCE)
            process.kill()
            process.join()


def _serve(connection: Connection, solve: Callable[[Task], dict[str, Any]]) -> None:
    """Solve one task after the other until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.disable(logging.WARNING)  # the parent has loaded the same files and said what there is to say
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            task = connection.recv()
            try:
                answer: tuple[str, Any] = ("done", solve(task))
            except InputError as error:
                answer = ("input", str(error))
            except Exception:  # whatever a method does wrong: reported with its task, and the others go on
                answer = ("failed", traceback.format_exc())
            connection.send(answer)
    except (EOFError, BrokenPipeError):
        return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
