"""The network map of what the agents sent: all their frames, and beside it what they shared of the choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emulation.netmap import WIDTH, MapData, Panel, draw_panels, place
from emulation.records import LinkRow
from emulation.svg import BINS, element, picture, text


def draw_overhead(data: MapData, rows: Sequence[LinkRow]) -> str:
    """Return both maps and their scale as one ``<svg>``; colour and width say how many bytes a link carried.

    Left: everything on the wire, headers included. Right: payload that shares the choice, which keeps to the tree.
    """
    points, height = place(data)
    panels = []
    for caption, amounts, what in (
        ("All frames", [row.wire_bytes or 0 for row in rows], "on the wire, headers included"),
        ("Sharing the choice", [row.sharing_bytes or 0 for row in rows], "of payload"),
    ):
        most = max(amounts, default=0)
        words = [
            f"{row.src} → {row.dst}: {amount:,} bytes {what}; {row.frames or 0:,} frames in all"
            for row, amount in zip(rows, amounts, strict=True)
        ]
        subtitle = f"at most {_kilobytes(most)} {what}, mean {_kilobytes(sum(amounts) / max(len(amounts), 1))}"
        share = np.array(amounts, dtype=np.float64) / (most or 1)
        panels.append(Panel(caption, subtitle, share, words, _kilobytes(most)))
    content = [*draw_panels(data, points, panels), _legend(height - 20)]
    return picture(WIDTH, height, "Network map, links coloured by the bytes that the agents sent", content)


def _legend(baseline: float) -> str:
    """Return the colour scale, which ends at each map's own most."""
    cell, left = 30.0, WIDTH / 2 - 150
    shapes = [text(left - 10, baseline + 1, "bytes", "muted", 12, text_anchor="end")]
    for n in range(BINS):
        depth = 3.0 + 9.0 * (n + 0.5) / BINS
        shapes.append(
            element("rect", x=left + n * cell, y=baseline - 3 - depth / 2, width=cell - 1, height=depth, class_=f"u{n}")
        )
    shapes.append(text(left, baseline + 18, "none", "muted", 11, text_anchor="middle"))
    shapes.append(text(left + cell * BINS, baseline + 18, "most of the map", "muted", 11, text_anchor="middle"))
    return "".join(shapes)


def _kilobytes(amount: float) -> str:
    return f"{amount / 1000:,.1f} kB"
