"""The one way to compile a kernel: numba without fast-math, cached outside the clone.

numba's cache notices a change of the file that a kernel stands in, not of the kernels that it calls in other files,
so a stale machine code could survive an edit. The cache folder is therefore named after a hash of every kernel source
in the house. The arithmetic is strict IEEE 754 (no reassociation, no contraction to fused multiply-add): the same
input gives the same bits on every CPU.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])

_HOUSE = Path(__file__).resolve().parent.parent


def _kernel_sources() -> list[Path]:
    sources = (
        path for folder in ("routing", "policy", "baselines", "trainer") for path in (_HOUSE / folder).glob("*.py")
    )
    return sorted(path for path in sources if b"routing.jit" in path.read_bytes())


def cache_folder() -> Path:
    """Return the folder of the compiled kernels: one per content of the kernel sources, made when absent."""
    digest = hashlib.blake2s(digest_size=8)
    for source in _kernel_sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "lockstep" / f"numba-{digest.hexdigest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # Compiled code is loaded from here: never from a folder that somebody else could have prepared.
        folder = Path(tempfile.mkdtemp(prefix="lockstep-numba-"))
    return folder


numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


def njit(signature: str | list[str] | None = None, *, inline: bool = False) -> Callable[[_Function], _Function]:
    """Compile a kernel, eagerly when `signature` is given; `inline=True` asks LLVM to inline it into its callers."""
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    if inline:
        options["forceinline"] = True
    compiler: Any = numba.njit
    decorator: Callable[[_Function], _Function] = compiler(signature, **options)
    return decorator
