"""The FRR adapter against a fake ospfd on a unix socket: byte-exact framing, fragments, refusals, restarts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.frr import FrrError, FrrRouter, FrrUnavailable

pytestmark = pytest.mark.asyncio

INTERFACES = {
    "interfaces": {
        "lo": {"cost": 0, "timerPassiveIface": True},
        "r0-r1": {"cost": 5},
        "r0-r2": {"cost": 70},
    }
}
LSDB = {
    "routerId": "10.255.0.1",
    "routerLinkStates": {
        "areas": {
            "0.0.0.0": [
                {
                    "lsaAge": 3,
                    "advertisingRouter": "10.255.0.1",
                    "routerLinks": {
                        "link0": {"linkType": "Stub Network", "networkAddress": "10.255.0.1", "tos0Metric": 0},
                        "link1": {
                            "linkType": "another Router (point-to-point)",
                            "neighborRouterId": "10.255.0.2",
                            "tos0Metric": 5,
                        },
                    },
                },
                {
                    "lsaAge": 3600,
                    "advertisingRouter": "10.255.0.9",
                    "routerLinks": {
                        "link0": {
                            "linkType": "another Router (point-to-point)",
                            "neighborRouterId": "10.255.0.1",
                            "tos0Metric": 1,
                        }
                    },
                },
                {"lsaAge": 1, "advertisingRouter": "10.255.0.2"},
            ]
        }
    },
}

Answer = Callable[[bytes], list[bytes]]


def reply(text: str, code: int = 0) -> bytes:
    return text.encode() + b"\0\0\0" + bytes([code])


class FakeOspfd:
    """Remembers the bytes it got; `answer` gives the pieces to write for a command, an empty list to hang up."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received = b""
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                command = await reader.readuntil(b"\0")
                self.received += command
                pieces = self.answer(command[:-1])
                if not pieces:
                    return
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def fake(path: Path, answer: Answer) -> AsyncIterator[FakeOspfd]:
    daemon = FakeOspfd(answer)
    server = await asyncio.start_unix_server(daemon.serve, path)
    try:
        yield daemon
    finally:
        server.close()
        for writer in daemon.writers:
            writer.close()
            await writer.wait_closed()


def by_name(command: bytes) -> list[bytes]:
    if command == b"show ip ospf interface json":
        return [reply(json.dumps(INTERFACES))]
    if command == b"show ip ospf database router json":
        return [reply(json.dumps(LSDB))]
    return [reply("")]


async def test_costs_are_those_of_interfaces_with_neighbours(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", by_name) as daemon:
        router = FrrRouter(tmp_path / "vty")
        assert await router.costs() == {"r0-r1": 5, "r0-r2": 70}
        assert daemon.received == b"show ip ospf interface json\0"
        await router.close()


async def test_setting_costs_is_byte_for_byte_what_vtysh_would_say(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", by_name) as daemon:
        router = FrrRouter(tmp_path / "vty")
        await router.set_costs({"r0-r2": 9, "r0-r1": 65535})
        assert daemon.received == (
            b"show ip ospf interface json\0enable\0configure terminal\0"
            b"interface r0-r2\0ip ospf cost 9\0interface r0-r1\0ip ospf cost 65535\0end\0"
        )
        assert daemon.connections == 1
        await router.close()


async def test_lsdb_holds_live_point_to_point_links_only(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", by_name):
        router = FrrRouter(tmp_path / "vty")
        assert await router.lsdb() == {("10.255.0.1", "10.255.0.2"): 5}
        await router.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_reply_may_come_in_pieces(tmp_path: Path, size: int) -> None:
    whole = reply("x" * 50)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    async with fake(tmp_path / "vty", lambda _: pieces):
        router = FrrRouter(tmp_path / "vty")
        assert await router.run(["show version", "show clock"]) == ["x" * 50] * 2
        await router.close()


async def test_a_return_code_of_zero_is_not_taken_for_text(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", lambda _: [b"\0\0\0\0"]):
        router = FrrRouter(tmp_path / "vty")
        assert await router.run(["enable"]) == [""]
        await router.close()


async def test_a_refused_command_is_named_with_its_code_and_text(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", lambda _: [reply("% Unknown command: nonsense\n", 2)]):
        router = FrrRouter(tmp_path / "vty")
        with pytest.raises(FrrError, match=r"'nonsense' failed with 2: % Unknown command: nonsense$"):
            await router.run(["nonsense"])


async def test_after_a_refusal_the_next_call_starts_in_the_first_mode(tmp_path: Path) -> None:
    def answer(command: bytes) -> list[bytes]:
        return [reply("no", 13)] if command.startswith(b"ip ospf cost") else by_name(command)

    async with fake(tmp_path / "vty", answer) as daemon:
        router = FrrRouter(tmp_path / "vty")
        with pytest.raises(FrrError):
            await router.set_costs({"r0-r1": 2})
        await router.costs()
        assert daemon.connections == 2
        await router.close()


async def test_an_unknown_interface_changes_nothing(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", by_name) as daemon:
        router = FrrRouter(tmp_path / "vty")
        with pytest.raises(FrrError, match=r"OSPF does not run on eth7, lo$"):
            await router.set_costs({"r0-r1": 2, "lo": 2, "eth7": 1})
        assert b"configure" not in daemon.received
        await router.close()


@pytest.mark.parametrize("cost", [0, 65536, -1])
async def test_a_cost_out_of_range_is_our_mistake(tmp_path: Path, cost: int) -> None:
    with pytest.raises(ValueError, match=r"expected 1\.\.65535"):
        await FrrRouter(tmp_path / "vty").set_costs({"r0-r1": cost})


async def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(FrrUnavailable, match=r"vty: .*No such file"):
        await FrrRouter(tmp_path / "vty").costs()


async def test_a_daemon_that_hangs_up_is_unavailable(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", lambda _: []):
        with pytest.raises(FrrUnavailable, match="hung up"):
            await FrrRouter(tmp_path / "vty").costs()


async def test_half_a_reply_is_none(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", lambda command: [b"half\0\0"] if command == b"a" else []) as daemon:
        router = FrrRouter(tmp_path / "vty", timeout_s=0.05)
        with pytest.raises(FrrUnavailable, match=r"no answer to 'a' within 0\.05 s"):
            await router.run(["a"])
        assert daemon.received == b"a\0"


async def test_a_restarted_daemon_is_found_again(tmp_path: Path) -> None:
    router = FrrRouter(tmp_path / "vty")
    for _ in range(2):
        async with fake(tmp_path / "vty", by_name) as daemon:
            assert await router.costs() == {"r0-r1": 5, "r0-r2": 70}
            assert daemon.connections == 1
        (tmp_path / "vty").unlink()
    with pytest.raises(FrrUnavailable):
        await router.costs()


async def test_a_kept_connection_that_went_stale_is_replaced_once(tmp_path: Path) -> None:
    router = FrrRouter(tmp_path / "vty")
    served = []

    def once_per_connection(command: bytes) -> list[bytes]:
        served.append(command)
        return by_name(command) if len(served) != 2 else []

    async with fake(tmp_path / "vty", once_per_connection) as daemon:
        await router.costs()
        assert await router.costs() == {"r0-r1": 5, "r0-r2": 70}
        assert daemon.connections == 2
        await router.close()


@pytest.mark.parametrize("down", ["true", "false"])
async def test_an_interface_that_has_just_gone_down_has_no_cost(tmp_path: Path, down: str) -> None:
    text = f'{{"interfaces": {{"a": {{"ifDown": {down}}}, "b": {{"ifUp": true, "cost": 7}}}}}}'
    async with fake(tmp_path / "vty", lambda _: [reply(text)]):
        router = FrrRouter(tmp_path / "vty")
        assert await router.costs() == {"b": 7}
        await router.close()


@pytest.mark.parametrize(
    "text", ["", "Codes: K - kernel", "[]", "{}", '{"interfaces": 3}', '{"interfaces": {"a": {}}}']
)
async def test_an_answer_of_another_shape_is_an_error(tmp_path: Path, text: str) -> None:
    async with fake(tmp_path / "vty", lambda _: [reply(text)]):
        router = FrrRouter(tmp_path / "vty")
        with pytest.raises(FrrError):
            await router.costs()
        await router.close()


async def test_callers_at_the_same_time_do_not_mix_their_answers(tmp_path: Path) -> None:
    async with fake(tmp_path / "vty", by_name):
        router = FrrRouter(tmp_path / "vty")
        costs, lsdb, again = await asyncio.gather(router.costs(), router.lsdb(), router.costs())
        assert costs == again == {"r0-r1": 5, "r0-r2": 70}
        assert lsdb == {("10.255.0.1", "10.255.0.2"): 5}
        await router.close()
