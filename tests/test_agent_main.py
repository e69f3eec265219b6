"""`python -m agent`: what it says before it starts, and the documents about it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.config import check_against, load_config
from agent.messages import MAX_DATAGRAM, MAX_PART, MAX_REASON
from agent.patience import _DEVIATIONS, _LOSSY_GROWTH, _LOSSY_TRIPS, _MOST_GROWN, _TRIPS
from agent.session import WINDOW
from agent.waiting import Timing
from coordinator import broker
from coordinator.keygen import write_key
from routing.formats import load_topology, save_topology
from routing.topology import Topology

ROOT = Path(__file__).resolve().parent.parent
LINE = Topology.from_links("network", ["alpha", "beta", "gamma"], [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9)


def documented() -> str:
    """Return the configuration in docs/agent.md."""
    text = (ROOT / "docs" / "agent.md").read_text()
    (block,) = re.findall(r'((?:    .*\n|\n)*    router = "beta".*\n(?:    .*\n|\n)+)', text)
    return "\n".join(line.removeprefix("    ") for line in str(block).splitlines())


def agent(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    save_topology(tmp_path / "network.graphml", LINE)
    write_key(tmp_path / "domain.key")
    listen = ["--topology", str(tmp_path / "network.graphml"), "--listen", "192.0.2.254"]
    assert broker.main([str(tmp_path / "tls"), *listen]) == 0
    (tmp_path / "tls" / "agents" / "beta").rename(tmp_path / "credentials")
    path = tmp_path / "beta.toml"
    (tmp_path / "lib").mkdir()
    path.write_text(documented().replace("/var/lib/lockstep", "lib"))
    return path


def test_the_documented_configuration_is_good(good: Path) -> None:
    config = load_config(good)
    assert check_against(config, load_topology(config.topology)) == 1
    done = agent("--config", str(good), "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(good))}: good; beta of network, checkpoint [0-9a-f]{{8}}\n", done.stdout)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'credentials = "',
            'insecure_broker = false # "',
            "whoever reaches it could give orders, expected credentials",
        ),
        ('credentials = "credentials"', 'credentials = "tls"', "client.key: cannot read the private key: No such file"),
        ('broker = "192.0.2.254:8883"', 'broker = "unix:/run/x"', "a unix socket takes no credentials"),
        ('router = "beta"', 'router = "betty"', "beta.toml: router 'betty' is not a node of network"),
        ('topology = "network', 'topology = "missing', "missing.graphml: cannot be read: No such file"),
        ('checkpoint = "default"', 'checkpoint = "defalt"', "no checkpoint 'defalt' (did you mean default?)"),
        ('key_file = "domain.key"', 'key_file = "other.key"', "other.key: cannot read the domain key: No such file"),
        ('state = "lib"', 'state = "nowhere"', "nowhere: expected a folder in which the agent may write"),
        ('router = "gamma"', 'router = "alpha"', "neighbors ['alpha', 'alpha'], expected ['alpha', 'gamma']"),
        ("[router_ids]", "[router_ids", "beta.toml: not TOML: "),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    old: str, new: str, expected: str, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = good.read_text()
    assert old in text
    good.write_text(text.replace(old, new, 1))
    monkeypatch.setattr(sys, "argv", ["agent", "--config", str(good)])
    assert main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("agent: ")
    assert len(said.err.splitlines()) == 1
    assert expected in said.err


@pytest.mark.parametrize(
    "name",
    ["beta.toml", "network.graphml", "policy.safetensors", "domain.key"]
    + [f"credentials/{name}" for name in ("ca.crt", "client.crt", "client.key")],
)
def test_a_fifo_is_not_waited_for(name: str, good: Path) -> None:
    if name == "policy.safetensors":
        good.write_text(good.read_text().replace('checkpoint = "default"', f'checkpoint = "{name}"'))
    path = good.parent / name
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    done = agent("--config", str(good), "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"{name}: " in done.stderr and "not a regular file" in done.stderr


def test_addresses_that_are_not_here_are_named(good: Path) -> None:
    good.write_text(re.sub(r"interface = .*\n", "", good.read_text()).replace('ospf = "', 'domain = "x"\n# "'))
    text = good.read_text().replace('domain = "default"                  # part of the MQTT topics\n', "")
    good.write_text(text.replace("10.0.0.2", "192.0.2.77"))
    done = agent("--config", str(good))
    assert done.returncode == 2, done.stderr
    assert done.stderr == "agent: neighbor alpha: cannot open 192.0.2.77 port 5005: Cannot assign requested address\n"


def test_the_protocols_page_has_the_codes_numbers() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    timing = Timing()
    for row in (
        f"| `hello_s` | {timing.hello_s:g} s |",
        f"| `dead_s` | {timing.dead_s:g} s |",
        f"| `stall_s` | {timing.stall_s:g} s |",
        f"| `doubt_s` | {timing.doubt_s:g} s |",
        f"at most {MAX_DATAGRAM} bytes",
        f"(at most {MAX_PART} bytes)",
        f"(at most {MAX_REASON} bytes)",
        f"a window of {WINDOW} refuses",
        f"less than {timing.repeat_min_s * 1000:g} ms or more than {timing.repeat_max_s:g} s",
    ):
        assert row in text
    spelled_out = (_DEVIATIONS, _TRIPS, _MOST_GROWN, _LOSSY_TRIPS, _LOSSY_GROWTH)
    assert spelled_out == (4, 2, 4, 2, 1.25)
