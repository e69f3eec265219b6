"""What the emulation needs of the machine, checked before anything starts: capabilities, programs, FRR's user."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable
from pathlib import Path

from routing.errors import InputError

_INSTALL = "apt-get install -y --no-install-recommends"
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")

# Debian package -> what of it is used.
_PROGRAMS = {
    "frr": ("/usr/lib/frr/zebra", "/usr/lib/frr/ospfd"),
    "iproute2": ("ip", "tc"),
    "mininet": ("mnexec",),
    "net-tools": ("ifconfig",),
    "nftables": ("nft",),
    "mosquitto": ("mosquitto",),
}

# linux/capability.h: enter and make namespaces; configure them; OSPF's raw sockets; give files and processes to user
# frr.
_CAPABILITIES = {
    "CAP_SYS_ADMIN": 21,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SETUID": 7,
    "CAP_SETGID": 6,
    "CAP_CHOWN": 0,
}


def extend_path() -> None:
    """Let this process and those that it starts find system programs, which su and cron leave out of PATH."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*folders, *(f for f in _SYSTEM_FOLDERS if f not in folders)])


def check_emulation(packages: Iterable[str] = tuple(_PROGRAMS)) -> None:
    """Raise InputError, naming what to do, unless this process may and can run the emulation.

    Parameters
    ----------
    packages : the Debian packages that will be needed, among `frr`, `iproute2`, `mininet`, `net-tools`, `nftables`,
    `mosquitto`
    """
    if os.geteuid() != 0:
        raise InputError("root is needed for --fabric mininet: use sudo, or --fabric loopback")
    missing = _missing_capabilities(Path("/proc/self/status").read_text())
    if missing:
        raise InputError(f"root here lacks {', '.join(missing)}, needed for --fabric mininet: use --fabric loopback")
    absent = [package for package in packages if not all(shutil.which(program) for program in _PROGRAMS[package])]
    if absent:
        names = ", ".join(absent)
        raise InputError(f"missing Debian package {names}: run scripts/setup, or {_INSTALL} {' '.join(absent)}")
    try:
        pwd.getpwnam("frr")
    except KeyError as err:
        raise InputError(f"there is no user frr, which package frr makes: run {_INSTALL} --reinstall frr") from err


def _missing_capabilities(status: str) -> list[str]:
    """Read /proc/PID/status: the names of the needed capabilities that are not effective."""
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
