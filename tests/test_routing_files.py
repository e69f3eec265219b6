"""Files from outside: opened only if they are regular, and, if they are secrets, only their owner's."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from routing.errors import InputError
from routing.files import open_private, open_regular, read_regular
from routing.formats import load_topology
from routing.initial import initial_weights
from routing.traffic import load_traffic

NET = load_topology("nsfnet")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_socket])
def test_what_is_no_regular_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    for path in (tmp_path / "x", tmp_path / "link"):
        for opened in (open_regular, open_private):
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(OSError):
                opened(path)
            assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("net.graphml", lambda path: load_topology(str(path))),
        ("traffic.csv", lambda path: load_traffic(path, NET)),
        ("weights.npy", lambda path: initial_weights(str(path), NET)),
        ("node_coordinates.txt", lambda path: load_topology(str(path.parent))),
    ],
)
def test_no_reader_waits_for_a_fifo(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "adjacency_matrix.txt").write_text("0 1\n1 0\n")
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read: not a regular file"):
        read(tmp_path / name)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty"])
def test_devices_are_no_regular_files(path: str) -> None:
    with pytest.raises(OSError):
        read_regular(path)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "x").chmod(0o600)
    (tmp_path / "link").symlink_to("x")
    assert read_regular(tmp_path / "link") == b"content"
    with open_private(tmp_path / "link") as file:
        assert file.read() == b"content"
    for opened in (open_regular, open_private):
        with pytest.raises(OSError):
            opened(tmp_path / "link", follow=False)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601, 0o660])
def test_a_secret_that_others_could_read_is_none(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    path.chmod(mode)
    with pytest.raises(PermissionError, match=f"mode {mode:04o}, expected 0600: others could read it"):
        open_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_secret_of_somebody_else_is_none_but_roots_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.touch(0o600)
    os.chown(path, 1234, -1)
    with pytest.raises(PermissionError, match="it belongs to user 1234, expected root"):
        open_private(path)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(PermissionError, match="it belongs to user 1234, expected user 4321 or root"):
        open_private(path)
    for owner in (4321, 0):
        os.chown(path, owner, -1)
        open_private(path).close()
