"""The rows of Table I: what one optimisation cost, and the table beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.session import OVERHEAD
from experiments.cost_model import WIRE_HEADERS

AGREEMENT = 0.01  # that the agents' counts and the interfaces' must have
# Paper 003, Table I; MB per link is rate times time.
PAPER_S = {"nsfnet": 0.0998, "gbn": 0.133, "geant2": 0.212, "synth500": 8.40, "synth1000": 19.2}
PAPER_MB_S = {"nsfnet": 1.20, "gbn": 1.32, "geant2": 1.20, "synth500": 1.60, "synth1000": 1.41}
PAPER_MB = {"nsfnet": 0.12, "gbn": 0.18, "geant2": 0.25, "synth500": 13.4, "synth1000": 27.0}
_COLUMNS = (
    "T", "decisions", "s", "CPU s", "paper s", "MLU", "greedy, T", "greedy, same time", "frames/link", "hidden kB",
    "sharing kB", "control kB", "of it repeated kB", "payload kB", "frame kB", "wire kB", "paper kB",
    "MQTT kB/router", "wire MB/s", "paper MB/s", "CPU s/router", "busiest", "propagation s", "interfaces apart",
)  # fmt: skip


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one network; bytes are UDP payload, means per directed link and optimisation, unless they say so.

    `seconds` is the best of `repeats` after a warm-up; `calibration_s` that of a fixed loop of Python beside it.
    `cpu_seconds` is the least processor time of the central engine, of all its `threads`: what an idle machine would
    take at most with one.
    A decision raises `increments` links, more in the first ones if it has an `opening` (`policy.schedule`); `steps`
    is T times `increments`, of which an episode that ends early (`patience`) takes only so many `decisions`.
    `greedy_same_time_mlu` is what greedy reaches in this row's `seconds`.
    `propagation_s` is by calculation. `calculated`: frames and bytes are, too; control and repetitions are left out
    then, and there is no rate, since nobody sends. `repeated_*` are retransmissions, of what was counted.
    `mqtt_bytes_per_router` is what passes between coordinator and routers, besides what passes between routers: a mean
    per router. `kernel_*` as the interfaces count meanwhile, greetings before and after included, None where nothing
    was counted; `counts_apart` is by which part their counts and the agents' differ, from the agents' start to their
    end.
    Of agents `mean_compute_s_per_router` and, for the busiest, `compute_s_per_router` are the processor time of
    their processes from the first step until the result is reported, the commit included, in ticks of 10 ms. Of the
    central engine the latter is what its kernels take for the links of the router that has most, with the global state
    that every router keeps.
    """

    topology: str
    engine: str
    steps: int
    increments: int
    opening: int
    patience: int
    temperature: float
    decisions: int
    seconds: float
    cpu_seconds: float | None = None
    threads: int = 1
    calibration_s: float
    repeats: int
    mlu: float
    greedy_mlu: float
    greedy_seconds: float
    greedy_same_time_mlu: float
    frames_per_link: float
    bytes_per_link: float
    wire_bytes_per_link: float
    hidden_state_bytes_per_link: float
    sharing_bytes_per_link: float
    control_bytes_per_link: float = 0.0
    repeated_bytes_per_link: float = 0.0
    mqtt_bytes_per_router: float | None = None
    rate_mb_s: float | None = None
    mean_compute_s_per_router: float | None = None
    compute_s_per_router: float | None
    propagation_s: float
    calculated: bool
    kernel_frames_per_link: float | None = None
    kernel_bytes_per_link: float | None = None
    counts_apart: float | None = None


def disagreement(row: Row) -> list[str]:
    """Say where the agents' counts and the interfaces' are more than 1 % apart."""
    if row.counts_apart is None or row.counts_apart <= AGREEMENT:
        return []
    return [f"{row.topology} {row.engine}: agents and interfaces count {row.counts_apart:.1%} apart, over 1 %"]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, beside the paper's."""
    lines = ["| network | engine | " + " | ".join(_COLUMNS) + " |", "|---|---" + "|--:" * len(_COLUMNS) + "|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    lines += [
        "",
        f"kB per directed link and optimisation: payload; frames (counter and tag: {OVERHEAD} bytes); on the wire "
        f"(UDP, IPv4, Ethernet: {WIRE_HEADERS} bytes). \\* by calculation. Calibration loop: "
        f"{1e3 * min(row.calibration_s for row in rows):.0f} ms.",
    ]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    mark, counted = ("*", False) if row.calculated else ("", True)
    engine = row.engine + (f", {row.increments} per decision" if row.increments > 1 else "")
    sent = (
        row.bytes_per_link - OVERHEAD * row.frames_per_link,
        row.bytes_per_link,
        row.wire_bytes_per_link,
    )
    return [
        row.topology,
        engine + (f", {row.threads} threads" if row.threads > 1 else ""),
        f"{row.steps}",
        f"{row.decisions}",
        f"{row.seconds:.4g}",
        _or_blank(row.cpu_seconds, ".4g"),
        _or_blank(PAPER_S.get(row.topology), "g"),
        f"{row.mlu:.4f}",
        f"{row.greedy_mlu:.4f} ({row.greedy_seconds:.3g} s)",
        f"{row.greedy_same_time_mlu:.4f}",
        f"{row.frames_per_link:,.0f}{mark}",
        _kilobytes(row.hidden_state_bytes_per_link) + mark,
        _kilobytes(row.sharing_bytes_per_link) + mark,
        _kilobytes(row.control_bytes_per_link if counted else None),
        _kilobytes(row.repeated_bytes_per_link if counted else None),
        *(_kilobytes(amount) + mark for amount in sent),
        f"{1e3 * PAPER_MB[row.topology]:,.0f}" if row.topology in PAPER_MB else "",
        _kilobytes(row.mqtt_bytes_per_router),
        _or_blank(row.rate_mb_s, ".3g"),
        _or_blank(PAPER_MB_S.get(row.topology), ".2f"),
        _or_blank(row.mean_compute_s_per_router, ".3g"),
        _or_blank(row.compute_s_per_router, ".3g"),
        f"{row.propagation_s:.3g}",
        _or_blank(row.counts_apart, ".2%"),
    ]


def _kilobytes(amount: float | None) -> str:
    return _or_blank(None if amount is None else amount / 1e3, ",.1f")


def _or_blank(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)
