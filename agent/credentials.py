"""How to enter a broker: over a unix socket, with certificates over TLS, or unprotected if the operator insists.

A folder of credentials, which ``python -m coordinator broker`` writes, holds three files in PEM: ``ca.crt``, which
signed the broker's certificate; ``client.crt``, this program's own; ``client.key``, its private key, readable by the
owner only. The broker's certificate has to be of the host that its address names.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from agent.broker import BrokerAddress, parse_broker
from routing.errors import InputError
from routing.files import open_private, open_regular

SILENT_S = 5  # without a word from the broker's machine for so many seconds a connection over TCP is lost
# Where the broker is reached over the network that is routed here, a connection may fall silent: its path was cut, or
# it comes from the address of a link that failed. MQTT's own keep-alive notices that after 15 to 30 s, in which results
# wait and the coordinator loses its patience; the kernel's is sooner, and works while a program computes, too.
TCP_OPTIONS = (
    # Nagle and delayed acknowledgements together add 40 ms to each QoS 1 exchange.
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENT_S),
)
CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "client.crt", "client.key"


@dataclass(frozen=True)
class Door:
    """A broker's address, and the TLS context to enter with; None: a unix socket, or an unprotected connection."""

    address: BrokerAddress
    tls: ssl.SSLContext | None = None


def open_door(broker: str, credentials: str = "", *, insecure: bool = False) -> Door:
    """Return how to enter a broker.

    Parameters
    ----------
    broker : ``unix:/path`` or ``host:port``
    credentials : folder with certificates; empty: none
    insecure : the operator allows a connection that is neither encrypted nor authenticated

    Raises
    ------
    InputError : not an address; credentials that cannot be used; an unprotected connection that nobody allowed
    """
    address = parse_broker(broker, encrypted=bool(credentials))
    if address.path:
        if credentials:
            raise InputError(f"broker {broker!r}: a unix socket takes no credentials, expected host:port with them")
        return Door(address)
    if credentials and insecure:
        raise InputError(f"broker {broker!r}: both credentials and insecure_broker, expected one of them")
    if credentials:
        return Door(address, load_credentials(Path(credentials)))
    if insecure:
        return Door(address)
    raise InputError(
        f"broker {broker!r}: whoever reaches it could give orders, expected credentials for TLS, a unix socket, or "
        "insecure_broker to allow it"
    )


def load_credentials(folder: Path) -> ssl.SSLContext:
    """Return a TLS context that checks the broker's name and shows this program's certificate; raises InputError."""
    ca, certificate, key = (folder / name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE))
    try:
        open_private(key).close()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the private key: {_why(error)}", key) from error
    try:
        open_regular(ca).close()  # OpenSSL would wait for somebody to write into a FIFO
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be used: {_why(error)}, expected the broker's CA in PEM", ca) from error
    try:
        open_regular(certificate).close()
        # Without a password function OpenSSL would ask on the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be used: {_why(error)}, expected a certificate in PEM and its unencrypted key {key.name}",
            certificate,
        ) from error
    return context


def _why(error: OSError | ValueError) -> str:
    # The first line: OpenSSL's own names its source file.
    return (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
