"""Kernels built ahead of time: the same bits as numba's, loaded from nowhere but the user's own folder."""

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from policy.layers import WIDEST
from routing import jit, prebuilt
from routing.ecmp import Int64
from routing.heap import pop, push
from routing.jit import njit

HERE = Path(__file__).parent
BY_NUMBA = {"NUMBA_CAPTURED_ERRORS": "new_style"}  # its default; that it is set at all is what counts

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("ld", "ld.lld", "mold"))), reason="no linker: numba compiles everything"
)


def run(arguments: list[str], **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"} | variables
    done = subprocess.run(
        [sys.executable, *arguments], cwd=HERE.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built() -> Any:
    """The extension module, made if it is absent (the set-up does)."""
    assert "built" in run(["-m", "policy.warm"])
    module = prebuilt.load()
    assert module is not None
    return module


def test_an_agent_imports_no_compiler_and_an_episode_needs_none(built: Any) -> None:
    code = (
        "import sys, agent.__main__, emulation.main\n"
        "from policy.warm import warm\n"
        "warm()\n"
        "import numpy, policy.mpnn, policy.checkpoint\n"
        "default = policy.checkpoint.load_checkpoint('default')\n"
        "network = policy.mpnn.Network(default.preset, default.parameters)\n"
        "own = network.initial(numpy.zeros((3, default.preset.num_features), numpy.float32))\n"
        "network.readout(network.round(own, own), numpy.zeros((3, default.preset.num_features), numpy.float32))\n"
        "print(*({'numba', 'llvmlite', 'scipy', 'networkx', 'matplotlib'} & sys.modules.keys()))"
    )
    assert run(["-c", code]).split() == []


@pytest.mark.parametrize("arguments", [["policy_bits.py"], ["prebuilt_bits.py"]], ids=["functions", "episodes"])
def test_the_bits_are_numbas(built: Any, arguments: list[str]) -> None:
    script = [str(HERE / arguments[0])]
    by_numba = run(script, **BY_NUMBA)
    assert run(script) == by_numba
    assert by_numba.strip()


def test_numbas_variables_ask_for_numba(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert prebuilt.load() is None


def test_another_source_another_file(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prebuilt.file()
    assert first is not None and first == prebuilt.file()
    sources = prebuilt.kernel_modules(prebuilt.FOLDERS)
    changed = sources | {"routing.ecmp": sources["routing.ecmp"] + b"\n"}
    monkeypatch.setattr(prebuilt, "kernel_modules", lambda folders: changed)
    assert prebuilt.file() != first


def test_every_module_with_kernels_counts() -> None:
    found = prebuilt.kernel_modules(prebuilt.FOLDERS).keys()
    assert {"routing.ecmp", "routing.change", "policy.layers", "policy.mpnn", "policy.sampling"} <= found
    assert not {"routing.jit", "routing.compiler", "routing.prebuild"} & found


def place(built: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a copy of the extension module into a folder, and let it be looked for there."""
    original = prebuilt.file()
    assert original is not None
    folder.mkdir(mode=0o755)
    path = folder / original.name
    shutil.copy(original, path)
    path.chmod(0o755)
    monkeypatch.setattr(prebuilt, "file", lambda: path)
    return path


def test_a_private_copy_is_loaded(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(built, tmp_path / "own", monkeypatch)
    assert prebuilt.load() is not None


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_others_may_write_is_not_loaded(
    built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    path = place(built, tmp_path / "own", monkeypatch)
    path.chmod(mode)
    assert prebuilt.load() is None
    path.chmod(0o755)
    path.parent.chmod(mode)
    assert prebuilt.load() is None


def test_what_another_user_owns_is_not_loaded(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(built, tmp_path / "own", monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert prebuilt.load() is None


def test_a_link_is_not_followed(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(built, tmp_path / "own", monkeypatch)
    other = path.rename(path.with_name("other.so"))
    path.symlink_to(other)
    assert prebuilt.load() is None


def test_garbage_is_not_loaded(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(built, tmp_path / "own", monkeypatch).write_bytes(b"\x7fELF, and then nothing of the kind")
    assert prebuilt.load() is None


def test_python_can_call_all_but_three(built: Any) -> None:
    """What returns an array or a tuple is for other kernels; an agent that calls it waits seconds for numba."""
    names = "from importlib import import_module\nfrom routing import jit, prebuilt\n"
    names += "for module in prebuilt.kernel_modules(prebuilt.FOLDERS): import_module(module)\nprint(*jit.KERNELS)"
    kernels = set(run(["-c", names]).split())
    assert "routing.ecmp.evaluate" in kernels
    absent = {name for name in kernels if not hasattr(built, name)}
    assert absent == {"policy.layers._layers", "policy.few._layers", "policy.sampling.philox"}


def test_results_of_every_kind(built: Any) -> None:
    assert getattr(built, "policy.portable.half")(1 / 3) == np.float16(1 / 3)
    assert getattr(built, "policy.portable.log")(1.0) == 0.0
    assert getattr(built, "policy.few._bits")(-2.0) == np.float16(-2.0).view(np.uint16)
    assert getattr(built, "routing.heap.push")(heap_of(0), 0, 7) is None
    acyclic = getattr(built, "routing.transition._acyclic")
    begins, scratch = np.array([0, 1, 2, 2], dtype=np.int32), np.zeros((2, 3), dtype=np.int32)
    for ends, answer in (([1, 2], True), ([1, 0], False)):
        assert acyclic(begins, np.array(ends, dtype=np.int32), np.ones(2, dtype=bool), *scratch) is answer


def heap_of(*keys: int) -> NDArray[np.int64]:
    return np.array(keys, dtype=np.int64)


def test_a_call_checks_its_arguments(built: Any) -> None:
    take = getattr(built, "routing.heap.pop")
    assert take(heap_of(3, 8, 5), 3) == 3
    assert take(heap_of(3, 8, 5), np.int64(3)) == 3
    readonly = heap_of(1)
    readonly.flags.writeable = False
    foreign = heap_of(1).astype(">i8")
    wrong: list[tuple[Any, ...]] = [
        (heap_of(1),),
        (heap_of(1), 1, 1),
        ([1], 1),
        (heap_of(1).astype(np.int32), 1),
        (heap_of(1).reshape(1, 1), 1),
        (heap_of(1, 2, 3, 4)[::2], 2),
        (readonly, 1),
        (foreign, 1),
        (heap_of(1), "1"),
        (heap_of(1), 1.5),
        (None, 1),
    ]
    for arguments in wrong:
        with pytest.raises(TypeError):
            take(*arguments)
    with pytest.raises(TypeError, match=r"routing\.heap\.pop takes 2 arguments \(array\(int64, 1d, C\), int64\)"):
        take()
    with pytest.raises(OverflowError):
        take(heap_of(1), 1 << 64)


def test_calls_leave_no_references_behind(built: Any) -> None:
    take, nothing = getattr(built, "routing.heap.pop"), getattr(built, "routing.heap.push")
    heap = heap_of(*range(100))
    size = 10**6 + 7
    gc.collect()
    gc.disable()  # what a collection frees meanwhile may have held None hundreds of times
    try:
        before = sys.getrefcount(heap), sys.getrefcount(size), sys.getrefcount(None)
        for _ in range(1000):
            take(heap, 100)
            assert nothing(heap, 99, size) is None
            with pytest.raises(TypeError):
                take(heap, heap)
        after = sys.getrefcount(heap), sys.getrefcount(size), sys.getrefcount(None)
    finally:
        gc.enable()
    assert after[:2] == before[:2]
    assert abs(after[2] - before[2]) < 100  # others use None, too; a leak would show a thousand


def test_a_kernel_without_room_says_so(built: Any) -> None:
    """Its arrays would be larger than any memory."""
    forward = getattr(built, "policy.mpnn.forward")
    plan = np.zeros(64, dtype=np.int64)
    plan[WIDEST] = 1 << 60
    x, nobody = np.zeros((4, 4), dtype=np.float32), np.zeros(0, dtype=np.uint32)
    with pytest.raises(RuntimeError, match=r"policy\.mpnn\.forward failed"):
        forward(x[0].copy(), plan, nobody, nobody, np.zeros(5, dtype=np.int64), x, x[0].copy())


@njit("i8(i8[::1])")
def _sorted_first(keys: Int64) -> int:
    """A kernel that numba compiles, and that calls built ones."""
    heap = np.empty_like(keys)
    for size in range(keys.shape[0]):
        push(heap, size, keys[size])
    return pop(heap, keys.shape[0])


def test_a_kernel_that_numba_compiles_calls_built_ones() -> None:
    assert _sorted_first(heap_of(5, 3, 9)) == 3
    assert "_sorted_first" in {name.rpartition(".")[2] for name in jit.KERNELS}
