"""Build the extension module of kernels (`routing.prebuilt`) from what numba compiled: LLVM's code, linked by `ld`.

No C compiler is needed, and no header of Python's: the module's own functions are written in LLVM's language
(`routing.wrappers`), and what they call is found when Python loads it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core.registry import cpu_target

from routing.compiler import compiled
from routing.jit import KERNELS
from routing.prebuilt import MODULE, covers, file, load_file
from routing.wrappers import Compiled, module

_LINKERS = ("ld", "ld.lld", "mold")


class CannotBuild(Exception):
    """Why there can be no extension module here; numba goes on compiling."""


def build() -> Path:
    """Link all kernels of `prebuilt.FOLDERS` that were imported into the extension module, and return its path.

    It appears complete or not at all. Older ones stay: another clone may use them.

    Raises
    ------
    CannotBuild
        If there is no linker, or no folder to put it in, or what came out cannot be loaded.
    """
    linker = next(filter(None, map(shutil.which, _LINKERS)), None)
    if linker is None:
        raise CannotBuild("no linker (on Debian: apt-get install binutils)")
    target = file()
    if target is None:
        raise CannotBuild("numba is told by its variables (NUMBA_...) what to compile, or there is no /proc")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as folder:
            source, made = Path(folder, "kernels.o"), Path(folder, "kernels.so")
            source.write_bytes(_object())
            command = [linker, "-shared", "-s", "-z", "noexecstack", "-o", str(made), str(source)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise CannotBuild(f"{linker}: {done.stderr.strip()}")
            made.chmod(0o755)
            load_file(made)
            os.replace(made, target)
    except (OSError, ImportError) as error:
        raise CannotBuild(str(error)) from error
    return target


def _object() -> bytes:
    """Return the object file: the LLVM code that numba optimised, as position-independent machine code."""
    kernels = []
    codes = []
    for name, kernel in KERNELS.items():
        if covers(kernel.function.__module__) and kernel.signature is not None:
            (made,) = compiled(kernel).overloads.values()
            kernels.append(Compiled(name, made.fndesc.llvm_func_name, made.signature.args, made.signature.return_type))
            codes.append(made.library._get_module_for_linking())
    # First what refers to the kernels: LLVM takes from each next module only what is asked for already.
    whole = llvm.parse_assembly(module(kernels, MODULE))
    for code in codes:
        whole.link_in(code, preserve=True)
    whole.verify()
    for value in (*whole.functions, *whole.global_variables):
        if not value.is_declaration and value.name != f"PyInit_{MODULE}":
            value.linkage = llvm.Linkage.internal
    return _emit(whole)


def _emit(whole: Any) -> bytes:
    # The CPU for which numba optimises, as numba finds it.
    codegen = cpu_target.target_context.codegen()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=codegen._get_host_cpu_name(), features=codegen._tm_features, opt=3, reloc="pic", codemodel="small"
    )
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(whole, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(0)))
    emitted: bytes = machine.emit_object(whole)
    return emitted
