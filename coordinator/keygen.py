"""`python -m coordinator keygen FILE`: a new domain key, which all agents of a domain share."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.config import MAX_KEY_BYTES
from coordinator.config import Parser
from routing.errors import InputError


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read; raises `InputError`, also if there is one already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError("exists and is not overwritten, expected a new file", path) from error
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise InputError(f"cannot be written: {error.strerror}", path) from error


def write_key(path: Path) -> None:
    """Write a fresh domain key; raises `InputError`."""
    write_private(path, secrets.token_bytes(MAX_KEY_BYTES))


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m coordinator keygen",
        description="Make a domain key: 32 random bytes in a new file of mode 0600. All agents of a domain need\n"
        "the same key; bring it to the routers over a channel that keeps it secret (scp).\n"
        "An existing file is not overwritten.",
        epilog="exit codes: 0 done; 2 bad input.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the new file, `key_file` in the agents' configurations"
    )
    try:
        path = parser.parse_args(argv).file
        write_key(path)
    except InputError as error:
        print(f"coordinator: {error}", file=sys.stderr)
        return 2
    print(f"{path}: a domain key, readable by its owner only")
    return 0
