"""`python -m coordinator broker`, and a real mosquitto with what it wrote: who gets in, and what may be said."""

import asyncio
import os
import pwd
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from scripted_agents import QUICK, until

from agent.broker import BrokerAddress
from agent.control import Progress, Result, Start, Status, Topics, encode
from agent.credentials import CERTIFICATE_FILE, KEY_FILE, Door, load_credentials, open_door
from agent.mqtt import AgentLink, connected, make_client, publish, subscribe
from coordinator import broker as command
from coordinator.__main__ import main
from coordinator.brokerconf import rules
from coordinator.certificates import Authority, Identity, new_authority
from emulation.broker import find_mosquitto
from routing.errors import InputError
from routing.formats import save_topology
from routing.topology import Topology

ROUTERS = ("r1", "r 2", "Zürich")
NET = Topology.from_links("triangle", ROUTERS, [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)], 1e9)
TOPICS = Topics("default")
START = Start(
    episode=10, seed=1, steps=3, topology="0" * 32, checkpoint="1" * 32, traffic=b"\0" * 72, start_weights=b"\1\0" * 6
)
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")


def write(folder: Path, *options: str) -> None:
    save_topology(folder.parent / "net.graphml", NET)
    arguments = [str(folder), "--topology", str(folder.parent / "net.graphml"), *options]
    assert main(["broker", *arguments]) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Bench:
    """A mosquitto on loopback with the generated configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tls"
        self.port = free_port()
        user = pwd.getpwuid(os.geteuid()).pw_name
        write(self.folder, "--listen", f"127.0.0.1:{self.port}", "--name", "localhost", "--user", user)
        program = find_mosquitto()
        assert program is not None
        self.log = (folder / "mosquitto.log").open("w+b")
        conf = str(self.folder / "mosquitto.conf")
        self.process = subprocess.Popen([program, "-c", conf], stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 15
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def door(self, name: str, host: str = "127.0.0.1") -> Door:
        return open_door(f"{host}:{self.port}", str(self.folder / name))

    def client(self, name: str, identifier: str = "anything") -> aiomqtt.Client:
        door = self.door(name)
        return make_client(door.address, identifier, tls=door.tls)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    started = Bench(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


async def enters(address: BrokerAddress, tls: ssl.SSLContext | None) -> bool:
    """Whether a client gets in and is answered."""
    try:
        async with connected(make_client(address, "stranger", tls=tls)) as client:
            await subscribe(client, "anything")
            return True
    except aiomqtt.MqttError:
        return False


class Heard:
    """What a client hears on some topics."""

    def __init__(self, client: aiomqtt.Client, *topics: str) -> None:
        self.client = client
        self.topics = topics
        self.packets: list[tuple[str, bytes]] = []

    async def run(self) -> None:
        async with connected(self.client) as client:
            await subscribe(client, *self.topics)
            self.subscribed.set()
            async for packet in client.messages:
                assert isinstance(packet.payload, bytes)
                self.packets.append((packet.topic.value, packet.payload))

    async def __aenter__(self) -> "Heard":
        self.subscribed = asyncio.Event()
        self.task = asyncio.create_task(self.run())
        async with asyncio.timeout(10):
            await self.subscribed.wait()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@needs_mosquitto
@pytest.mark.asyncio
async def test_an_agent_and_the_coordinator_talk(bench: Bench) -> None:
    door = bench.door("agents/Zürich", "localhost")
    link = AgentLink("Zürich", door.address, tls=door.tls, backoff_s=QUICK)
    link.set_status(Status(router="Zürich", online=True, ready=True))
    task = asyncio.create_task(link.run())
    async with Heard(bench.client("coordinator"), TOPICS.all_status, TOPICS.all_results, TOPICS.all_progress) as heard:
        await link.connected.wait()
        async with connected(bench.client("agents/r1", "r1-once-more")):
            pass  # another agent comes and goes
        link.publish(Progress(episode=10, step=0, links=[], mlu=1.0))
        link.publish(Result(router="Zürich", episode=10, status="kept"))
        await until(
            lambda: {topic.rpartition("/")[2] for topic, _ in heard.packets} == {"status", "result", "progress"}
        )
        assert {topic.split("/")[3] for topic, _ in heard.packets} == {"Zürich"}
        await publish(heard.client, TOPICS.start, encode(START))
        async with asyncio.timeout(10):
            assert await anext(link) == START
    task.cancel()
    await asyncio.wait([task])


@needs_mosquitto
@pytest.mark.asyncio
async def test_who_has_no_certificate_stays_out(bench: Bench) -> None:
    address = BrokerAddress(host="127.0.0.1", port=bench.port)
    assert await enters(address, bench.door("agents/r1").tls)
    assert not await enters(address, None)  # no TLS at all
    assert not await enters(address, ssl.create_default_context(cafile=bench.folder / "ca.crt"))


@needs_mosquitto
@pytest.mark.asyncio
async def test_a_wrong_certificate_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Of another authority with the same name, of the right one but no longer good, and the broker's own."""
    address = BrokerAddress(host="127.0.0.1", port=bench.port)
    now = datetime.now(UTC)
    ours = Identity((bench.folder / "ca.crt").read_bytes(), (bench.folder / "ca.key").read_bytes())
    other = new_authority("Lockstep default", now=now, days=10)
    late = Authority(ours, now=now - timedelta(days=10), days=1).client("agents/r1")
    foreign = Authority(other, now=now, days=10).client("agents/r1")
    server = Identity((bench.folder / "server.crt").read_bytes(), (bench.folder / "server.key").read_bytes())
    for number, identity in enumerate((late, foreign, server)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "ca.crt").write_bytes(ours.certificate)
        (folder / CERTIFICATE_FILE).write_bytes(identity.certificate)
        (folder / KEY_FILE).touch(0o600)
        (folder / KEY_FILE).write_bytes(identity.key)
        assert not await enters(address, load_credentials(folder)), number


@needs_mosquitto
@pytest.mark.asyncio
async def test_a_broker_that_is_not_the_one_named_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Another host's certificate, and one that another authority signed."""
    tls = bench.door("agents/r1").tls
    elsewhere = BrokerAddress(host="127.0.0.2", port=bench.port)
    with socket.create_server(("127.0.0.2", bench.port)) as listener:
        proxy = asyncio.create_task(_forward(listener, bench.port))
        with pytest.raises(aiomqtt.MqttError, match="IP address mismatch"):
            async with connected(make_client(elsewhere, "r1", tls=tls)):
                pass
        proxy.cancel()
        await asyncio.wait([proxy])
    write(tmp_path / "other", "--listen", f"127.0.0.1:{bench.port}")
    stranger = open_door(f"127.0.0.1:{bench.port}", str(tmp_path / "other" / "agents" / "r1"))
    with pytest.raises(
        aiomqtt.MqttError, match=r"self-signed certificate|unable to get local issuer|signature failure"
    ):
        async with connected(make_client(stranger.address, "r1", tls=stranger.tls)):
            pass


async def _forward(listener: socket.socket, port: int) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, sock=listener)
    async with server:
        await server.serve_forever()


@needs_mosquitto
@pytest.mark.asyncio
async def test_a_foreign_topic_is_refused(bench: Bench) -> None:
    """An agent reaches nobody but the coordinator, and only on its own topics; it hears the coordinator alone."""
    foreign = [
        TOPICS.start,
        TOPICS.cancel,
        *(make("r 2") for make in (TOPICS.status, TOPICS.result, TOPICS.progress)),
        "lockstep/default/agents/r1",
        "lockstep/other/agents/r1/status",
        "lockstep/default/coordinator/status",
        "anything",
    ]
    everything = ("#", "lockstep/#", TOPICS.all_status, TOPICS.start, TOPICS.result("r1"))
    own = [TOPICS.status("r1"), TOPICS.result("r1"), TOPICS.progress("r1")]
    async with (
        Heard(bench.client("coordinator"), TOPICS.all_status, TOPICS.all_results, TOPICS.all_progress) as coordinator,
        Heard(bench.client("agents/Zürich"), *everything) as spy,
    ):
        async with connected(bench.client("agents/r1")) as client:
            for topic in [*foreign, *own]:
                await publish(client, topic, b"from r1", retain=False)
        await publish(coordinator.client, TOPICS.cancel, b"last")
        await until(lambda: (TOPICS.cancel, b"last") in spy.packets)
        await until(lambda: len([1 for _, payload in coordinator.packets if payload == b"from r1"]) >= len(own))
        assert {topic for topic, payload in coordinator.packets if payload == b"from r1"} == set(own)
        assert {topic for topic, _ in spy.packets} <= {TOPICS.cancel, TOPICS.start}
        assert all(payload != b"from r1" for _, payload in spy.packets)


@needs_mosquitto
@pytest.mark.asyncio
async def test_no_client_can_take_anothers_connection(bench: Bench) -> None:
    """MQTT closes the older of two connections with one client identifier: here the certificate gives it."""
    identifier = "lockstep/default/agents/r1"
    async with Heard(bench.client("agents/r1", identifier), TOPICS.cancel) as victim:
        async with connected(bench.client("agents/r 2", identifier)):
            await publish(victim.client, TOPICS.status("r1"), b"still here")
        assert not victim.task.done()


@needs_mosquitto
@pytest.mark.asyncio
async def test_a_message_larger_than_any_is_not_taken(bench: Bench) -> None:
    async with Heard(bench.client("coordinator"), TOPICS.all_results) as heard:
        with pytest.raises(aiomqtt.MqttError):
            async with connected(bench.client("agents/r1")) as client:
                await publish(client, TOPICS.result("r1"), bytes(6 << 20))
                await publish(client, TOPICS.result("r1"), b"small")
        async with connected(bench.client("agents/r 2")) as client:
            await publish(client, TOPICS.result("r 2"), b"seen")
        await until(lambda: (TOPICS.result("r 2"), b"seen") in heard.packets)
        assert all(len(payload) < 1 << 20 for _, payload in heard.packets)


def test_a_second_run_keeps_what_is_there_and_adds_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tls"
    write(folder, "--listen", "192.0.2.1")
    before = {path: path.read_bytes() for path in folder.rglob("*.crt")}
    grown = Topology.from_links(
        "line", (*ROUTERS, "new"), [(i, i + 1) for i in range(3)] + [(i + 1, i) for i in range(3)], 1
    )
    save_topology(tmp_path / "grown.graphml", grown)
    capsys.readouterr()
    assert main(["broker", str(folder), "--topology", str(tmp_path / "grown.graphml"), "--listen", "192.0.2.1"]) == 0
    assert "1 new clients' credentials" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert "user agents/new\n" in (folder / "rules").read_text()
    load_credentials(folder / "agents" / "new")


def test_a_second_run_for_another_host_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Agents would refuse the certificate that is there."""
    write(tmp_path / "tls", "--listen", "192.0.2.1", "--name", "a.example")
    arguments = [str(tmp_path / "tls"), "--topology", str(tmp_path / "net.graphml"), "--listen"]
    assert main(["broker", *arguments, "192.0.2.1:8884"]) == 0
    assert main(["broker", *arguments, "192.0.2.2"]) == 2
    said = "server.crt: is for 192.0.2.1, a.example, expected 192.0.2.2; delete it and server.key for a new one"
    assert said in capsys.readouterr().err


def test_private_keys_are_the_owners_alone(tmp_path: Path) -> None:
    write(tmp_path / "tls", "--listen", "192.0.2.1", "--name", "broker.example")
    keys = list((tmp_path / "tls").rglob("*.key"))
    assert len(keys) == 2 + 1 + len(ROUTERS)
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    names = x509.load_pem_x509_certificate((tmp_path / "tls" / "server.crt").read_bytes()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in found] == ["192.0.2.1", "broker.example"]


def test_the_rules_to_the_letter() -> None:
    assert rules(["r1"], "lab") == (
        "# Access rules of the domain lab: who may publish (write) and hear (read) what; nobody else anything.\n"
        "\n"
        "user coordinator\n"
        "topic write lockstep/lab/start\n"
        "topic write lockstep/lab/cancel\n"
        "topic read lockstep/lab/agents/+/status\n"
        "topic read lockstep/lab/agents/+/result\n"
        "topic read lockstep/lab/agents/+/progress\n"
        "\n"
        "user agents/r1\n"
        "topic write lockstep/lab/agents/r1/status\n"
        "topic write lockstep/lab/agents/r1/result\n"
        "topic write lockstep/lab/agents/r1/progress\n"
        "topic read lockstep/lab/start\n"
        "topic read lockstep/lab/cancel\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "unix:/x"], "expected host:port (a unix socket needs no certificates)"),
        (["--listen", "192.0.2.1", "--days", "0"], "--days 0, expected 1..36500"),
        (["--listen", "192.0.2.1", "--domain", "a/b"], "expected 1 to 64 letters"),
        (["--listen", "192.0.2.1", "--user", "a\nlistener 1883"], "expected the name of a user"),
        (["--listen", "192.0.2.1", "--installed", "/a\nlistener 1883"], "expected a printable path"),
        (["--listen", "192.0.2.1\nallow_anonymous true"], "expected unix:/path, host:port"),
        (["--listen", "192.0.2.1", "--name", "a..b"], "no name of a host"),
    ],
)
def test_mistakes_write_nothing(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_topology(tmp_path / "net.graphml", NET)
    assert command.main([str(tmp_path / "tls"), "--topology", str(tmp_path / "net.graphml"), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "tls").exists()


def test_a_long_name_of_a_router_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = Topology.from_links("long", ("ä" * 29, "b"), [(0, 1), (1, 0)], 1.0)
    save_topology(tmp_path / "net.graphml", long)
    arguments = [str(tmp_path / "tls"), "--topology", str(tmp_path / "net.graphml"), "--listen", "192.0.2.1"]
    assert command.main(arguments) == 2
    assert "expected names of at most 57 bytes" in capsys.readouterr().err


def test_what_no_door_opens(tmp_path: Path) -> None:
    write(tmp_path / "tls", "--listen", "192.0.2.1")
    good = tmp_path / "tls" / "agents" / "r1"
    assert open_door("192.0.2.1", str(good)).address.port == 8883
    assert open_door("192.0.2.1", insecure=True) == Door(BrokerAddress(host="192.0.2.1", port=1883))
    for broker, credentials, insecure, said in (
        ("192.0.2.1:1883", "", False, "expected credentials for TLS, a unix socket, or insecure_broker"),
        ("127.0.0.1:1883", "", False, "expected credentials for TLS"),
        ("192.0.2.1", str(good), True, "both credentials and insecure_broker"),
        ("unix:/x", str(good), False, "a unix socket takes no credentials"),
        ("192.0.2.1", str(tmp_path), False, "client.key: cannot read the private key: No such file"),
    ):
        with pytest.raises(InputError, match=said):
            open_door(broker, credentials, insecure=insecure)


@pytest.mark.parametrize("name", ["ca.crt", "client.crt", "client.key"])
def test_credentials_that_are_none(name: str, tmp_path: Path) -> None:
    write(tmp_path / "tls", "--listen", "192.0.2.1")
    folder = tmp_path / "tls" / "agents" / "r1"
    for content in (b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", bytes(range(256))):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be used: .*, expected"):
            load_credentials(folder)
    (folder / "client.key").chmod(0o640)
    with pytest.raises(InputError, match="mode 0640, expected 0600"):
        load_credentials(folder)
