"""Growth laws: fits in the logarithm, and what a network of another size would need by them and by counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DEGREE = 3.5  # directed links per router, as in synth500
STEPS_PER_LINK = 2.75  # T (paper 003's successor)
_CELL_BYTES = 28  # of one router's state, for each pair of routers: distance 4, flow, demand and traffic matrix 8 each
_ENTRY_BYTES = 8  # of a traffic matrix on its way to a router


@dataclass(frozen=True)
class Fit:
    """``value = factor * nodes ** exponent``; `spread` is the largest factor between it and what was measured."""

    exponent: float
    factor: float
    spread: float

    def at(self, nodes: float) -> float:
        """Return the value that the fit expects."""
        return float(self.factor * nodes**self.exponent)

    def nodes_for(self, value: float) -> float:
        """Return the size at which the fit reaches a value."""
        return float((value / self.factor) ** (1.0 / self.exponent))


def fitted(nodes: Sequence[int], values: Sequence[float]) -> Fit:
    """Fit a power law by least squares of the logarithms; ValueError for fewer than two sizes or a value of zero."""
    if len(set(nodes)) < 2 or min(values, default=0.0) <= 0.0:
        raise ValueError("expected positive values of at least two sizes")
    x, y = np.log(np.array(nodes, dtype=np.float64)), np.log(np.array(values, dtype=np.float64))
    exponent, intercept = np.polyfit(x, y, 1)
    off = np.abs(y - (exponent * x + intercept)).max()
    return Fit(float(exponent), float(np.exp(intercept)), float(np.exp(off)))


def links_of(nodes: int) -> int:
    """Return the number of directed links of a network of so many routers, even."""
    return min(max(2 * (nodes - 1), 2 * round(nodes * DEGREE / 2)), nodes * (nodes - 1))


def steps_of(links: int) -> int:
    """Return T."""
    return int(STEPS_PER_LINK * links)


def state_bytes(nodes: int) -> int:
    """Return the bytes of one router's copy of the global state, by counting what grows with the square."""
    return _CELL_BYTES * nodes * nodes


def matrix_bytes(nodes: int) -> int:
    """Return the bytes of the traffic matrix that the coordinator sends to every router."""
    return _ENTRY_BYTES * nodes * nodes
