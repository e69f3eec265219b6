"""How many links' weights grow in a step: many early in an episode, when most weights are wrong, few at its end."""

from __future__ import annotations

MAX_INCREMENTS = 64


def increments_at(step: int, steps: int, opening: int, increments: int = 1) -> int:
    """Return the number of links for step 0..steps-1: `opening * (1 - step / steps)**2`, at least `increments`.

    Rounded to nearest in whole numbers, so every router gets the same.
    """
    return max(increments, (2 * opening * (steps - step) ** 2 + steps**2) // (2 * steps**2))
