"""Where the extension module of kernels that were compiled ahead of time lies, and whether it may be loaded.

Its name carries a hash of everything that its content depends on: the kernels' sources, the versions of the compiler
and of the libraries whose memory layout it knows, the CPU. So a stale one is never found. It is native code, loaded
only if nobody but the user (or root) could have written it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MODULE = "kernels"
FOLDERS = ("routing", "policy")
"""Whose kernels are in the extension module: what an agent needs."""

_HOUSE = Path(__file__).resolve().parent.parent
_MAKERS = ("compiler.py", "jit.py", "prebuild.py", "runtime.py", "wrappers.py")
_CPU_LINES = ("model name", "flags", "CPU", "Features")


def covers(module: str) -> bool:
    """Return whether the kernels of a Python module belong in the extension module."""
    return module.partition(".")[0] in FOLDERS


def cache_root() -> Path:
    """Return the user's folder for compiled kernels, which may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lockstep"


def kernel_modules(folders: Iterable[str]) -> dict[str, bytes]:
    """Return the source of every module with kernels in some folders, by its name, in order."""
    paths = sorted(path for folder in folders for path in (_HOUSE / folder).glob("*.py") if path.name not in _MAKERS)
    sources = {f"{path.parent.name}.{path.stem}": path.read_bytes() for path in paths}
    return {name: source for name, source in sources.items() if b"routing.jit import" in source}


def source_digest(folders: Iterable[str]) -> Any:
    """Hash every source with kernels in some folders."""
    digest = hashlib.blake2s(digest_size=8)
    for name, source in kernel_modules(folders).items():
        digest.update(name.encode() + b"\0" + source)
    return digest


def file() -> Path | None:
    """Return where the extension module belongs, whether it is there or not; None where there can be none."""
    if any(name.startswith("NUMBA_") for name in os.environ):
        return None  # whoever sets numba's variables wants numba
    digest = source_digest(FOLDERS)
    for maker in _MAKERS:
        digest.update((_HOUSE / "routing" / maker).read_bytes())
    try:
        for package in ("numba", "llvmlite"):
            spec = find_spec(package)  # does not import it
            if spec is None or spec.origin is None:
                return None
            digest.update(Path(spec.origin).with_name("_version.py").read_bytes())
        with open("/proc/cpuinfo") as info:
            lines = info.read(4096).splitlines()  # the first CPU; all would take milliseconds
    except OSError:
        return None
    digest.update("\n".join(sorted({line for line in lines if line.startswith(_CPU_LINES)})).encode())
    digest.update(f"{sys.implementation.cache_tag} {sys.abiflags} {os.uname().machine} {np.__version__}".encode())
    return cache_root() / f"{MODULE}-{digest.hexdigest()}.so"


def load() -> ModuleType | None:
    """Return the extension module; None if there is none, or none to be trusted."""
    path = file()
    if path is None or not (_ours(path.parent) and _ours(path)):
        return None
    try:
        return load_file(path)
    except ImportError:
        return None


def load_file(path: Path) -> ModuleType:
    """Return the extension module in a file. Raises ImportError."""
    spec = spec_from_file_location(MODULE, path, loader=ExtensionFileLoader(MODULE, str(path)))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _ours(path: Path) -> bool:
    """Return whether a path exists and only its owner, who is this user, may write to it."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return False
    return status.st_uid == os.geteuid() and status.st_mode & 0o022 == 0
