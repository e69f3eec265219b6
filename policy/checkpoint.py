"""Checkpoints: a network's parameters in one safetensors file, with where they come from as its metadata.

| metadata | meaning |
|---|---|
| format | "1" |
| preset | `Preset.to_json` |
| temperature | by which logits are divided before sampling, a multiple of 0.001 (default 1) |
| opening | links whose weight changes in the first step, see `policy.schedule` (default 1) |
| patience | an episode ends when T over this many steps brought nothing better (default 0: it has all T) |
| command, seed, data, start | how it was trained, on what, from which start weights; free text |

Whatever else the trainer notes stays in it. The hash covers what decides, preset and parameters, not the notes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policy.preset import Preset
from policy.schedule import MAX_INCREMENTS, patience_of
from routing.errors import InputError
from routing.files import open_regular

PRETRAINED = Path(__file__).parent / "pretrained"
FORMAT = "1"
_SUFFIX = ".safetensors"
_LARGEST_FILE = 1 << 28  # bytes; a policy that every router holds is a thousandth of it
_INITIAL_SKIP = 3.0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network.

    preset : what it looks like
    parameters : name -> float32 array, finite, shapes as in `Preset.parameter_shapes`
    metadata : notes, str -> str
    hash : 32 hex digits over preset and parameters
    """

    preset: Preset
    parameters: dict[str, NDArray[np.float32]]
    metadata: dict[str, str]
    hash: str

    @property
    def temperature(self) -> float:
        """Recommended sampling temperature, as the routers use it: in whole thousandths."""
        return round(1000 * float(self.metadata.get("temperature", "1"))) / 1000

    @property
    def opening(self) -> int:
        """Recommended number of links in the first step (`policy.schedule`)."""
        return int(self.metadata.get("opening", "1"))

    def patience(self, steps: int) -> int:
        """Return how many of T steps in a row may bring nothing better, as is recommended; 0: any number."""
        return patience_of(steps, self.patience_parts)

    @property
    def patience_parts(self) -> int:
        """Into how many parts T is divided for that; 0: no end before T."""
        return int(self.metadata.get("patience", "0"))


def pretrained_names() -> list[str]:
    """Names of the checkpoints that come with the project."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in PRETRAINED.glob("*" + _SUFFIX))


def checkpoint_hash(preset: Preset, parameters: Mapping[str, NDArray[np.float32]]) -> str:
    """Return the hash (blake2s, 32 hex digits) of everything that decides."""
    digest = hashlib.blake2s(preset.to_json().encode() + b"\0", digest_size=16)
    for name, shape in preset.parameter_shapes().items():
        digest.update(f"{name}{shape}\0".encode() + parameters[name].astype("<f4").tobytes())
    return digest.hexdigest()


def make_checkpoint(
    preset: Preset, parameters: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str] | None = None
) -> Checkpoint:
    """Check the parameters against the preset and the metadata; raises `InputError` that says what was expected."""
    notes = {name: text for name, text in (metadata or {}).items() if name not in ("format", "preset")}
    shapes = preset.parameter_shapes()
    odd = sorted(parameters.keys() ^ shapes.keys())
    if odd:
        kind = "an unknown" if odd[0] in parameters else "no"
        raise InputError(
            f"has {kind} parameter {odd[0]!r}, expected {len(shapes)} parameters of preset {preset.name!r}"
        )
    for name, shape in shapes.items():
        array = parameters[name]
        if array.dtype != np.float32 or array.shape != shape:
            raise InputError(f"parameter {name} is {array.dtype} {array.shape}, expected float32 {shape}")
        if not np.isfinite(array).all():
            raise InputError(f"parameter {name} has NaN or infinite values, expected finite ones")
    try:
        temperature = float(notes.get("temperature", "1"))
    except ValueError:
        temperature = float("nan")
    if not 0.001 <= temperature <= 1000.0:
        raise InputError(f"temperature is {notes['temperature']!r}, expected a number from 0.001 to 1000")
    opening = notes.get("opening", "1")
    if not (opening.isascii() and opening.isdigit() and 1 <= int(opening[:4]) <= MAX_INCREMENTS):
        raise InputError(f"opening is {opening!r}, expected a whole number from 1 to {MAX_INCREMENTS}")
    patience = notes.get("patience", "0")
    if not (patience.isascii() and patience.isdigit() and len(patience) <= 3):
        raise InputError(f"patience is {patience!r}, expected a whole number from 0 to 999")
    arrays = {name: np.array(parameters[name], order="C") for name in shapes}
    return Checkpoint(preset, arrays, notes, checkpoint_hash(preset, arrays))


def save_checkpoint(
    path: str | os.PathLike[str],
    preset: Preset,
    parameters: Mapping[str, NDArray[np.float32]],
    metadata: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Write a checkpoint atomically, so that readers of `path` see the old file or the whole new one; return it."""
    checkpoint = make_checkpoint(preset, parameters, metadata)
    notes = {**checkpoint.metadata, "format": FORMAT, "preset": preset.to_json()}
    content = save(checkpoint.parameters, notes)
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return checkpoint


def load_checkpoint(name_or_path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint: a name in ``policy/pretrained/`` or the path of a file.

    Raises InputError, naming the file and what was expected: not there, not safetensors, another format, an unknown
    preset, parameters that are missing, of another shape, or not finite.
    """
    path = _resolve(name_or_path)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_FILE:
                raise InputError(f"larger than {_LARGEST_FILE >> 20} MiB, expected a checkpoint of this project", path)
            content = file.read()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}, expected a checkpoint", path) from error
    try:
        parameters, metadata = load(content), _metadata(content)
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise InputError("damaged, expected a checkpoint in safetensors format", path) from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"checkpoint format is {metadata.get('format')!r}, expected {FORMAT!r}", path)
    try:
        preset = Preset.from_json(metadata.get("preset", ""))
    except ValueError as error:
        raise InputError(f"preset cannot be used: {error}", path) from error
    try:
        return make_checkpoint(preset, parameters, metadata)
    except InputError as error:
        raise InputError(error.message, path) from error


def random_parameters(preset: Preset, seed: int) -> dict[str, NDArray[np.float32]]:
    """Draw parameters of an untrained network, the same on every machine.

    Uniform with the variance that keeps a signal's size (He et al. 2015 for leaky ReLU, Glorot and Bengio 2010 for
    tanh), biases zero; the last readout layer a hundredth of that and `skip` 3, so that an untrained `default` policy
    samples links in proportion to exp(3 u / max u).
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    gain = 6.0 if preset.activation == "leaky_relu" else 3.0
    last = f"readout.{len(preset.readout) - 1}.weight"
    parameters: dict[str, NDArray[np.float32]] = {}
    for name, shape in preset.parameter_shapes().items():
        if len(shape) == 2:
            limit = np.sqrt(gain / shape[1]) * (0.01 if name == last else 1.0)
            parameters[name] = ((2.0 * generator.random(shape) - 1.0) * limit).astype(np.float32)
        else:
            parameters[name] = np.full(shape, _INITIAL_SKIP if name == "skip" else 0.0, dtype=np.float32)
    return parameters


def _metadata(content: bytes) -> dict[str, str]:
    """Read the metadata, which the format keeps in a JSON header behind its length (8 bytes, little-endian)."""
    size = int.from_bytes(content[:8], "little")
    header: Any = json.loads(content[8 : 8 + size])
    return {str(name): str(text) for name, text in header.get("__metadata__", {}).items()}


def _resolve(name_or_path: str | os.PathLike[str]) -> Path:
    text = os.fspath(name_or_path)
    path = Path(text)
    if path.suffix == _SUFFIX or path.is_file() or os.sep in text:
        return path
    shipped = PRETRAINED / (text + _SUFFIX)
    if shipped.is_file():
        return shipped
    names = pretrained_names()
    near = get_close_matches(text, names, n=3, cutoff=0.5) or names
    hint = f" (did you mean {', '.join(near)}?)" if near else ""
    raise InputError(f"no checkpoint {text!r}{hint}, expected a name in policy/pretrained or a {_SUFFIX} file")
