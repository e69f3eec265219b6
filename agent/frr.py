"""FRR adapter: reads and writes the OSPF costs of one router through ospfd's own command socket.

A vtysh process per command takes most of a second where seventeen routers share two cores; its socket answers in a
millisecond. What vtysh speaks there (FRR 8 to 10, lib/vty.c): the client sends a command and a zero byte; the daemon
answers with text, three zero bytes and the command's return code.

Only the standard library: an agent has to stay small.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any, NamedTuple

_END_OF_REPLY = b"\0\0\0"
# More LSAs than this are asked for all together. Of a hundred, the list takes ospfd 0.16 ms, one 0.07 ms, all 1.5 ms.
_FEW = 16
_MAX_AGE = 3600  # seconds; an LSA of this age is being withdrawn (RFC 2328, B)
_MAX_METRIC = 65535  # 16 bits (RFC 2328, A.4.2)
_POINT_TO_POINT = "another Router (point-to-point)"


class FrrError(Exception):
    """The OSPF daemon refused a command or answered with something else than expected."""


class FrrUnavailable(FrrError):
    """The OSPF daemon cannot be reached, or went away in the middle of a command."""


class _Lsa(NamedTuple):
    """A router's LSA: sequence number and check sum, which tell its instances apart (RFC 2328, 13.1), and metrics."""

    instance: tuple[str, str]
    metrics: dict[str, int]  # neighbour's router id -> metric


_Name = tuple[str, str]  # of an LSA: area, router id


class FrrRouter:
    """The OSPF daemon of one router.

    The connection is made when first needed and kept; after the daemon was restarted, the next call finds it again.

    Parameters
    ----------
    vty : path of ospfd's socket, usually /run/frr/ospfd.vty
    timeout_s : how long one command may take
    """

    def __init__(self, vty: str | os.PathLike[str], *, timeout_s: float = 5.0) -> None:
        self.vty = os.fspath(vty)
        self.timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()
        self._lsas: dict[_Name, _Lsa] = {}  # as last read

    async def close(self) -> None:
        """Close the connection, if there is one."""
        async with self._lock:
            await self._disconnect()

    async def costs(self) -> dict[str, int]:
        """Return the cost of each interface over which OSPF looks for neighbours: name -> cost, 1..65535.

        An interface that has just gone down may still be listed, without a cost, and with "ifDown", whatever that says.

        Raises
        ------
        FrrError, FrrUnavailable
        """
        answer = await self._json("show ip ospf interface json")
        with _expected("interfaces"):
            interfaces: dict[str, Any] = answer["interfaces"]
            return {
                name: int(facts["cost"])
                for name, facts in interfaces.items()
                if not facts.get("timerPassiveIface", False) and ("cost" in facts or "ifDown" not in facts)
            }

    async def set_costs(self, costs: Mapping[str, int], awake: Callable[[], bool] = lambda: True) -> None:
        """Set the costs of some interfaces, in one go.

        Parameters
        ----------
        costs : interface name -> cost, 1..65535; nothing is changed unless OSPF runs on all of these interfaces
        awake : asked before each command; once it says no, no more is written

        Raises
        ------
        ValueError
            If a cost is out of range.
        FrrError
            If an interface is unknown, a command was refused or not written; costs before it are then set.
        FrrUnavailable
            If the daemon went away meanwhile; `costs` and `lsdb` tell what was done.
        """
        for interface, cost in costs.items():
            if not 1 <= cost <= 65535:
                raise ValueError(f"cost {cost} of {interface}, expected 1..65535")
        if not costs:
            return
        # ospfd would accept "interface X" for any X and remember it for an interface to come.
        unknown = sorted(set(costs) - set(await self.costs()))
        if unknown:
            raise FrrError(f"{self.vty}: OSPF does not run on {', '.join(unknown)}")
        lines = ["enable", "configure terminal"]
        for interface, cost in costs.items():
            lines += [f"interface {interface}", f"ip ospf cost {cost}"]
        await self.run([*lines, "end"], awake)

    async def lsdb(self) -> dict[tuple[str, str], int]:
        """Return what OSPF routes over: (router id, neighbour's router id) -> metric, from every router's LSA.

        Only what has changed since the last call is read: agents ask often, and the LSAs of a large network are long.

        Raises
        ------
        FrrError, FrrUnavailable
        """
        listed = _listed(await self._json("show ip ospf database json"))
        lsas = {name: lsa for name, lsa in self._lsas.items() if listed.get(name) == lsa.instance}
        unread = sorted(listed.keys() - lsas.keys())
        questions = [f"show ip ospf database router {router} json" for _, router in unread]
        for question in questions if len(questions) <= _FEW else ["show ip ospf database router json"]:
            lsas |= _read(await self._json(question))
        self._lsas = lsas
        return {(router, peer): metric for (_, router), lsa in lsas.items() for peer, metric in lsa.metrics.items()}

    async def run(self, commands: Sequence[str], awake: Callable[[], bool] = lambda: True) -> list[str]:
        """Run commands one after the other on one connection, as long as `awake`, and return their outputs.

        A kept connection may turn out to be one to a daemon that has been restarted since: the commands are then run
        once more on a fresh one. All commands used here may be repeated.

        Raises
        ------
        FrrError
            At the first command that is refused: its name, return code and text; or that is not written.
        FrrUnavailable
            If there is no daemon, it hangs up, or it takes longer than the time-out.
        """
        async with self._lock:
            kept = self._streams is not None
            try:
                return await self._run(commands, awake)
            except FrrUnavailable:
                if not kept:
                    raise
                return await self._run(commands, awake)

    async def _run(self, commands: Sequence[str], awake: Callable[[], bool]) -> list[str]:
        outputs = []
        done = False
        command = ""
        try:
            async with asyncio.timeout(self.timeout_s * max(1, len(commands))):
                reader, writer = await self._connect()
                for command in commands:
                    if not awake():
                        raise FrrError(f"{self.vty}: {command!r} comes too late: this process was stopped for a while")
                    writer.write(command.encode() + b"\0")
                    await writer.drain()
                    text, code = await _reply(reader)
                    if code != 0:
                        raise FrrError(f"{self.vty}: {command!r} failed with {code}: {text.strip()}")
                    outputs.append(text)
            done = True
        except TimeoutError as err:
            raise FrrUnavailable(f"{self.vty}: no answer to {command!r} within {self.timeout_s:g} s") from err
        except (OSError, EOFError) as err:
            raise FrrUnavailable(f"{self.vty}: {err or 'closed'}") from err
        finally:
            # After a failure the daemon is somewhere in its tree of modes, or its answer still under way: start afresh.
            if not done:
                await self._disconnect()
        return outputs

    async def _json(self, command: str) -> dict[str, Any]:
        (text,) = await self.run([command])
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise FrrError(f"{self.vty}: {command!r} gave no JSON: {text[:80]!r}") from err
        if not isinstance(answer, dict):
            raise FrrError(f"{self.vty}: {command!r} gave {type(answer).__name__}, expected an object")
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self.vty)
        return self._streams

    async def _disconnect(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:  # it was broken already, which is why it is closed
                return


async def _reply(reader: asyncio.StreamReader) -> tuple[str, int]:
    """Read one reply: (text, return code). Raises EOFError if the daemon hangs up early, FrrError if more follows."""
    buffer = bytearray()
    while True:
        end = buffer.find(_END_OF_REPLY)
        if end >= 0 and len(buffer) > end + len(_END_OF_REPLY):
            break
        data = await reader.read(1 << 16)
        if not data:
            raise EOFError("the daemon hung up")
        buffer += data
    if len(buffer) > end + len(_END_OF_REPLY) + 1:
        raise FrrError(f"unasked output of the daemon: {bytes(buffer[end + 4 :])[:80]!r}")
    return buffer[:end].decode(errors="replace"), buffer[-1]


def _listed(answer: dict[str, Any]) -> dict[_Name, tuple[str, str]]:
    """Return the instance of each router LSA in a list of all, those left out that are being withdrawn."""
    with _expected("a list of router LSAs"):
        return {
            (area, str(IPv4Address(lsa["advertisedRouter"]))): (lsa["sequenceNumber"], lsa["checksum"])
            for area, lists in answer["areas"].items()
            for lsa in lists.get("routerLinkStates", [])
            if lsa["lsaAge"] < _MAX_AGE
        }


def _read(answer: dict[str, Any]) -> dict[_Name, _Lsa]:
    """Return the router LSAs of an answer, likewise."""
    lsas = {}
    with _expected("router LSAs"):
        for area, found in answer["routerLinkStates"]["areas"].items():
            for lsa in found:
                if lsa["lsaAge"] < _MAX_AGE:
                    links = lsa.get("routerLinks", {}).values()
                    metrics = {
                        link["neighborRouterId"]: _metric(link) for link in links if link["linkType"] == _POINT_TO_POINT
                    }
                    lsas[area, lsa["advertisingRouter"]] = _Lsa((lsa["lsaSeqNumber"], lsa["checksum"]), metrics)
    return lsas


def _metric(link: dict[str, Any]) -> int:
    metric = int(link["tos0Metric"])
    if not 0 <= metric <= _MAX_METRIC:
        raise ValueError(f"metric {metric}")
    return metric


@contextmanager
def _expected(what: str) -> Iterator[None]:
    """Turn a missing or misshapen part of the daemon's JSON into an FrrError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as err:
        raise FrrError(f"ospfd's answer lacks {what} as expected: {err!r}") from err
