"""The trials of a campaign that were run so far: a file of JSON lines, with which an interrupted one goes on.

The first line says which code was tried, every other line is a trial. A line that was cut off by the end of its
process is dropped.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from types import TracebackType

import msgspec

from experiments.faults_trial import Trial
from experiments.line_file import LineFile
from routing.errors import InputError

_HOUSE = Path(__file__).parent.parent
_CODE = ("routing", "policy", "agent", "coordinator", "experiments")
_EXPECTED = "expected a line of JSON as this command writes it"


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """The first line: a digest of the code that was tried, and the faulty component in it."""

    code: str
    plant: str


@cache
def _code_digest() -> str:
    digest = hashlib.blake2s(digest_size=8)
    for path in sorted(path for folder in _CODE for path in (_HOUSE / folder).glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Journal:
    """Keeps trials by (fault, seed), and in a file if one is named.

    Parameters
    ----------
    path : of the file; None keeps nothing
    resume : go on with the file that is there
    plant : name of the campaign's faulty component, or empty

    Raises
    ------
    InputError : there is a file and `resume` is not set; it is of other code or another plant, damaged, or in use
    """

    def __init__(self, path: Path | None, resume: bool, plant: str) -> None:
        self.trials: dict[tuple[str, int], Trial] = {}
        self._file: LineFile | None = None
        if path is None:
            return
        self._file = LineFile(path, resume, work="campaign", kept="trials", place="file")
        header = _Header(_code_digest(), plant)
        for number, line in enumerate(self._file.lines, start=1):
            self._read(line, number, path, header)
        self._file.drop_rest()
        if not self._file.lines:
            self._write(header)

    def _read(self, line: bytes, number: int, path: Path, header: _Header) -> None:
        try:
            if number > 1:
                trial = msgspec.json.decode(line, type=Trial)
                self.trials[trial.fault, trial.seed] = trial
                return
            before = msgspec.json.decode(line, type=_Header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{error}, {_EXPECTED}", path, number) from error
        if before.plant != header.plant:
            raise InputError(f"--plant was {before.plant!r}, expected the same", path, number)
        if before.code != header.code:
            raise InputError("these trials were of other code, expected the same: begin a new file", path, number)

    def add(self, trial: Trial) -> None:
        """Keep a trial; once this returns it survives the end of this process."""
        self.trials[trial.fault, trial.seed] = trial
        self._write(trial)

    def _write(self, record: object) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(record))

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Push the file to the disk and close it."""
        if self._file is not None:
            self._file.close()
