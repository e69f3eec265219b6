"""Whatever the end of a run, nothing of it stays: no process, namespace, interface, mount, file of FRR."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from isolation import isolated, namespaces_in_use, poll

from emulation.isolate import Isolation, run_isolated

ROOT = Path(__file__).resolve().parent.parent.parent
FRR_FOLDERS = (Path("/run/frr"), Path("/var/tmp/frr"))


def machine() -> dict[str, object]:
    """What must be the same before and after."""
    return {
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "frr": [sorted(os.listdir(folder)) for folder in FRR_FOLDERS if folder.exists()],
        "routes": Path("/proc/net/route").read_text(),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ROOT / "emulation" / "run.py"), "gbn", "--no-agents", "--window", "0.2", *options]
    process = subprocess.Popen(
        [*command, "--out", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder.parent
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def init_of(process: subprocess.Popen[str]) -> int:
    """Return the pid of the namespaces' init, as soon as it is there and isolated."""

    def found() -> int:
        assert process.poll() is None, process.communicate()[0]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        own = os.stat("/proc/self/ns/net").st_ino
        for child in children:
            if os.stat(f"/proc/{child}/ns/net").st_ino != own:
                return int(child)
        return 0

    return int(poll(found))


def wait_for_network(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "stays up until" in line:
            return
    raise AssertionError("".join(seen))


def members(init: int) -> tuple[int, list[int]]:
    """Return the pid namespace of init and all its processes."""
    namespace = os.stat(f"/proc/{init}/ns/pid").st_ino
    return namespace, namespaces_in_use("pid").get(namespace, [])


def assert_nothing_left(namespaces: dict[str, set[int]], before: dict[str, object]) -> None:
    for kind, numbers in namespaces.items():
        poll(lambda kind=kind, numbers=numbers: not numbers & set(namespaces_in_use(kind)))  # type: ignore[misc]
    assert machine() == before


def all_namespaces(pids: list[int]) -> dict[str, set[int]]:
    return {kind: {os.stat(f"/proc/{pid}/ns/{kind}").st_ino for pid in pids} for kind in ("pid", "net")} | {
        "mnt": {os.stat(f"/proc/{pid}/ns/mnt").st_ino for pid in pids}
    }


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_a_signal_to_the_outer_process_ends_everything(number: signal.Signals, code: int, tmp_path: Path) -> None:
    before = machine()
    with started(tmp_path / "out") as process:
        wait_for_network(process)
        _, pids = members(init_of(process))
        assert len(pids) > 17 * 3  # a shell, zebra and ospfd each
        namespaces = all_namespaces(pids)
        assert len(namespaces["net"]) == 17 + 1
        process.send_signal(number)
        assert process.wait(20) == code
        assert_nothing_left(namespaces, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("processes", [1, 2, 10, 25, 45])
def test_at_any_moment_of_the_bring_up(number: signal.Signals, processes: int, tmp_path: Path) -> None:
    before = machine()
    with started(tmp_path / "out") as process:
        init = init_of(process)
        poll(lambda: len(members(init)[1]) >= processes)
        namespace, _ = members(init)
        process.send_signal(number)
        assert process.wait(20) == (143 if number == signal.SIGTERM else -9)
        assert_nothing_left({"pid": {namespace}}, before)


def test_killing_init_itself_ends_everything(tmp_path: Path) -> None:
    before = machine()
    with started(tmp_path / "out") as process:
        wait_for_network(process)
        init = init_of(process)
        namespaces = all_namespaces(members(init)[1])
        os.kill(init, signal.SIGKILL)
        assert process.wait(20) == 137
        assert_nothing_left(namespaces, before)


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_comes_through(code: int) -> None:
    assert run_isolated(lambda _: code) == code


def test_an_exception_is_told_and_exit_code_1(capfd: pytest.CaptureFixture[str]) -> None:
    def body(_: Isolation) -> int:
        raise ZeroDivisionError("on purpose")

    assert run_isolated(body) == 1
    assert "ZeroDivisionError: on purpose" in capfd.readouterr().err


def test_a_body_that_ignores_signals_is_killed_after_the_grace_period() -> None:
    outer = os.getpid()

    def body(isolation: Isolation) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(tell, b"1")
        while True:
            signal.pause()

    ready, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.read(ready, 1)
        os.kill(outer, signal.SIGTERM)
        os._exit(0)
    began = time.monotonic()
    assert run_isolated(body, grace_s=0.2) == 137
    assert time.monotonic() - began < 10
    os.waitpid(helper, 0)
    os.close(ready)
    os.close(tell)


def test_inside_there_is_a_network_of_its_own_and_zombies_are_reaped() -> None:
    def body(isolation: Isolation) -> tuple[list[str], list[str], int]:
        # The shell ends before its child, which init inherits and has to reap.
        subprocess.run(["sh", "-c", "sleep 0.05 &"], check=True)
        poll(lambda: len(list(Path("/proc").glob("[0-9]*"))) == 2)
        return os.listdir("/sys/class/net"), os.listdir("/run/frr"), os.getpid()

    interfaces, frr, pid = isolated(body)
    assert (interfaces, frr, pid) == (["lo"], [], 2)


def test_the_caller_can_go_on_forking_afterwards() -> None:
    assert run_isolated(lambda _: 0) == 0
    assert subprocess.run(["true"]).returncode == 0
    assert run_isolated(lambda _: 4) == 4


def test_init_is_known_by_the_number_that_the_user_sees() -> None:
    def body(isolation: Isolation) -> int:
        return isolation.init_pid

    assert isolated(body) > 1


def test_an_occupied_folder_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, str(ROOT / "emulation" / "run.py"), "gbn", "--no-agents", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "occupied" in done.stderr


@pytest.mark.parametrize(
    ("missing", "package"), [("/usr/lib/frr/ospfd", "frr"), ("mnexec", "mininet"), ("nft", "nftables")]
)
def test_a_missing_package_is_named_and_nothing_starts(
    missing: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from emulation.main import main

    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda program: None if program == missing else real(program))
    assert main(["gbn", "--no-agents", "--out", str(tmp_path / "out")]) == 2
    assert f"missing Debian package {package}:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
