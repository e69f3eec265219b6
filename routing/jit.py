"""The one way to compile a kernel, and the one place that chooses how it comes to run.

An agent takes its kernels from an extension module that was built ahead of time (`routing.prebuild` makes it,
`routing.prebuilt` finds it): no numba in the process, which saves some 70 MB and ten seconds. Where there is none, and
for the kernels that only training and comparisons use, numba compiles (`routing.compiler`). The machine code is made
from the same LLVM code either way, by strict IEEE 754 arithmetic (no reassociation, no contraction to fused
multiply-add): the same input gives the same bits on every CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from routing import prebuilt

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Kernel:
    """A function as its author wrote it; calling it compiles it.

    Attributes
    ----------
    function : what to compile
    signature : numba's notation of its types; None: compile for whatever it is called with
    inline : ask LLVM to inline it into its callers
    """

    function: Callable[..., Any]
    signature: str | None
    inline: bool

    @property
    def name(self) -> str:
        """Its name with the module's, as in the extension module."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def __call__(self, *arguments: Any) -> Any:
        """Compile and run it."""
        from routing.compiler import compiled

        return compiled(self)(*arguments)


KERNELS: dict[str, Kernel] = {}
"""Every kernel of the modules imported so far, by name."""

BUILT = prebuilt.load()
"""The extension module; None where numba compiles everything."""


def njit(signature: str | None = None, *, inline: bool = False) -> Callable[[_Function], _Function]:
    """Compile a kernel, eagerly when `signature` is given; `inline=True` asks LLVM to inline it into its callers."""

    def decorate(function: _Function) -> _Function:
        kernel = Kernel(function, signature, inline)
        KERNELS[kernel.name] = kernel
        if BUILT is not None and prebuilt.covers(function.__module__):
            # What is not in it returns something that only other kernels take.
            found: Any = getattr(BUILT, kernel.name, kernel)
            return cast(_Function, found)
        from routing.compiler import compiled

        dispatcher: _Function = compiled(kernel)
        return dispatcher

    return decorate
