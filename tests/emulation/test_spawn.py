"""Programs in routers' namespaces: where they run, how they end, what they cost."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from isolation import isolated, poll

from emulation.isolate import Isolation
from emulation.namespaces import CLONE_NEWNET, inside, unshare
from emulation.processes import EmulationError, run_in_each, write_sysctls
from emulation.spawn import Spawner, proportional_memory


def wait_forever() -> int:
    while True:
        signal.pause()


class Namespace:
    """A process that holds a network namespace of its own."""

    def __init__(self) -> None:
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            unshare(CLONE_NEWNET)
            os.write(tell, b"1")
            signal.pause()
        os.read(ready, 1)
        self.name = os.readlink(f"/proc/{self.pid}/ns/net")


def test_forked_and_executed_programs_run_in_their_namespaces_and_report_their_ends(tmp_path: Path) -> None:
    def body(_: Isolation) -> None:
        spaces = [Namespace() for _ in range(3)]
        spawner = Spawner()

        def target(code: int) -> int:
            print(os.readlink("/proc/self/ns/net"), os.getsid(0) == os.getpid(), sys.stdin.read())
            return code

        for code, space in enumerate(spaces):
            spawner.fork(f"r{code}", space.pid, lambda code=code: target(code), tmp_path / f"f{code}.log")  # type: ignore[misc]
            spawner.execute(f"r{code}", space.pid, ["readlink", "/proc/self/ns/net"], tmp_path / f"e{code}.log")
        assert spawner.wait(20.0)
        assert [child.exit_code for child in spawner.children] == [0, 0, 1, 0, 2, 0]
        for code, space in enumerate(spaces):
            assert (tmp_path / f"f{code}.log").read_text() == f"{space.name} True \n"
            assert (tmp_path / f"e{code}.log").read_text() == f"{space.name}\n"
        assert spawner.poll() == []

    isolated(body)


def test_what_goes_wrong_in_a_child_is_in_its_log_only(tmp_path: Path) -> None:
    def body(_: Isolation) -> None:
        spawner = Spawner()

        def fail() -> int:
            raise ZeroDivisionError("on purpose")

        spawner.fork("a", os.getpid(), fail, tmp_path / "a.log")
        spawner.fork("b", 2**22 - 1, lambda: 0, tmp_path / "b.log")  # no such namespace
        assert spawner.wait(20.0)
        assert [child.exit_code for child in spawner.children] == [1, 1]
        assert "ZeroDivisionError: on purpose" in (tmp_path / "a.log").read_text()
        assert "FileNotFoundError" in (tmp_path / "b.log").read_text()

    isolated(body)


def test_children_are_ended_politely_then_firmly(tmp_path: Path) -> None:
    def body(_: Isolation) -> None:
        spawner = Spawner()

        def stubborn() -> int:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("ready", flush=True)
            return wait_forever()

        spawner.fork("stubborn", os.getpid(), stubborn, tmp_path / "log")
        spawner.execute("polite", os.getpid(), ["sleep", "1000"], tmp_path / "sleep.log")
        poll(lambda: (tmp_path / "log").read_text())
        began = time.monotonic()
        spawner.end(grace_s=0.2)
        assert time.monotonic() - began < 10
        assert [child.exit_code for child in spawner.children] == [-signal.SIGKILL, -signal.SIGTERM]
        spawner.end()

    isolated(body)


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    def body(_: Isolation) -> None:
        ready, tell = os.pipe()
        parent = os.fork()
        if parent == 0:
            child = Spawner().fork("a", os.getpid(), wait_forever, tmp_path / "log")
            os.write(tell, b"%d" % child.pid)
            signal.pause()
        child_pid = int(os.read(ready, 20))
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        poll(lambda: not Path(f"/proc/{child_pid}").exists())

    isolated(body)


def private_memory(pid: int) -> int:
    """Bytes that no other process shares; how much it shares depends on its parent, which is pytest here."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_a_fork_costs_a_few_megabytes(tmp_path: Path) -> None:
    def body(_: Isolation) -> list[int]:
        spawner = Spawner()
        for number in range(4):
            spawner.fork(f"r{number}", os.getpid(), wait_forever, tmp_path / f"{number}.log")
        shared_out = [proportional_memory(child.pid) for child in spawner.children]
        own = [private_memory(child.pid) for child in spawner.children]
        assert all(0 < mine < share for mine, share in zip(own, shared_out, strict=True))
        spawner.end()
        return own

    assert max(isolated(body)) < 8e6


def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    def body(_: Isolation) -> str:
        with pytest.raises(EmulationError) as raised:
            run_in_each([(os.getpid(), ["ip", "-batch", "-"], "link set dev nothing up\n")])
        return str(raised.value)

    message = isolated(body)
    assert message.startswith("ip -batch - failed with 1: ")
    assert "nothing" in message


def test_settings_of_a_namespace_stay_in_it() -> None:
    def body(_: Isolation) -> tuple[str, str, str]:
        space = Namespace()
        home = os.readlink("/proc/thread-self/ns/net")
        write_sysctls(space.pid, {"net/ipv4/ip_forward": "1"})
        with inside(space.pid), Popen(["cat", "/proc/sys/net/ipv4/ip_forward"], stdout=PIPE, text=True) as there:
            inner = there.communicate()[0].strip()
        outer = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
        assert os.readlink("/proc/thread-self/ns/net") == home
        with pytest.raises(FileNotFoundError), inside(2**22 - 1):
            raise AssertionError("entered")
        return inner, outer, os.readlink("/proc/thread-self/ns/net")

    inner, outer, _ = isolated(body)
    assert (inner, outer) == ("1", "0")
