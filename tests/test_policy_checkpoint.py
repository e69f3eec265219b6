from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from policy_networks import preset, random_arrays
from safetensors.numpy import save_file

from policy.checkpoint import (
    PRETRAINED,
    load_checkpoint,
    make_checkpoint,
    pretrained_names,
    random_parameters,
    save_checkpoint,
)
from policy.preset import PRESETS
from routing.errors import InputError

DEFAULT = PRESETS["default"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kind = preset(skip=False)
    parameters = random_arrays(kind, 0)
    path = tmp_path / "mine.safetensors"
    saved = save_checkpoint(path, kind, parameters, {"command": "train --it", "seed": "7", "temperature": "0.6"})
    loaded = load_checkpoint(path)
    assert loaded.preset == kind
    assert loaded.metadata == {"command": "train --it", "seed": "7", "temperature": "0.6"}
    assert loaded.hash == saved.hash
    assert len(bytes.fromhex(loaded.hash)) == 16
    assert loaded.temperature == 0.6
    assert list(loaded.parameters) == list(kind.parameter_shapes())
    for name, array in parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], array)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.safetensors"]


def test_the_hash_is_of_preset_and_parameters_only() -> None:
    parameters = random_arrays(DEFAULT, 0)
    first = make_checkpoint(DEFAULT, parameters).hash
    assert make_checkpoint(DEFAULT, dict(reversed(parameters.items())), {"seed": "5"}).hash == first
    assert make_checkpoint(DEFAULT, random_arrays(DEFAULT, 1)).hash != first
    assert make_checkpoint(preset(name="other"), random_arrays(preset(), 0)).hash != first


def test_the_hash_is_the_literal_one() -> None:
    kind = preset()
    ramp = {
        name: np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        for name, shape in kind.parameter_shapes().items()
    }
    assert make_checkpoint(kind, ramp).hash == "091f6bf25bdb5affd7c4ad810afacb1a"


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for seed in (0, 1):
        saved = save_checkpoint(path, DEFAULT, random_arrays(DEFAULT, seed))
        assert load_checkpoint(path).hash == saved.hash


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    saved = save_checkpoint(path, DEFAULT, random_arrays(DEFAULT, 0))
    broken = random_arrays(DEFAULT, 1) | {"skip": np.full(1, np.nan, np.float32)}
    with pytest.raises(InputError, match="skip has NaN"):
        save_checkpoint(path, DEFAULT, broken)
    assert load_checkpoint(path).hash == saved.hash


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return write


def rewritten(
    parameters: dict[str, NDArray[np.generic]] | None = None, metadata: dict[str, str] | None = None
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        arrays = random_arrays(DEFAULT, 0) if parameters is None else parameters
        save_file(arrays, path, {"format": "1", "preset": DEFAULT.to_json()} | (metadata or {}))

    return write


def without(name: str) -> dict[str, NDArray[np.generic]]:
    return {key: array for key, array in random_arrays(DEFAULT, 0).items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (damaged(lambda content: b""), "damaged"),
        (damaged(lambda content: content[:100]), "damaged"),
        (damaged(lambda content: content[:-4]), "damaged"),
        (damaged(lambda content: bytes(1000)), "damaged"),
        (damaged(lambda content: b"\xff" * 1000), "damaged"),
        (rewritten(metadata={"format": "9"}), "checkpoint format is '9', expected '1'"),
        (rewritten(metadata={"preset": "{}"}), "preset cannot be used: expected the fields name"),
        (rewritten(metadata={"preset": "nonsense"}), "preset cannot be used"),
        (rewritten(metadata={"temperature": "warm"}), "temperature is 'warm', expected a number"),
        (rewritten(metadata={"patience": "1/4"}), "patience is '1/4', expected a whole number from 0 to 999"),
        (rewritten(without("update.0.bias")), "no parameter 'update.0.bias'"),
        (rewritten({**random_arrays(DEFAULT, 0), "extra": np.zeros(1, np.float32)}), "an unknown parameter 'extra'"),
        (
            rewritten({**without("skip"), "skip": np.zeros(2, np.float32)}),
            "skip is float32 (2,), expected float32 (1,)",
        ),
        (rewritten({**without("skip"), "skip": np.zeros(1)}), "skip is float64 (1,), expected float32 (1,)"),
        (rewritten({**without("skip"), "skip": np.full(1, np.inf, np.float32)}), "skip has NaN or infinite values"),
        (lambda path: path.unlink(), "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, spoil: Callable[[Path], None], expected: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_checkpoint(path, DEFAULT, random_arrays(DEFAULT, 0))
    spoil(path)
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_says_which_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("policy.checkpoint.PRETRAINED", tmp_path)
    save_checkpoint(tmp_path / "default.safetensors", DEFAULT, random_arrays(DEFAULT, 0))
    assert pretrained_names() == ["default"]
    assert load_checkpoint("default").preset == DEFAULT
    with pytest.raises(InputError, match=r"no checkpoint 'defualt' \(did you mean default\?\), expected a name"):
        load_checkpoint("defualt")


@pytest.mark.parametrize("path", sorted(PRETRAINED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_shipped_checkpoint_loads(path: Path) -> None:
    checkpoint = load_checkpoint(path.stem)
    assert path.stat().st_size < 1 << 20
    assert {"command", "seed", "data", "start"} <= checkpoint.metadata.keys()


def test_random_parameters_are_reproducible_and_start_as_sampled_greedy() -> None:
    for kind in PRESETS.values():
        parameters = random_parameters(kind, 1)
        checkpoint = make_checkpoint(kind, parameters)
        assert checkpoint.hash == make_checkpoint(kind, random_parameters(kind, 1)).hash
        assert checkpoint.hash != make_checkpoint(kind, random_parameters(kind, 2)).hash
    assert random_parameters(DEFAULT, 0)["skip"].tolist() == [3.0]
    assert np.abs(random_parameters(DEFAULT, 0)["readout.1.weight"]).max() < 0.01
