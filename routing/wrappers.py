"""LLVM code around the kernels: the Python extension module that holds them.

Each kernel gets a function that Python calls (METH_FASTCALL: arguments side by side, no tuple), checks and takes its
arguments apart, and calls what numba made of the kernel. Taking an array apart is five loads, so a call with twenty
arrays costs a tenth of a microsecond.

numba passes an array as (memory info, owner, items, bytes per item, data, shape, strides), the result through a
pointer, and returns a status (numba.core.callconv.CPUCallConv). Without memory info it counts no references: the
caller's are enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from routing.runtime import DATA, RUNTIME, SHAPE, STRIDES

# From Python's methodobject.h and modsupport.h
_METH_FASTCALL = 0x80
_PYTHON_API_VERSION = 1013
# How numba stores a result of each type
_RESULTS = {"none": "ptr", "bool": "i8", "float32": "float", "float64": "double"}
_RESULTS |= {f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


@dataclass(frozen=True)
class Compiled:
    """What numba made of a kernel.

    Attributes
    ----------
    name : in Python
    symbol : of the function in LLVM
    arguments, result : numba types
    """

    name: str
    symbol: str
    arguments: tuple[Any, ...]
    result: Any

    @property
    def callable(self) -> bool:
        """Return whether Python can call it: it returns a number or nothing."""
        return str(self.result) in _RESULTS


def module(kernels: Iterable[Compiled], name: str) -> str:
    """Return the LLVM code of the extension module `name` with the callable ones of some kernels."""
    entries = [kernel for kernel in kernels if kernel.callable]
    parts = [RUNTIME]
    table = []
    for number, kernel in enumerate(entries):
        parts.append(_entry(number, kernel))
        table.append(f"%method {{ ptr @name{number}, ptr @entry{number}, i32 {_METH_FASTCALL}, ptr null }}")
    table.append("%method zeroinitializer")
    size = f"[{len(table)} x %method]"
    # struct PyModuleDef: 5 words of PyModuleDef_Base (an object's head first), name, doc, size of the state, methods, 4
    parts.append(f"""
%method = type {{ ptr, ptr, i32, ptr }}
@methods = global {size} [{", ".join(table)}]
{_text("module_name", name)}
{_text("numpy", "numpy")}
{_text("array_class", "ndarray")}
@module = global [13 x i64] [
  i64 1, i64 0, i64 0, i64 0, i64 0, i64 ptrtoint (ptr @module_name to i64), i64 0, i64 -1,
  i64 ptrtoint (ptr @methods to i64), i64 0, i64 0, i64 0, i64 0]

define ptr @PyInit_{name}() {{
  %numpy = call ptr @PyImport_ImportModule(ptr @numpy)
  %absent = icmp eq ptr %numpy, null
  br i1 %absent, label %fail, label %import
import:
  %class = call ptr @PyObject_GetAttrString(ptr %numpy, ptr @array_class)
  store ptr %class, ptr @ndarray
  %module = call ptr @PyModule_Create2(ptr @module, i32 {_PYTHON_API_VERSION})
  ret ptr %module
fail:
  ret ptr null
}}
""")
    return "\n".join(parts)


def _entry(number: int, kernel: Compiled) -> str:
    """Return the function that Python calls."""
    checks, unpacked, passed, types = _arguments(kernel)
    expected = f"{kernel.name} takes {len(kernel.arguments)} arguments ({', '.join(map(str, kernel.arguments))})"
    result = _RESULTS[str(kernel.result)]
    return f"""
{_text(f"name{number}", kernel.name)}
{_text(f"expected{number}", expected)}
{_text(f"failed{number}", f"{kernel.name} failed: no memory, or shapes that do not fit")}
declare i32 @{kernel.symbol}(ptr, ptr, {", ".join(types)})

define ptr @entry{number}(ptr %self, ptr %arguments, i64 %count) {{
  %result = alloca {result}
  %exception = alloca ptr
  store {result} zeroinitializer, ptr %result
  %counted = icmp eq i64 %count, {len(kernel.arguments)}
  br i1 %counted, label %check, label %mistyped
check:
{checks}
  br i1 %right, label %unpack, label %mistyped
unpack:
{unpacked}
  %error = call ptr @PyErr_Occurred()
  %clean = icmp eq ptr %error, null
  br i1 %clean, label %run, label %leave
run:
  %thread = call ptr @PyEval_SaveThread()
  %status = call i32 @{kernel.symbol}(ptr %result, ptr %exception, {", ".join(passed)})
  call void @PyEval_RestoreThread(ptr %thread)
  %done = icmp eq i32 %status, 0
  %none = icmp eq i32 %status, -2
  %good = or i1 %done, %none
  br i1 %good, label %answer, label %failed
answer:
{_answer(str(kernel.result))}
failed:
  %runtime_error = load ptr, ptr @PyExc_RuntimeError
  call void @PyErr_SetString(ptr %runtime_error, ptr @failed{number})
  ret ptr null
mistyped:
  %type_error = load ptr, ptr @PyExc_TypeError
  call void @PyErr_SetString(ptr %type_error, ptr @expected{number})
  ret ptr null
leave:
  ret ptr null
}}
"""


def _arguments(kernel: Compiled) -> tuple[str, str, list[str], list[str]]:
    """Return the code that checks and that unpacks the arguments; what is passed on, and its types."""
    checks, lines, passed = [], [], []
    right = "true"
    for i, kind in enumerate(kernel.arguments):
        checks.append(f"  %at{i} = getelementptr ptr, ptr %arguments, i64 {i}")
        checks.append(f"  %o{i} = load ptr, ptr %at{i}")
        if hasattr(kind, "ndim"):
            number = np.dtype(str(kind.dtype)).num
            checks.append(f"  %is{i} = call i1 @is_array(ptr %o{i}, i32 {kind.ndim}, i32 {number})")
            checks.append(f"  %right{i} = and i1 {right}, %is{i}")
            right = f"%right{i}"
            more, values = _array(i, kind.ndim, np.dtype(str(kind.dtype)).itemsize)
        else:
            more, values = _number(i, str(kind))
        lines += more
        passed += values
    checks.append(f"  %right = and i1 {right}, true")
    return "\n".join(checks), "\n".join(lines), passed, [value.split()[0] for value in passed]


def _array(i: int, rank: int, itemsize: int) -> tuple[list[str], list[str]]:
    lines = []
    for field, offset in (("data", DATA), ("shape", SHAPE), ("strides", STRIDES)):
        lines.append(f"  %{field}_at{i} = getelementptr i8, ptr %o{i}, i64 {offset}")
        lines.append(f"  %{field}{i} = load ptr, ptr %{field}_at{i}")
    items = "1"
    for axis in range(rank):
        for field in ("shape", "strides"):
            lines.append(f"  %{field}_at{i}.{axis} = getelementptr i64, ptr %{field}{i}, i64 {axis}")
            lines.append(f"  %{field}{i}.{axis} = load i64, ptr %{field}_at{i}.{axis}")
        lines.append(f"  %items{i}.{axis} = mul i64 {items}, %shape{i}.{axis}")
        items = f"%items{i}.{axis}"
    ends = [f"i64 %{field}{i}.{axis}" for field in ("shape", "strides") for axis in range(rank)]
    return lines, ["ptr null", "ptr null", f"i64 {items}", f"i64 {itemsize}", f"ptr %data{i}", *ends]


def _number(i: int, kind: str) -> tuple[list[str], list[str]]:
    if kind == "bool":
        lines = [f"  %t{i} = call i32 @PyObject_IsTrue(ptr %o{i})", f"  %v{i} = trunc i32 %t{i} to i8"]
        return lines, [f"i8 %v{i}"]
    if kind.startswith("float"):
        lines = [f"  %v{i} = call double @PyFloat_AsDouble(ptr %o{i})"]
        if kind == "float64":
            return lines, [f"double %v{i}"]
        return [*lines, f"  %s{i} = fptrunc double %v{i} to float"], [f"float %s{i}"]
    convert = "PyLong_AsUnsignedLongLongMask" if kind.startswith("u") else "PyLong_AsLongLong"
    lines = [f"  %v{i} = call i64 @{convert}(ptr %o{i})"]
    bits = 8 * np.dtype(kind).itemsize
    if bits == 64:
        return lines, [f"i64 %v{i}"]
    return [*lines, f"  %s{i} = trunc i64 %v{i} to i{bits}"], [f"i{bits} %s{i}"]


def _answer(kind: str) -> str:
    if kind == "none":
        return "  call void @Py_IncRef(ptr @_Py_NoneStruct)\n  ret ptr @_Py_NoneStruct"
    stored = _RESULTS[kind]
    if kind.startswith("float"):
        convert, wide, widen = "PyFloat_FromDouble", "double", "fpext"
    elif kind.startswith("int"):
        convert, wide, widen = "PyLong_FromLongLong", "i64", "sext"
    else:
        convert, wide, widen = "PyBool_FromLong" if kind == "bool" else "PyLong_FromUnsignedLongLong", "i64", "zext"
    lines = [f"  %value = load {stored}, ptr %result"]
    if stored != wide:
        lines.append(f"  %wide = {widen} {stored} %value to {wide}")
    lines.append(f"  %object = call ptr @{convert}({wide} {'%value' if stored == wide else '%wide'})")
    lines.append("  ret ptr %object")
    return "\n".join(lines)


def _text(name: str, text: str) -> str:
    data = text.encode()
    escaped = "".join(f"\\{byte:02X}" for byte in data)
    return f'@{name} = constant [{len(data) + 1} x i8] c"{escaped}\\00"'
