"""What a run needs to go on as if it had never stopped: one file, replaced atomically after every iteration.

`state.pt` holds parameters and optimiser, the generator of the minibatches, how far the run is and the best validation
so far. Instances and samples are drawn from counters, not from a state. The file appears whole or not at all, and
after the checkpoints of its iteration: a run that was killed between the two writes the same checkpoints again.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import torch

from routing.errors import InputError
from trainer.args import Args, option, parse

FORMAT = 1
NAME = "state.pt"
# What may differ when a run goes on. The first two move its end and with it the learning rates, device and threads the
# last bits: no longer the same run.
_FREE = ("iterations", "minutes", "resume", "device", "threads", "workers", "ray")
# What torch's reader raises for damaged bytes: it checks little before it uses what it finds.
_DAMAGED = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


def write_state(folder: Path, args: Args, state: dict[str, Any]) -> None:
    """Replace the state of the run in `folder`, atomically."""
    content = BytesIO()
    torch.save({"format": FORMAT, "arguments": json.dumps(asdict(args), default=str), **state}, content)
    partial = folder / f".{NAME}.partial"
    with partial.open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, folder / NAME)


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state of the run in `folder`; InputError where there is none, or not of this format."""
    path = folder / NAME
    if not path.is_file():
        raise InputError(f"no {NAME}, expected the folder of a training run", folder)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise InputError("damaged, expected the state of a training run", path) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"expected the state of a training run, format {FORMAT}", path)
    return state


def arguments(argv: Sequence[str]) -> Args:
    """Read a command line, which may continue a run: then all that it does not say is as it was.

    Raises InputError for a folder without a run, or an argument that cannot change on the way.
    """
    if (name := option(argv, "--resume")) is None:
        return parse(argv)
    folder = Path(name)
    stored = replace(_stored(folder), resume=folder, out=folder)
    args = parse(argv, stored)
    for field in fields(Args):
        if field.name not in _FREE and getattr(args, field.name) != getattr(stored, field.name):
            expected = f"{field.name.replace('_', '-')} {getattr(stored, field.name)}"
            raise InputError(f"cannot go on with other arguments, expected --{expected}", folder / NAME)
    return args


def _stored(folder: Path) -> Args:
    text = read_state(folder).get("arguments")
    try:
        if not isinstance(text, str):
            raise TypeError(f"{type(text).__name__} instead of text")
        data = msgspec.json.decode(text, type=dict[str, Any])
        stored = msgspec.convert(data, Args, dec_hook=lambda kind, value: kind(value))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise InputError(f"arguments are damaged ({error}), expected those of a training run", folder / NAME) from error
    if odd := sorted(data.keys() - {field.name for field in fields(Args)}):
        raise InputError(f"unknown argument {odd[0]!r}, expected the run of this version", folder / NAME)
    return stored
