"""A binary min-heap of integer keys for the kernels, ``(rank << NODE_BITS) | node``: ties to the lowest node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing.jit import njit

NODE_BITS = np.int64(20)
NODE_MASK = np.int64(2**20 - 1)
MAX_NODES = 2**20


@njit("void(i8[::1], i8, i8)", inline=True)
def push(heap: NDArray[np.int64], size: int, key: int) -> None:
    """Add a key to the min-heap of `size` keys."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent] <= key:
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = key


@njit("i8(i8[::1], i8)", inline=True)
def pop(heap: NDArray[np.int64], size: int) -> int:
    """Remove and return the least of `size` keys."""
    least: int = heap[0]
    key = heap[size - 1]
    last = size - 1
    i = 0
    while True:
        child = 2 * i + 1
        if child >= last:
            break
        if child + 1 < last and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key
    return least
