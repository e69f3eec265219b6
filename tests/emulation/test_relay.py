"""`--broker host:port` with Mininet: a relay takes the programs of a run to a broker outside, each as itself."""

import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.__main__ import main as coordinator
from emulation.broker import find_mosquitto
from routing.formats import save_topology
from routing.topology import Topology

ROOT = Path(__file__).resolve().parent.parent.parent
NET = Topology.from_links("line", ("a", "b c", "d"), [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)], 10e9)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A mosquitto as the command configures it, in the network that the run leaves."""
    save_topology(tmp_path / "line.graphml", NET)
    address = f"127.0.0.1:{free_port()}"
    options = ["--topology", str(tmp_path / "line.graphml"), "--listen", address]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert coordinator(["broker", str(tmp_path / "tls"), *options, "--user", user]) == 0
    program = find_mosquitto()
    assert program is not None
    with (tmp_path / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(tmp_path / "tls" / "mosquitto.conf")], stdout=log, stderr=log)
    deadline = time.monotonic() + 15
    while True:
        with socket.socket() as client:
            host, port = address.split(":")
            if client.connect_ex((host, int(port))) == 0:
                break
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    yield address
    process.terminate()
    process.wait()


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, str(ROOT / "emulation" / "run.py"), str(folder / "line.graphml"), "--window", "0.2",
        "--steps", "5", "--seed", "1", "--json", "--out", str(folder / "out"), *options,
    ]  # fmt: skip
    # A folder of its own for temporary files, to see what is left; short, for sockets are in it.
    with tempfile.TemporaryDirectory(prefix="ls-") as short:
        environment = {**os.environ, "TMPDIR": short}
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder, env=environment)
        assert os.listdir(short) == []
    return done


def test_a_run_on_a_broker_outside(broker: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--broker", broker, "--credentials", str(tmp_path / "tls"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agreement"]["routers"] == 3
    assert not [line for line in (tmp_path / "mosquitto.log").read_text().splitlines() if "denied" in line.lower()]


def test_a_broker_that_cannot_be_entered_is_said_at_once(broker: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--broker", f"127.0.0.1:{free_port()}", "--credentials", str(tmp_path / "tls"))
    assert done.returncode == 1
    assert "cannot be entered: " in done.stderr + done.stdout


@pytest.mark.parametrize("fabric", ["mininet", "loopback"])
def test_without_credentials_it_is_refused(fabric: str, broker: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--broker", broker, "--fabric", fabric)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected credentials for TLS, a unix socket, or insecure_broker" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_on_loopback_the_agents_enter_by_themselves(broker: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--broker", broker, "--credentials", str(tmp_path / "tls"), "--fabric", "loopback")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agreement"]["routers"] == 3
