"""Headers of NumPy's .npy files, read without NumPy.

On a broken one it raises whatever its parser of Python meets, and it allocates what the header claims.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Format 1.0 to 3.0 (numpy.lib.format): a magic string, the version, the header's length, a Python dictionary.
_HEADER = re.compile(
    rb"\x93NUMPY[\x01-\x03]\x00..(?:\x00\x00)?\{'descr': '([<>|=](?:f[248]|[iu][1248]|b1|U[1-9]\d{0,5}))', "
    rb"'fortran_order': (True|False), 'shape': \(([\d, ]{0,60})\), \} *\n",
    re.DOTALL,
)


class Header(NamedTuple):
    """What a file says of its array, which begins at byte `offset`."""

    dtype: np.dtype[np.generic]
    fortran: bool
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Bytes that the array takes."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size

    def array(self, content: bytes) -> NDArray[np.generic]:
        """Return the array of a file that is long enough to hold it."""
        flat = np.frombuffer(content, self.dtype, self.size // max(1, self.dtype.itemsize), self.offset)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def read_header(content: bytes) -> Header | None:
    """Return the header of an array of numbers, truth values or text; None if `content` begins with no such."""
    found = _HEADER.match(content)
    if found is None:
        return None
    shape = tuple(int(size) for size in found[3].decode().replace(" ", "").split(",") if size)
    return Header(np.dtype(found[1].decode()), found[2] == b"True", shape, found.end())
