"""`python -m coordinator broker DIR`: what a broker over TCP needs, and the credentials of all its clients.

In DIR afterwards::

    mosquitto.conf, rules             TLS, a certificate from everybody, what each client may publish and hear
    ca.crt, server.crt, server.key    the broker's own; `server.key` must be readable by the user it runs as
    ca.key                            signs certificates; no program needs it to run: keep it elsewhere
    coordinator/                      credentials (ca.crt, client.crt, client.key) for python -m coordinator
    agents/<router>/                  the same for each router's agent

A second run in the same DIR keeps all certificates and makes those that are missing, for routers that have come.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.broker import TLS_PORT, BrokerAddress, parse_broker
from agent.credentials import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from coordinator.brokerconf import (
    CONF_FILE,
    COORDINATOR,
    RULES_FILE,
    SERVER_CERTIFICATE,
    SERVER_KEY,
    agent_name,
    mosquitto_conf,
    rules,
)
from coordinator.certificates import MAX_NAME, Authority, Identity, hosts_of, new_authority
from coordinator.config import Parser, domain_name
from coordinator.keygen import write_private
from routing.errors import InputError
from routing.formats import load_topology
from routing.topology import Topology

_CA_KEY = "ca.key"
_DAYS = 825
_EPILOG = f"""\
{(__doc__ or "").partition("afterwards::")[2].strip(chr(10))}

examples:
  python -m coordinator broker tls --topology gbn --listen 192.0.2.254
  python -m coordinator broker tls --topology net.graphml --listen 0.0.0.0:8883 --name broker.example.net

exit codes: 0 done; 2 bad input.
"""


def write_broker(
    folder: Path,
    topology: Topology,
    *,
    domain: str,
    listen: BrokerAddress,
    names: Sequence[str],
    installed: Path,
    user: str,
    days: int,
    now: datetime,
) -> int:
    """Write everything into `folder`; return how many clients' certificates were made. Raises `InputError`.

    Parameters
    ----------
    domain, listen, user : as in `brokerconf.mosquitto_conf`
    names : host names and addresses under which clients reach the broker
    installed : where the folder will lie when the broker runs
    days : how long certificates are good
    now : the time
    """
    for router in topology.nodes:
        if len(agent_name(router).encode()) > MAX_NAME:
            raise InputError(f"router {router!r}, expected names of at most {MAX_NAME - len(agent_name(''))} bytes")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        authority = _authority(folder, f"Lockstep {domain}", now, days)
        _server(folder, authority, names)
        made = 0
        for name in (COORDINATOR, *map(agent_name, topology.nodes)):
            own = folder / name
            if (own / CERTIFICATE_FILE).exists():
                continue
            own.mkdir(parents=True, exist_ok=True)
            (own / CA_FILE).write_bytes((folder / CA_FILE).read_bytes())
            _write(own / CERTIFICATE_FILE, own / KEY_FILE, authority.client(name))
            made += 1
        (folder / RULES_FILE).write_text(rules(topology.nodes, domain), encoding="utf-8")
        conf = mosquitto_conf(topology, domain, listen, installed, user)
        (folder / CONF_FILE).write_text(conf, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", error.filename) from error
    return made


def _authority(folder: Path, name: str, now: datetime, days: int) -> Authority:
    """Return the folder's authority; a new one if it has none."""
    certificate, key = folder / CA_FILE, folder / _CA_KEY
    if not certificate.exists():
        _write(certificate, key, new_authority(name[:MAX_NAME], now=now, days=days))
    if not key.exists():
        raise InputError("is missing, expected the key of this folder's authority to sign with", key)
    try:
        return Authority(Identity(certificate.read_bytes(), key.read_bytes()), now=now, days=days)
    except ValueError as error:
        raise InputError(f"cannot be used ({error}), expected this folder's own authority", certificate) from error


def _server(folder: Path, authority: Authority, names: Sequence[str]) -> None:
    """Make the broker's certificate, or see that the one there is for these names."""
    certificate, key = folder / SERVER_CERTIFICATE, folder / SERVER_KEY
    if not certificate.exists():
        _write(certificate, key, authority.server(names))
        return
    try:
        found = hosts_of(certificate.read_bytes())
    except ValueError as error:
        raise InputError(f"cannot be used ({error}), expected the broker's certificate", certificate) from error
    if not set(names) <= set(found):
        expected = f"expected {', '.join(names)}; delete it and {key.name} for a new one"
        raise InputError(f"is for {', '.join(found)}, {expected}", certificate)


def _write(certificate: Path, key: Path, identity: Identity) -> None:
    write_private(key, identity.key)
    certificate.write_bytes(identity.certificate)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m coordinator broker",
        description="Make the configuration of a mosquitto that agents reach over TCP: TLS, certificates and rules.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="where to write")
    add("--topology", required=True, metavar="NAME|FILE", help="the agents' topology, for the names of the routers")
    add("--listen", required=True, metavar="HOST[:PORT]", help=f"address on which the broker listens [port {TLS_PORT}]")
    add("--name", action="append", default=[], metavar="HOST", help="another name or address clients reach it under")
    add("--domain", type=domain_name, default="default", metavar="NAME", help="which agents [default]")
    add("--installed", type=Path, metavar="DIR", help="where the files will lie on the broker's machine [here]")
    add("--user", default="", metavar="USER", help="whom mosquitto becomes when root starts it [mosquitto]")
    add("--days", type=int, default=_DAYS, metavar="N", help=f"how long certificates are good [{_DAYS}]")
    try:
        given = parser.parse_args(argv)
        listen = parse_broker(given.listen, encrypted=True)
        if listen.path:
            raise InputError(f"--listen {given.listen}, expected host:port (a unix socket needs no certificates)")
        if not 1 <= given.days <= 36500:
            raise InputError(f"--days {given.days}, expected 1..36500")
        if not given.user.replace("-", "").replace("_", "").isalnum() and given.user:
            raise InputError(f"--user {given.user!r}, expected the name of a user")
        installed = (given.installed or given.folder).absolute()
        if not str(installed).isprintable():
            raise InputError(f"folder {str(installed)!r}, expected a printable path: mosquitto.conf has one per line")
        topology = load_topology(given.topology)
        made = write_broker(
            given.folder,
            topology,
            domain=given.domain,
            listen=listen,
            names=[parse_broker(name).host for name in (listen.host, *given.name)],
            installed=installed,
            user=given.user,
            days=given.days,
            now=datetime.now(UTC),
        )
    except InputError as error:
        print(f"coordinator: {error}", file=sys.stderr)
        return 2
    print(f"{given.folder}: {CONF_FILE}, {RULES_FILE} and {made} new clients' credentials, good for {given.days} days")
    print(f"keep {given.folder / _CA_KEY} away from the broker; docs/agent.md, section 5, says what goes where")
    return 0
