"""What an episode did, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class EpisodeTrace:
    """The decisions of one episode and what came of them.

    actions : (S, n) int32, the links chosen in each step, best score first, then -1 where fewer than n were chosen;
        S = T unless patience ended it
    scores : (S, n) int64, their scores
    mlu : (S+1,) float64, before the first step and after each
    best_step : 0..S, of the lowest MLU (the first of equals)
    best_weights, weights : (L,) int64, of the best step and of the last
    """

    actions: NDArray[np.int32]
    scores: NDArray[np.int64]
    mlu: NDArray[np.float64]
    best_step: int
    best_weights: NDArray[np.int64]
    weights: NDArray[np.int64]

    @property
    def best_mlu(self) -> float:
        """The lowest MLU, the start included."""
        return float(self.mlu[self.best_step])

    def chosen(self, step: int) -> list[int]:
        """Return the links that step 0..S-1 chose, best score first."""
        links: list[int] = self.actions[step].tolist()
        return [link for link in links if link >= 0]
