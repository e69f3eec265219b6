"""The file that outlives an agent: whole or as before, the owner's alone."""

import os
import stat
from pathlib import Path

import pytest

from agent.statefile import FILE, StateFile
from routing.errors import InputError


def test_what_was_written_last_is_read_by_the_next_process_and_by_nobody_else(tmp_path: Path) -> None:
    file = StateFile(str(tmp_path))
    assert file.read(100) is None
    (tmp_path / f".{FILE}.tmp").write_bytes(b"of a process that died while it wrote")
    for data in (b"first", b"second"):
        file.write(data)
        assert StateFile(str(tmp_path)).read(100) == data
    assert os.listdir(tmp_path) == [FILE]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_process_that_dies_while_it_writes_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(str(tmp_path))
    file.write(b"before")

    def die(_source: object, _target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        file.write(b"after")
    assert file.read(100) == b"before"


def test_a_file_that_is_not_its_own_is_refused(tmp_path: Path) -> None:
    file = StateFile(str(tmp_path))
    file.write(b"12345")
    assert file.read(5) == b"12345"
    with pytest.raises(InputError, match="longer than 4 bytes"):
        file.read(4)
    file.path.chmod(0o640)
    with pytest.raises(InputError, match="mode 0640, expected 0600"):
        file.read(100)
    elsewhere = tmp_path / "elsewhere"
    file.path.rename(elsewhere)
    elsewhere.chmod(0o600)
    file.path.symlink_to(elsewhere)
    with pytest.raises(InputError, match="cannot be read"):
        file.read(100)
    file.path.unlink()
    os.mkfifo(file.path, 0o600)
    with pytest.raises(InputError, match="cannot be read: not a regular file"):
        file.read(100)
    file.write(b"again")
    assert file.read(100) == b"again"


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder in which the agent may write"):
        StateFile(str(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder"):
        StateFile(str(tmp_path / "file"))
