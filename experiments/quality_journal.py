"""What a comparison has done so far: a file of JSON lines that only ever grows.

The first line (and one more for every time a run was resumed) holds the settings, every other line the result of one
method on one instance, or an instance's bound. A line that was cut off by the end of its process is dropped.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.line_file import LineFile
from experiments.quality_instances import Key
from routing.errors import InputError

NAME = "results.jsonl"
BOUND = "bound"  # in the place of a method's label
Record = dict[str, Any]
Task = tuple[Key, str]


def task_of(record: Record) -> Task:
    """Which task a record answers."""
    return Key(record["topology"], record["traffic"], record["matrix"]), record["method"]


class Journal:
    """Keeps records by task, and in a file if there is a folder.

    Parameters
    ----------
    folder : where the file is or will be; None keeps nothing
    resume : go on with the file that is there
    settings : whatever changes results and is not part of a task; must be those of the file
    checkpoints : hashes of the policies by their names; those in the file must be the same

    Raises
    ------
    InputError : there is a file and `resume` is not set; its settings differ; it is damaged or in use
    """

    def __init__(
        self, folder: Path | None, resume: bool, settings: dict[str, Any], checkpoints: dict[str, str]
    ) -> None:
        self.records: dict[Task, Record] = {}
        self._file: LineFile | None = None
        if folder is None:
            return
        path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}, expected a folder", path) from error
        self._file = LineFile(path, resume, work="run", kept="results", place="folder")
        self._file.drop_rest()
        for number, line in enumerate(self._file.lines, start=1):
            self._read(line, number, path, settings, checkpoints)
        self._write({"settings": settings, "checkpoints": checkpoints})

    def _read(self, line: bytes, number: int, path: Path, settings: dict[str, Any], hashes: dict[str, str]) -> None:
        try:
            record = json.loads(line)
            if "settings" not in record:
                self.records[task_of(record)] = record
                return
            before, hashes_before = record["settings"], record["checkpoints"]
            differing = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
            differing += [name for name in hashes.keys() & hashes_before.keys() if hashes[name] != hashes_before[name]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError("damaged, expected a line of JSON as this command writes it", path, number) from error
        if differing:
            was = [f"{name} was {before.get(name, hashes_before.get(name))!r}" for name in differing]
            raise InputError(f"--resume with other settings: {', '.join(was)}; expected the same", path, number)

    def add(self, record: Record) -> None:
        """Keep a record; once this returns it survives the end of this process."""
        self.records[task_of(record)] = record
        self._write(record)

    def _write(self, record: Record) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record).encode())

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Push the file to the disk and close it."""
        if self._file is not None:
            self._file.close()
