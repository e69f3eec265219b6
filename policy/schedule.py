"""What is settled by counting alone: how many links' weights grow in a step, and when an episode is over.

Many grow early, when most weights are wrong, few at the end. An episode has T steps, and ends before them if it has
*patience* and nothing better was found for so many steps. Every router counts for itself, in whole numbers, and comes
to the same.
"""

from __future__ import annotations

MAX_INCREMENTS = 64
MAX_STEPS = 1_000_000  # of an episode


def increments_at(step: int, steps: int, opening: int, increments: int = 1) -> int:
    """Return the number of links for step 0..steps-1: `opening * (1 - step / steps)**2`, at least `increments`.

    Rounded to nearest in whole numbers, so every router gets the same.
    """
    return max(increments, (2 * opening * (steps - step) ** 2 + steps**2) // (2 * steps**2))


def patience_of(steps: int, parts: int) -> int:
    """Return a T-th part as a number of steps, rounded up: `parts` 4 is a quarter of T; 0, no patience, stays 0."""
    return -(-steps // parts) if parts else 0


def is_over(step: int, steps: int, best_step: int, patience: int) -> bool:
    """Return whether an episode ends after `step` of `steps` decisions, of which `best_step` found the best so far.

    patience : decisions in a row that may find nothing better; 0: any number
    """
    return step >= steps or 0 < patience <= step - best_step
