"""The network map: every directed link coloured by utilization, before and after side by side.

The two directions between neighbours lie beside each other like the lanes of a road, traffic keeping to the right, each
ending in half an arrowhead. Colour and width both say how loaded a lane is; a lane above capacity is violet and dashed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulation.atomic import write_atomic
from emulation.layout import centre_lines, part_of, place_nodes, to_the_right
from emulation.lettering import Lettering
from emulation.svg import (
    BASE_STYLE,
    BINS,
    Scheme,
    colour,
    element,
    line,
    picture,
    style,
    text,
    title,
    utilization_class,
)

WIDTH = 1120.0
_PANEL = 544.0
_MARGIN = 46.0
_BORDER = 24.0
_LABELLED_NODES = 70


@dataclass(frozen=True)
class MapData:
    """What a map shows.

    Parameters
    ----------
    nodes : N names
    positions : (N, 2) float64, lon/lat or x/y; NaN: the layout follows the graph
    links : (L, 2) int32, node indices (src, dst)
    before, after : (L,) float64, utilization as a fraction
    weight_before, weight_after : (L,) int64
    geographic : whether `positions` are degrees
    source : where the utilization comes from, "measured" or "predicted"
    """

    nodes: Sequence[str]
    positions: NDArray[np.float64]
    links: NDArray[np.int32]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    weight_before: NDArray[np.int64]
    weight_after: NDArray[np.int64]
    geographic: bool = True
    source: str = "predicted"


def save_map(path: Path, data: MapData, scheme: Scheme = "light") -> None:
    """Write the picture of `draw_maps` as a stand-alone SVG file with a background, as a README needs it."""
    write_atomic(path, draw_maps(data, scheme).encode())


def draw_maps(data: MapData, scheme: Scheme | None = None) -> str:
    """Return both maps and their legend as one ``<svg>``; with a `scheme` it brings its colours and a background."""
    points, height = place(data)
    panels = [
        Panel(caption, f"MLU {utilization.max(initial=0.0):.3f} {data.source}", utilization, words)
        for caption, utilization, words in (
            ("Before", data.before, _words(data, data.before, data.weight_before)),
            ("After", data.after, _words(data, data.after, data.weight_after)),
        )
    ]
    content = [*draw_panels(data, points, panels), _legend(WIDTH / 2, height - 20)]
    label = "Network map, links coloured by utilization, before and after"
    if scheme is None:
        return picture(WIDTH, height, label, content)
    wide, high = WIDTH + 2 * _BORDER, height + 2 * _BORDER
    framed = element("g", *content, transform=f"translate({_BORDER:.0f} {_BORDER:.0f})")
    background = element("rect", width=wide, height=high, fill=colour("surface", scheme))
    return picture(wide, high, label, (background, framed), BASE_STYLE + style(scheme))


@dataclass(frozen=True, eq=False)
class Panel:
    """One of two maps beside each other.

    Parameters
    ----------
    caption, subtitle : its heading
    share : (L,) float64, how full each lane is drawn; above 1 it is marked as overloaded
    words : (L,) what a lane says of itself
    peak : what is written beside the fullest lane; default: its share in per cent
    """

    caption: str
    subtitle: str
    share: NDArray[np.float64]
    words: Sequence[str]
    peak: str = ""


def place(data: MapData) -> tuple[NDArray[np.float64], float]:
    """Return where the nodes of a panel are drawn, (N, 2) float64, and the height of the picture."""
    gap = 48.0 if len(data.nodes) <= 30 else 28.0 if len(data.nodes) <= _LABELLED_NODES else 8.0
    points = place_nodes(
        data.positions, data.links, geographic=data.geographic, width=_PANEL - 2 * _MARGIN, max_height=480, gap=gap
    ) + np.array([_MARGIN, 74.0])
    return points, float(points[:, 1].max(initial=74.0)) + 84.0


def draw_panels(data: MapData, points: NDArray[np.float64], panels: Sequence[Panel]) -> list[str]:
    """Return two panels side by side."""
    content = []
    for x, panel in zip((0.0, WIDTH - _PANEL), panels, strict=True):
        heading = text(0, 20, panel.caption, "t bold", 17) + text(0, 39, panel.subtitle, "muted", 13)
        content.append(element("g", heading, _draw_panel(data, points, panel), transform=f"translate({x:.0f} 0)"))
    return content


def _words(data: MapData, utilization: NDArray[np.float64], weights: NDArray[np.int64]) -> list[str]:
    """Say of each link how loaded it is, and its weight; of a weight that changed, from what."""
    words = []
    for n, (src, dst) in enumerate(data.links.tolist()):
        old, now = int(data.weight_before[n]), int(weights[n])
        weight = f"{now}" if old == now else f"{old} → {now}"
        words.append(f"{data.nodes[src]} → {data.nodes[dst]}: {utilization[n]:.1%} of capacity, weight {weight}")
    return words


def _draw_panel(data: MapData, points: NDArray[np.float64], panel: Panel) -> str:
    """Return one map: lanes from the least loaded to the most, then nodes, then words."""
    share = panel.share
    num_nodes = len(data.nodes)
    radius = 6.5 if num_nodes <= 30 else 4.5 if num_nodes <= 100 else 2.5
    widest = 7.0 if num_nodes <= 30 else 4.0 if num_nodes <= 100 else 2.0
    shapes = []
    lines = centre_lines(points, data.links, radius + 11)
    order = np.argsort(share, kind="stable").tolist()
    for n in order:
        marked = " peak" if n == order[-1] else ""
        shapes.append(_lane(lines[n], float(share[n]), radius, widest, panel.words[n], marked))
    shapes += [
        element("circle", title(name), cx=x, cy=y, r=radius, class_="node", stroke_width=1.6)
        for name, (x, y) in zip(data.nodes, points.tolist(), strict=True)
    ]
    lettering = Lettering(points, lines, radius, _PANEL)
    if order:
        shapes.append(_callout(lettering, order[-1], float(share[order[-1]]), widest, panel.peak))
    if num_nodes <= _LABELLED_NODES:
        shapes += [lettering.name_node(n, name) for n, name in enumerate(data.nodes)]
    return "".join(shapes)


def _lane(
    line_: NDArray[np.float64], utilization: float, radius: float, widest: float, words: str, marked: str = ""
) -> str:
    """Return one direction of a link: a band on the right-hand side of its line whose end is half an arrowhead."""
    width = 1.2 + (widest - 1.2) * min(utilization, 1.0)
    head = 6.0 + width
    whole = part_of(line_, radius - 1, radius + 1.5)
    inner = whole + 0.7 * to_the_right(whole)
    shaft = part_of(inner, 0.0, head)
    right = to_the_right(shaft)
    barb = shaft[-1] + (width + 2.6) * right[-1]
    corners = [*inner, barb, *(shaft + width * right)[::-1]]
    shape = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    band = element("polygon", title(words), points=shape, class_=utilization_class(utilization) + marked)
    if utilization <= 1.0:
        return band
    middle = " ".join(f"{x:.1f},{y:.1f}" for x, y in shaft + 0.5 * width * right)
    return band + element("polyline", points=middle, class_="line over-mark", stroke_width=1.3, stroke_dasharray="3 4")


def _callout(lettering: Lettering, link: int, share: float, widest: float, words: str) -> str:
    """Return what is written beside the fullest link."""
    shade = "t-over" if share > 1.0 else "t"
    return lettering.name_link(link, words or f"{share:.0%}", widest + 4, f"{shade} bold")


def _legend(centre: float, baseline: float) -> str:
    """Return the colour scale, the mark of overload and how to read the lanes."""
    cell, left = 30.0, centre - 330
    shapes = [text(left - 10, baseline + 1, "utilization", "muted", 12, text_anchor="end")]
    for n in range(BINS):
        depth = 3.0 + 9.0 * (n + 0.5) / BINS
        x = left + n * cell
        shapes.append(element("rect", x=x, y=baseline - 3 - depth / 2, width=cell - 1, height=depth, class_=f"u{n}"))
    shapes += [
        text(left + share * cell * BINS, baseline + 18, f"{share:.0%}", "muted", 11, text_anchor="middle")
        for share in (0.0, 0.5, 1.0)
    ]
    x = left + BINS * cell + 18
    shapes.append(element("rect", x=x, y=baseline - 9, width=48, height=12, class_="over"))
    shapes.append(
        line(x + 2, baseline - 3, x + 46, baseline - 3, "over-mark", stroke_width=1.5, stroke_dasharray="3 4")
    )
    shapes.append(text(x + 56, baseline + 1, "above capacity", "muted", 12))
    for start, end in (
        ((x + 170, baseline - 3), (x + 230, baseline - 3)),
        ((x + 230, baseline - 3), (x + 170, baseline - 3)),
    ):
        shapes.append(_lane(np.array([start, end]), 0.45 if start[0] < end[0] else 0.15, 0, 7.0, ""))
    shapes.append(text(x + 240, baseline + 1, "traffic keeps to the right", "muted", 12))
    return "".join(shapes)
