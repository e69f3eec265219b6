"""`python -m coordinator keygen`: a key that agents take, and nothing overwritten."""

import os
from pathlib import Path

import pytest

from agent.config import MAX_KEY_BYTES, load_key
from coordinator.__main__ import main
from coordinator.keygen import write_private
from routing.errors import InputError


def test_the_key_is_one_that_agents_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = os.umask(0)  # the mode is the command's own, not the shell's
    try:
        assert main(["keygen", str(tmp_path / "a")]) == main(["keygen", str(tmp_path / "b")]) == 0
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    first, second = load_key(str(tmp_path / "a")), load_key(str(tmp_path / "b"))
    assert len(first) == MAX_KEY_BYTES
    assert first != second
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'a'}: a domain key")


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    for name in ("key", "dangling"):
        assert main(["keygen", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == (
            f"coordinator: {tmp_path / name}: exists and is not overwritten, expected a new file\n"
        )
    assert path.read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        ([], "the following arguments are required: FILE (see --help)"),
        ([str(tmp_path / "no" / "key")], f"{tmp_path / 'no' / 'key'}: cannot be written: No such file or directory"),
    ):
        assert main(["keygen", *arguments]) == 2
        assert capsys.readouterr().err == f"coordinator: {said}\n"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_private(tmp_path / "key", b"x" * 32)
    assert not (tmp_path / "key").exists()
