"""The FRR adapter against a fake ospfd on a unix socket: byte-exact framing, fragments, refusals, restarts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
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
LSDB = {"10.255.0.1": [("10.255.0.2", 5)], "10.255.0.2": []}  # router id -> neighbours and metrics


class Area:
    """What ospfd knows, and says of it; `withdrawn` LSAs are of the greatest age."""

    def __init__(self, lsdb: Mapping[str, list[tuple[str, int]]], *, withdrawn: tuple[str, ...] = ()) -> None:
        self.lsdb = dict(lsdb)
        self.withdrawn = set(withdrawn)
        self.number = dict.fromkeys(lsdb, 1)
        self.asked: list[bytes] = []

    def change(self, router: str, links: list[tuple[str, int]]) -> None:
        """Let the router issue its LSA again."""
        self.lsdb[router] = links
        self.number[router] = self.number.get(router, 0) + 1

    def answer(self, command: bytes) -> list[bytes]:
        """Answer as ospfd does."""
        self.asked.append(command)
        if command == b"show ip ospf database json":
            lists = {"areas": {"0.0.0.0": {"routerLinkStates": [self._listed(router) for router in self.lsdb]}}}
            return [reply(json.dumps({"routerId": "10.255.0.1", **lists}))]
        routers = [router for router in self.lsdb if command in (b"show ip ospf database router json", one(router))]
        if command.startswith(b"show ip ospf database router "):
            lsas = {"routerLinkStates": {"areas": {"0.0.0.0": [self._lsa(router) for router in routers]}}}
            return [reply(json.dumps({"routerId": "10.255.0.1", **lsas}))]
        return [reply("")]

    def _listed(self, router: str) -> dict[str, object]:
        return {
            "lsId": router,
            "advertisedRouter": router,
            "lsaAge": 3600 if router in self.withdrawn else 3,
            "sequenceNumber": f"{0x80000000 + self.number[router]:x}",
            "checksum": "94a9",
        }

    def _lsa(self, router: str) -> dict[str, object]:
        stub = {"linkType": "Stub Network", "networkAddress": router, "tos0Metric": 0}
        links = {"link0": stub} | {
            f"link{number}": {
                "linkType": "another Router (point-to-point)",
                "neighborRouterId": peer,
                "tos0Metric": metric,
            }
            for number, (peer, metric) in enumerate(self.lsdb[router], 1)
        }
        listed = self._listed(router)
        return {
            "lsaAge": listed["lsaAge"],
            "advertisingRouter": router,
            "lsaSeqNumber": listed["sequenceNumber"],
            "checksum": listed["checksum"],
            **({"routerLinks": links} if self.lsdb[router] else {}),
        }


def one(router: str) -> bytes:
    return f"show ip ospf database router {router} json".encode()


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
    return Area(LSDB).answer(command)


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
    area = Area({**LSDB, "10.255.0.9": [("10.255.0.1", 1)]}, withdrawn=("10.255.0.9",))
    async with fake(tmp_path / "vty", area.answer):
        router = FrrRouter(tmp_path / "vty")
        assert await router.lsdb() == {("10.255.0.1", "10.255.0.2"): 5}
        await router.close()


async def test_only_lsas_that_changed_are_read_again(tmp_path: Path) -> None:
    area = Area({f"10.255.0.{n}": [(f"10.255.0.{n + 1}", n)] for n in range(1, 41)})
    async with fake(tmp_path / "vty", area.answer):
        router = FrrRouter(tmp_path / "vty")
        whole = await router.lsdb()
        assert whole == {(f"10.255.0.{n}", f"10.255.0.{n + 1}"): n for n in range(1, 41)}
        assert area.asked == [b"show ip ospf database json", b"show ip ospf database router json"]

        area.asked.clear()
        assert await router.lsdb() == whole
        assert area.asked == [b"show ip ospf database json"]

        area.asked.clear()
        area.change("10.255.0.7", [("10.255.0.8", 99), ("10.255.0.6", 3)])
        area.change("10.255.0.50", [("10.255.0.1", 2)])
        area.withdrawn = {"10.255.0.9"}
        wanted = {**whole, ("10.255.0.7", "10.255.0.8"): 99, ("10.255.0.7", "10.255.0.6"): 3}
        wanted[("10.255.0.50", "10.255.0.1")] = 2
        del wanted[("10.255.0.9", "10.255.0.10")]
        assert await router.lsdb() == wanted
        assert area.asked == [b"show ip ospf database json", one("10.255.0.50"), one("10.255.0.7")]

        area.withdrawn = set()
        wanted[("10.255.0.9", "10.255.0.10")] = 9
        assert await router.lsdb() == wanted
        await router.close()


async def test_an_lsa_that_goes_between_two_questions_is_gone(tmp_path: Path) -> None:
    area = Area(LSDB)

    def answer(command: bytes) -> list[bytes]:
        if command == one("10.255.0.1"):
            area.withdrawn = {"10.255.0.1"}
        return area.answer(command)

    async with fake(tmp_path / "vty", answer):
        router = FrrRouter(tmp_path / "vty")
        assert await router.lsdb() == {}
        assert area.asked == [b"show ip ospf database json", one("10.255.0.1"), one("10.255.0.2")]
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


async def test_once_it_is_too_late_no_more_is_written(tmp_path: Path) -> None:
    """Between two commands this process was stopped for so long that others have decided otherwise."""
    async with fake(tmp_path / "vty", by_name) as daemon:
        router = FrrRouter(tmp_path / "vty")
        with pytest.raises(FrrError, match=r"'ip ospf cost 9' comes too late"):
            await router.set_costs({"r0-r2": 9}, lambda: b"interface r0-r2\0" not in daemon.received)
        assert b"cost 9" not in daemon.received
        await router.set_costs({"r0-r2": 8})
        assert daemon.connections == 2
        assert daemon.received.endswith(b"configure terminal\0interface r0-r2\0ip ospf cost 8\0end\0")
        await router.close()


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
