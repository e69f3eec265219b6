"""Kernels compiled by numba when they are needed, cached outside the clone.

numba's cache notices a change of the file that a kernel stands in, not of the kernels that it calls in other files,
so a stale machine code could survive an edit. The cache folder is therefore named after a hash of every kernel source
in the house.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

import numba
from numba import types
from numba.extending import typeof_impl

from routing.jit import KERNELS, Kernel
from routing.prebuilt import cache_root, source_digest

_FOLDERS = ("routing", "policy", "baselines", "trainer")


def cache_folder() -> Path:
    """Return the folder of the compiled kernels: one per content of the kernel sources, made when absent."""
    digest = source_digest(_FOLDERS)
    digest.update(Path(__file__).read_bytes())
    folder = cache_root() / f"numba-{digest.hexdigest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # Compiled code is loaded from here: never from a folder that somebody else could have prepared.
        folder = Path(tempfile.mkdtemp(prefix="lockstep-numba-"))
    return folder


numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]

_compiled: dict[str, Any] = {}


def compiled(kernel: Kernel) -> Any:
    """Return numba's dispatcher of a kernel, compiled at the first call if it has a signature."""
    if kernel.name not in _compiled:
        options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
        if kernel.inline:
            options["forceinline"] = True
        compiler: Any = numba.njit
        _compiled[kernel.name] = compiler(kernel.signature, **options)(kernel.function)
    return _compiled[kernel.name]


def _type_of_built(value: Any, _context: Any) -> Any:
    """To a kernel that calls it, one from the extension module is what numba makes of its source."""
    kernel = KERNELS.get(value.__name__)
    return None if kernel is None else types.Dispatcher(compiled(kernel))


def _type_of_kernel(value: Kernel, _context: Any) -> Any:
    return types.Dispatcher(compiled(value))


typeof_impl.register(BuiltinFunctionType)(_type_of_built)
typeof_impl.register(Kernel)(_type_of_kernel)
