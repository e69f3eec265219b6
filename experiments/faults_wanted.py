"""What the figures of the runtime under faults have to reach, and what of it a result has missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LENGTHS = {"loss 1 %": 1.5, "loss 10 %": 4.0}  # times the length without loss, of every episode, at most
MAY_DIFFER = ("loss 20 %",)  # decisions are promised up to 10 %
GROWTH = 0.05  # of memory, less than
SHARE = 0.05  # of an episode's processor time, at most


def _missed_by_loss(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    missed = []
    for name, row in rows.items():
        if row["differing"] and name not in MAY_DIFFER:
            missed.append(
                f"{name}: {row['differing']} of {row['seeds']} episodes differ or never ended well, wanted none"
            )
        if name in LENGTHS and row["as_wanted"] < row["seeds"]:
            late = row["seeds"] - row["as_wanted"]
            missed.append(f"{name}: {late} of {row['seeds']} episodes not within {LENGTHS[name]:g} times the length")
    return missed


def _missed_by_memory(result: Mapping[str, Any]) -> list[str]:
    missed = [f"{result['violations']} violations, wanted none"] if result["violations"] else []
    for name in ("growth", "resident_growth"):
        if result[name] >= GROWTH:
            missed.append(f"{name} {result[name]:.2%}, wanted less than {GROWTH:.0%}")
    return missed


def _missed_by_mixed(result: Mapping[str, Any]) -> list[str]:
    differing = result["differing"]
    return [f"{differing} of {result['episodes']} episodes differ, wanted none"] if differing else []


def _missed_by_authentication(result: Mapping[str, Any]) -> list[str]:
    low, high = result["interval"]
    missed = []
    if result["share_by_count"] > SHARE:
        missed.append(f"share_by_count {result['share_by_count']:.2%}, wanted at most {SHARE:.0%}")
    if low > SHARE:
        missed.append(f"share between {low:.2%} and {high:.2%}, wanted at most {SHARE:.0%}")
    return missed


@dataclass(frozen=True)
class Wanted:
    """What a figure has to reach, in words, and what it has missed, one line each."""

    text: str
    missed: Callable[[Mapping[str, Any]], list[str]]


WANTED = {
    "loss": Wanted(
        "same decisions but for loss 20 %; every episode at most 1.5 times as long at loss 1 %, 4 times at 10 %",
        _missed_by_loss,
    ),
    "memory": Wanted(
        "nothing violated; what the programs remember and the process grow by less than 5 %", _missed_by_memory
    ),
    "mixed": Wanted("no episode ends differently", _missed_by_mixed),
    "authentication": Wanted(
        "share_by_count at most 5 %, and the interval not wholly above (it is wide where others use the processors)",
        _missed_by_authentication,
    ),
}
