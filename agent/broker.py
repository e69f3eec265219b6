"""Where the MQTT broker is: ``unix:/run/lockstep.sock`` or ``host:port``. Parsed here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing.errors import InputError

PLAIN_PORT, TLS_PORT = 1883, 8883  # registered for MQTT without and with TLS
DOMAIN_PATTERN = r"^[A-Za-z0-9_.-]{1,64}\Z"  # a domain is a level of the MQTT topics
MAX_UNIX_PATH = 107  # sun_path holds 108 bytes with the terminating zero (unix(7))
_EXPECTED = "expected unix:/path, host:port or [IPv6 address]:port"
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class BrokerAddress:
    """A unix socket (`path`), or a TCP `host` and `port` if `path` is empty."""

    path: str = ""
    host: str = ""
    port: int = PLAIN_PORT

    def __str__(self) -> str:
        """Return the text that `parse_broker` turns into this address."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_broker(text: str, *, encrypted: bool = False) -> BrokerAddress:
    """Return the address that a user wrote; without a port it is 1883, or 8883 with TLS. Raises `InputError`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise InputError(f"broker {text!r}: the socket needs an absolute path, {_EXPECTED}")
        if len(path.encode()) > MAX_UNIX_PATH:
            raise InputError(f"broker {text!r}: the path of a unix socket has at most {MAX_UNIX_PATH} bytes")
        return BrokerAddress(path=path)
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise InputError(f"broker {text!r}: {_EXPECTED}")
    port = int(match["port"] or (TLS_PORT if encrypted else PLAIN_PORT))
    if not 1 <= port <= 65535:
        raise InputError(f"broker {text!r}: port {port}, expected 1..65535")
    host = match["v6"] or match["host"]
    if not host.isprintable() or any(not 1 <= len(label) <= 63 for label in host.removesuffix(".").split(".")):
        raise InputError(f"broker {text!r}: no name of a host, {_EXPECTED}")
    return BrokerAddress(host=host, port=port)
