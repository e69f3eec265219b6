"""The charts of the report: MLU per step, utilization per link, bytes per link."""

from collections.abc import Sequence
from itertools import accumulate

from emulation.records import LinkRow
from emulation.svg import element, line, picture, text, ticks, title

WIDTH = 1120.0
_COLUMN = 546.0
MAX_ROWS = 80


def draw_steps(
    mlu: Sequence[float], live: float, start: float | None, best_step: int, links: Sequence[str] = ()
) -> str:
    """Draw the MLU after each step, the best so far, and mark the live costs, the start and the best.

    Parameters
    ----------
    mlu : MLU after steps 1..T
    live : MLU with the live costs
    start : MLU at step 0; None: unknown
    best_step : 0..T
    links : names of the links whose weight changed, for the tooltips
    """
    height, left, right, top, bottom = 320.0, 52.0, 150.0, 18.0, 44.0
    first = 0 if start is not None else 1
    values = [start, *mlu] if start is not None else list(mlu)
    if not values:
        values, first = [live], 0
    last = max(first + len(values) - 1, first + 1)
    low, high = min(*values, live), max(*values, live)
    pad = 0.08 * (high - low) or 0.05 * high or 0.1
    low, high = max(0.0, low - 1.3 * pad), high + 1.4 * pad

    def x(step: float) -> float:
        return left + (step - first) / (last - first) * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    end = WIDTH - right
    shapes = []
    if high > 1.0:
        shapes += [
            line(left, y(1.0), end, y(1.0), "s-over", stroke_dasharray="2 4") if low < 1.0 else "",
            text(end - 6, y(1.0) - 5, "capacity", "t-over", 11, text_anchor="end") if low < 1.0 else "",
        ]
    shapes += [
        line(left, y(v), end, y(v), "grid") + text(left - 8, y(v) + 4, f"{v:g}", "muted", text_anchor="end")
        for v in ticks(low, high, 7)
    ]
    shapes += [
        text(x(v), height - bottom + 18, f"{v:g}", "muted", text_anchor="middle")
        for v in ticks(first, last, 8)
        if v == int(v)
    ]
    shapes.append(text((left + end) / 2, height - 6, "step", "muted", text_anchor="middle"))
    best = list(accumulate(values, min))
    for series, class_, width in ((values, "s-before", 1.3), (best, "s-after", 2.6)):
        path = f"M{x(first):.1f} {y(series[0]):.1f}"
        path += "".join(f"H{x(n):.1f}V{y(v):.1f}" for n, v in enumerate(series[1:], start=first + 1))
        shapes.append(element("path", d=path, class_=f"line {class_}", stroke_width=width))
    shapes.append(line(left, y(live), end, y(live), "axis", stroke_dasharray="6 4"))
    ends = _part([(y(live), "t", f"live costs {live:.3f}"), (y(best[-1]), "t-after bold", f"best {best[-1]:.3f}")])
    shapes += [text(end + 10, at + 4, words, class_, 13) for at, class_, words in ends]
    if start is not None:
        shapes.append(_marker(x(0), y(start), "s-before", f"start, step 0: {start:.4f}"))
        shapes.append(text(x(0) - 4, y(start) - 11, f"start {start:.3f}", "muted halo", stroke_width=3))
    if mlu and first <= best_step <= last:
        value = values[best_step - first]
        words = f"best, step {best_step}: {value:.4f}"
        words += f", weight of {links[best_step - 1]} + 1" if 1 <= best_step <= len(links) else ""
        shapes.append(_marker(x(best_step), y(value), "s-after", words))
        anchor = "end" if best_step > (first + last) / 2 else "start"
        shapes.append(
            text(
                x(best_step), y(value) + 20, f"step {best_step}", "t-after halo", 12, text_anchor=anchor, stroke_width=3
            )
        )
    return picture(WIDTH, height, "MLU per step", shapes)


def _marker(x: float, y: float, class_: str, words: str) -> str:
    return element("circle", title(words), cx=x, cy=y, r=5, class_=f"hollow {class_}", stroke_width=2.4)


def _part(labels: list[tuple[float, str, str]], gap: float = 16.0) -> list[tuple[float, str, str]]:
    """Move labels (y, class, words) apart so that none covers another."""
    placed: list[tuple[float, str, str]] = []
    for at, class_, words in sorted(labels):
        placed.append((max(at, placed[-1][0] + gap) if placed else at, class_, words))
    return placed


def draw_utilization(rows: Sequence[LinkRow]) -> str:
    """Draw utilization per link, before and after, most loaded first: a ring for the model, a dot for the counters."""
    shown = sorted(rows, key=lambda row: (-row.utilization_before_predicted, row.link))[:MAX_ROWS]
    half = (len(shown) + 1) // 2 if len(shown) > 24 else len(shown)
    columns = [shown[:half], shown[half:]] if half < len(shown) else [shown]
    column = _COLUMN if len(columns) == 2 else WIDTH
    pitch, top = 18.0, 66.0
    height = top + pitch * half + 6
    peak_before = max((row.utilization_before_predicted for row in rows), default=0.0)
    peak_after = max((row.utilization_after_predicted for row in rows), default=0.0)
    high = 1.04 * max(1.0, max((_highest(row) for row in shown), default=0.0))
    gutter = min(170.0, 18 + 6.6 * max((len(row.name) for row in shown), default=0))
    measured = any(row.utilization_before_measured is not None for row in rows)
    shapes = [_utilization_legend(peak_before, peak_after, measured)]
    for number, part in enumerate(columns):
        left, right = number * (WIDTH - _COLUMN) + gutter, number * (WIDTH - _COLUMN) + column - 74
        scale = (right - left) / high
        floor = top + pitch * len(part)
        for v in ticks(0, high):
            shapes.append(line(left + v * scale, top - 6, left + v * scale, floor, "grid"))
            shapes.append(text(left + v * scale, top - 12, f"{v:.0%}", "muted", 11, text_anchor="middle"))
        shapes.append(text(right + 10, top - 12, "weight", "muted", 11))
        if high > 1.04:
            shapes.append(line(left + scale, top - 6, left + scale, floor, "s-over", stroke_dasharray="2 4"))
        for peak, class_ in ((peak_before, "s-before"), (peak_after, "s-after")):
            shapes.append(
                line(left + peak * scale, top - 6, left + peak * scale, floor, class_, stroke_dasharray="4 3")
            )
        shapes += [_utilization_row(row, left, scale, right, top + pitch * (n + 0.5)) for n, row in enumerate(part)]
    return picture(WIDTH, height, "Utilization per link before and after", shapes)


def _arrow(row: LinkRow) -> str:
    return f"{row.src} → {row.dst}"


def _highest(row: LinkRow) -> float:
    before, after = row.utilization_before_measured or 0.0, row.utilization_after_measured or 0.0
    return max(row.utilization_before_predicted, row.utilization_after_predicted, before, after)


def _utilization_row(row: LinkRow, left: float, scale: float, right: float, y: float) -> str:
    """Return one link: name, where it was, where it is, its weight."""
    before, after = row.utilization_before_predicted, row.utilization_after_predicted
    words = f"{_arrow(row)}: predicted {before:.1%} → {after:.1%}"
    if row.utilization_before_measured is not None and row.utilization_after_measured is not None:
        words += f", measured {row.utilization_before_measured:.1%} → {row.utilization_after_measured:.1%}"
    shapes = [title(words), text(left - 10, y + 4, _arrow(row), "t", 11.5, text_anchor="end")]
    shapes.append(line(left + before * scale, y, left + after * scale, y, "grid", stroke_width=5))
    pairs = (
        (before, row.utilization_before_measured, "before"),
        (after, row.utilization_after_measured, "after"),
    )
    for predicted, measured, series in pairs:
        at = left + predicted * scale
        shapes.append(element("circle", cx=at, cy=y, r=5.2, class_=f"hollow s-{series}", stroke_width=1.8))
        if measured is not None:
            shapes.append(element("circle", cx=left + measured * scale, cy=y, r=2.7, class_=f"f-{series}"))
    changed = row.weight_after != row.weight_live
    weight = f"{row.weight_live} → {row.weight_after}" if changed else f"{row.weight_live}"
    shapes.append(text(right + 10, y + 4, weight, "t bold" if changed else "muted", 11.5))
    return element("g", *shapes)


def _utilization_legend(peak_before: float, peak_after: float, measured: bool) -> str:
    shapes = []
    for x, series, peak in ((0.0, "before", peak_before), (206.0, "after", peak_after)):
        shapes.append(element("circle", cx=x + 8, cy=14, r=5.2, class_=f"hollow s-{series}", stroke_width=1.8))
        if measured:
            shapes.append(element("circle", cx=x + 8, cy=14, r=2.7, class_=f"f-{series}"))
        shapes.append(line(x + 20, 14, x + 46, 14, f"s-{series}", stroke_dasharray="4 3"))
        shapes.append(text(x + 53, 18, f"{series}, MLU {peak:.3f}", f"t-{series} bold", 13))
    words = "ring: the model's prediction" + (", dot: measured" if measured else " (not measured)")
    return "".join(shapes) + text(412, 18, words, "muted", 13)


def draw_bytes(rows: Sequence[LinkRow]) -> str:
    """Draw what the agents sent over each link, most first: hidden states, sharing, control, and the headers on top."""
    shown = sorted(rows, key=lambda row: (-(row.bytes or 0), row.link))[: 2 * MAX_ROWS]
    named = len(shown) <= MAX_ROWS
    names = min(150.0, 12 + 6.0 * max((len(row.name) for row in shown), default=0)) if named else 10.0
    height, left, top = 250.0 + names, 52.0, 40.0
    floor = height - names - 4
    high = 1.03 * max((row.wire_bytes or row.bytes or 0 for row in shown), default=0) or 1.0
    unit, divisor = ("MB", 1e6) if high >= 2e6 else ("kB", 1e3) if high >= 2e3 else ("bytes", 1.0)
    scale = (floor - top) / high
    shapes = []
    for v in ticks(0, high / divisor, 4):
        y = floor - v * divisor * scale
        shapes.append(line(left, y, WIDTH, y, "grid") + text(left - 8, y + 4, f"{v:g}", "muted", text_anchor="end"))
    shapes.append(text(left - 8, top - 22, unit, "muted", text_anchor="end"))
    x = left
    for series, words in _BYTE_SERIES:
        shapes.append(element("rect", x=x, y=top - 33, width=13, height=13, class_=f"f-{series}"))
        shapes.append(text(x + 19, top - 22, words, "t", 13))
        x += 40 + 6.9 * len(words)
    pitch = min((WIDTH - left) / max(len(shown), 1), 60.0)
    for n, row in enumerate(shown):
        shapes.append(_byte_column(row, left + (n + 0.12) * pitch, 0.76 * pitch, floor, scale))
        if named:
            at = f"translate({left + (n + 0.5) * pitch + 4:.1f} {floor + 8:.1f}) rotate(-90)"
            shapes.append(element("g", text(0, 0, _arrow(row), "t", 10.5, text_anchor="end"), transform=at))
    return picture(WIDTH, height, "Bytes sent by the agents per link", shapes)


_BYTE_SERIES = (
    ("hidden", "hidden states"),
    ("sharing", "sharing the choice"),
    ("control", "control"),
    ("headers", "UDP, IP and Ethernet headers"),
)


def _byte_column(row: LinkRow, x: float, width: float, floor: float, scale: float) -> str:
    payload = row.bytes or 0
    amounts = (
        row.hidden_state_bytes or 0,
        row.sharing_bytes or 0,
        row.control_bytes or 0,
        max(0, (row.wire_bytes or 0) - payload),
    )
    words = f"{_arrow(row)}: {payload:,} bytes in {row.frames or 0:,} frames, {row.wire_bytes or 0:,} bytes on the wire"
    shapes = [title(words)]
    y = floor
    for (series, _), amount in zip(_BYTE_SERIES, amounts, strict=True):
        y -= amount * scale
        if amount:
            shapes.append(element("rect", x=x, y=y, width=width, height=amount * scale, class_=f"f-{series}"))
    return element("g", *shapes)
