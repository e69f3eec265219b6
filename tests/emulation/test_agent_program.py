"""Agents on routers that are not emulated: hand-made namespaces, FRR in each, started by the documented commands."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from isolation import hold_network, isolated, kill, poll
from numpy.typing import NDArray

from agent.frr import FrrRouter
from coordinator.__main__ import main as coordinator
from emulation.broker import find_mosquitto
from emulation.frrconf import ospfd_conf, zebra_conf
from emulation.isolate import RUNTIME, Isolation
from emulation.processes import end, run_in_each, start_in
from policy.checkpoint import load_checkpoint
from policy.episode import run_episode
from routing.formats import save_topology
from routing.initial import initial_weights
from routing.topology import Topology
from routing.traffic import uniform

ROOT = Path(__file__).resolve().parent.parent.parent
FRR = Path("/usr/lib/frr")
BROKER = "192.0.2.254"  # RFC 5737: documentation, so it is nobody's
STEPS = 12
NAMES = ("alpha", "beta", "gamma", "delta")
NET = Topology.from_links(
    "square",
    NAMES,
    [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3), (0, 2), (2, 0)],
    [1e9, 1e9, 1e10, 1e10, 1e10, 1e10, 1e10, 1e10, 2e9, 2e9],
)
LIVE = np.ones(NET.num_links, dtype=np.int64)  # hops: the slow links are as good as the fast ones


@pytest.fixture(autouse=True)
def at_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m agent` as the documentation says it."""
    monkeypatch.chdir(ROOT)


def interface(link: int) -> str:
    return f"to-{NAMES[NET.dst[link]]}"


def address(link: int) -> str:
    low = min(link, int(NET.reverse[link]))
    return f"10.9.{low}.{1 if link == low else 2}"


def router_id(node: int) -> str:
    return f"10.255.9.{node + 1}"


@contextmanager
def namespaces() -> Iterator[list[int]]:
    """Make a network namespace per router, each held by a process; yield their pids."""
    pids = [hold_network() for _ in NAMES]
    try:
        yield pids
    finally:
        kill(pids)


def ip(pid: int, *lines: str) -> None:
    run_in_each([(pid, ["ip", "-batch", "-"], "\n".join(lines) + "\n")])


def wire(pids: list[int]) -> None:
    """Join the routers by veth pairs, and all of them to a management bridge beside the network."""
    here = os.getpid()
    ip(here, "link set lo up", "link add mgmt type bridge", "link set mgmt up", f"address add {BROKER}/24 dev mgmt")
    for node, pid in enumerate(pids):
        ip(here, f"link add m{node} type veth peer name mgmt0 netns {pid}", f"link set m{node} master mgmt up")
    for link in range(NET.num_links):
        back = int(NET.reverse[link])
        if link < back:
            near, far = pids[NET.src[link]], pids[NET.dst[link]]
            ip(here, f"link add {interface(link)} netns {near} type veth peer name {interface(back)} netns {far}")
    for node, pid in enumerate(pids):
        out = NET.out_links(node)
        lines = ["link set lo up", f"address add {router_id(node)}/32 dev lo"]
        lines += [f"address add 192.0.2.{node + 1}/24 dev mgmt0", "link set mgmt0 up"]
        for link in range(out.start, out.stop):
            lines += [f"address add {address(link)}/30 dev {interface(link)}", f"link set {interface(link)} up"]
        ip(pid, *lines)


@contextmanager
def frr(pids: list[int], folder: Path) -> Iterator[list[Path]]:
    """Run zebra and ospfd in every router; yield the command sockets of the ospfds."""
    daemons = []
    vtys = []
    with ExitStack() as logs:
        try:
            for node, pid in enumerate(pids):
                sockets = RUNTIME / f"t{node}"
                sockets.mkdir()
                out = NET.out_links(node)
                costs = {interface(link): int(LIVE[link]) for link in range(out.start, out.stop)}
                texts = {"zebra": zebra_conf(NAMES[node]), "ospfd": ospfd_conf(NAMES[node], router_id(node), costs)}
                for daemon, text in texts.items():
                    (sockets / f"{daemon}.conf").write_text(text)
                    shutil.chown(sockets, "frr", "frr")
                    log = logs.enter_context((folder / f"{NAMES[node]}.{daemon}.log").open("ab"))
                    command = [
                        str(FRR / daemon), "-f", str(sockets / f"{daemon}.conf"), "-i", str(sockets / f"{daemon}.pid"),
                        "-z", str(sockets / "zserv.api"), "--vty_socket", str(sockets), "-A", "127.0.0.1", "-P", "0",
                        "--log", "stdout",
                    ]  # fmt: skip
                    daemons.append(start_in(pid, command, log))
                    poll((sockets / {"zebra": "zserv.api", "ospfd": "ospfd.vty"}[daemon]).exists)
                vtys.append(sockets / "ospfd.vty")
            yield vtys
        finally:
            end(daemons)


def prepare(folder: Path) -> None:
    """Make what all share, by the documented commands."""
    save_topology(folder / "square.graphml", NET)
    assert coordinator(["keygen", str(folder / "domain.key")]) == 0
    options = ["--topology", str(folder / "square.graphml"), "--listen", BROKER, "--domain", "hand-made"]
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert coordinator(["broker", str(folder / "tls"), *options, "--user", user]) == 0


@contextmanager
def mosquitto(folder: Path) -> Iterator[None]:
    program = find_mosquitto()
    assert program is not None
    with (folder / "mosquitto.log").open("ab") as log:
        process = start_in(None, [program, "-c", str(folder / "tls" / "mosquitto.conf")], log)
    try:
        yield
    finally:
        end([process])


def lsdb(vty: Path) -> NDArray[np.int64] | None:
    """Return the weights of all links as one router's LSDB has them; None while some are missing."""

    async def ask() -> dict[tuple[str, str], int]:
        router = FrrRouter(vty)
        try:
            return await router.lsdb()
        finally:
            await router.close()

    found = asyncio.run(ask())
    ends = [(router_id(int(NET.src[link])), router_id(int(NET.dst[link]))) for link in range(NET.num_links)]
    return np.array([found[pair] for pair in ends]) if all(pair in found for pair in ends) else None


def write_config(folder: Path, node: int, vty: Path) -> Path:
    """Write an agent's file as an operator would."""
    out = NET.out_links(node)
    lines = [
        f'router = "{NAMES[node]}"',
        'topology = "square.graphml"',
        f'broker = "{BROKER}"',
        f'credentials = "tls/agents/{NAMES[node]}"',
        'key_file = "domain.key"',
        f'ospf = "{vty}"',
        'domain = "hand-made"',
        "",
        "[router_ids]",
        *(f'{name} = "{router_id(n)}"' for n, name in enumerate(NAMES)),
    ]
    for link in range(out.start, out.stop):
        lines += [
            "",
            "[[neighbors]]",
            f'router = "{NAMES[NET.dst[link]]}"',
            f'interface = "{interface(link)}"',
            f'local = "{address(link)}"',
            f'remote = "{address(int(NET.reverse[link]))}"',
        ]
    path = folder / f"{NAMES[node]}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def agents(pids: list[int], vtys: list[Path], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = []
    try:
        for node, pid in enumerate(pids):
            command = [sys.executable, "-m", "agent", "--config", str(write_config(folder, node, vtys[node]))]
            with (folder / f"{NAMES[node]}.log").open("ab") as log:
                processes.append(start_in(pid, command, log))
        yield processes
    finally:
        end(processes)


def coordinate(folder: Path, *options: str) -> tuple[int, list[dict[str, object]], str]:
    command = [
        sys.executable,
        "-m",
        "coordinator",
        "--topology",
        str(folder / "square.graphml"),
        "--domain",
        "hand-made",
    ]
    command += ["--domain", "hand-made", "--broker", BROKER, "--credentials", str(folder / "tls" / "coordinator")]
    command += ["--wait", "60", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def logged(folder: Path, node: int, words: str, times: int = 1) -> bool:
    return (folder / f"{NAMES[node]}.log").read_text().count(words) >= times


def test_four_routers_tune_their_costs(tmp_path: Path) -> None:
    prepare(tmp_path)
    traffic = uniform(NET, 5)
    start = initial_weights("inverse-capacity", NET)
    checkpoint = load_checkpoint("default")
    expected = run_episode(NET, traffic, start, checkpoint, steps=STEPS, seed=5)

    def body(_: Isolation) -> None:
        with ExitStack() as stack:
            pids = stack.enter_context(namespaces())
            wire(pids)
            vtys = stack.enter_context(frr(pids, tmp_path))
            broker = stack.enter_context(ExitStack())
            broker.enter_context(mosquitto(tmp_path))
            processes = stack.enter_context(agents(pids, vtys, tmp_path))
            for vty in vtys:
                found = poll(lambda vty=vty: [weights] if (weights := lsdb(vty)) is not None else None)  # type: ignore[misc]
                np.testing.assert_array_equal(found[0], LIVE)

            options = ("--traffic", "uniform", "--seed", "5", "--steps", str(STEPS))
            code, events, errors = coordinate(tmp_path, *options)
            assert code == 0, f"{events} {errors}"
            outcome = events[-1]
            assert outcome["status"] == "committed", outcome
            assert outcome["best_step"] == expected.best_step
            for vty in vtys:
                np.testing.assert_array_equal(lsdb(vty), expected.best_weights)

            # The next episode begins with these costs and finds nothing better.
            code, events, errors = coordinate(tmp_path, *options)
            assert (code, events[-1]["status"]) == (0, "kept"), f"{events} {errors}"
            np.testing.assert_array_equal(lsdb(vtys[0]), expected.best_weights)

            # A link that goes down and comes back: both ends notice, nobody ends.
            link = NET.link_index(0, 1)
            ip(pids[0], f"link set {interface(link)} down")
            poll(lambda: logged(tmp_path, 0, "beta is silent") and logged(tmp_path, 1, "alpha is silent"))
            ip(pids[0], f"link set {interface(link)} up")
            poll(lambda: logged(tmp_path, 0, "beta answers", 2) and logged(tmp_path, 1, "alpha answers", 2))

            # An agent that is killed and started again takes part as before.
            processes[2].kill()
            processes[2].wait()
            poll(lambda: logged(tmp_path, 1, "gamma is silent"))
            with (tmp_path / "gamma.log").open("ab") as log:
                command = [sys.executable, "-m", "agent", "--config", str(tmp_path / "gamma.toml")]
                processes[2] = start_in(pids[2], command, log)
            code, events, errors = coordinate(tmp_path, *options)
            assert (code, events[-1]["status"]) == (0, "kept"), f"{events} {errors}"

            # So does one that is killed while there is no broker, and is back before it.
            broker.close()
            poll(lambda: all(logged(tmp_path, node, "has no broker") for node in range(4)))
            processes[2].kill()
            processes[2].wait()
            poll(lambda: logged(tmp_path, 1, "gamma is silent", 2))
            answers = [f"{NAMES[NET.dst[link]]} answers" for link in range(*NET.out_links(2).indices(NET.num_links))]
            before = {words: (tmp_path / "gamma.log").read_text().count(words) for words in answers}
            with (tmp_path / "gamma.log").open("ab") as log:
                command = [sys.executable, "-m", "agent", "--config", str(tmp_path / "gamma.toml")]
                processes[2] = start_in(pids[2], command, log)
            poll(lambda: all(logged(tmp_path, 2, words, before[words] + 1) for words in answers))
            stack.enter_context(mosquitto(tmp_path))
            code, events, errors = coordinate(tmp_path, *options)
            assert (code, events[-1]["status"]) == (0, "kept"), f"{events} {errors}"
            assert len(events[-1]["routers"]) == 4  # type: ignore[arg-type]

            for process in processes:
                process.terminate()
            assert [process.wait(10) for process in processes] == [0, 0, 0, 0]
            assert not any(logged(tmp_path, node, "Traceback") for node in range(4))

    isolated(body)
    assert not list(RUNTIME.glob("t[0-9]"))


def test_an_agent_whose_interface_is_missing_says_so(tmp_path: Path) -> None:
    prepare(tmp_path)

    def body(_: Isolation) -> tuple[int, str]:
        with namespaces() as pids:
            with agents(pids[:1], [tmp_path / "no.vty"], tmp_path) as processes:
                code = processes[0].wait(30)
        return code, (tmp_path / "alpha.log").read_text()

    code, text = isolated(body)
    assert code == 2
    assert text == "agent: neighbor beta: cannot open 10.9.0.1 port 5005 on to-beta: No such device\n"


def test_an_agent_without_ospfd_refuses_the_episode_and_says_why(tmp_path: Path) -> None:
    prepare(tmp_path)

    def body(_: Isolation) -> tuple[int, str]:
        with ExitStack() as stack:
            pids = stack.enter_context(namespaces())
            wire(pids)
            stack.enter_context(mosquitto(tmp_path))
            stack.enter_context(agents(pids, [tmp_path / "no.vty"] * 4, tmp_path))
            code, events, _ = coordinate(tmp_path, "--traffic", "uniform", "--steps", "3")
            return code, str(events[-1])

    code, outcome = isolated(body)
    assert code == 3
    assert "no.vty: [Errno 2] No such file or directory" in outcome
