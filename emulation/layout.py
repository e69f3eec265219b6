"""Where to draw the nodes: geographic positions projected and gently spread, or a layout from the graph alone.

Everything here is deterministic, so that a regenerated report is the same picture.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def place_nodes(
    positions: Points, links: NDArray[np.int32], *, geographic: bool, width: float, max_height: float, gap: float
) -> Points:
    """Return pixel positions ``(N, 2)``, x to the right and y down, the top left corner of their box at (0, 0).

    Parameters
    ----------
    positions : (N, 2) float64, lon/lat in degrees or x/y upward; if any is NaN, the graph alone decides
    links : (L, 2) int32, node indices
    geographic : whether `positions` are degrees
    width, max_height : pixels; the picture keeps its proportions and fills one of them
    gap : pixels that two nodes should at least be apart
    """
    if len(positions) == 0 or not np.isfinite(positions).all():
        plane = _stress_layout(len(positions), links)
    else:
        plane = positions * np.array([_shrink(positions[:, 1]) if geographic else 1.0, -1.0])
    pixels = _spread(_fit(plane, width, max_height), gap)
    return _fit(pixels, width, max_height)


def centre_lines(points: Points, links: NDArray[np.int32], clearance: float) -> list[Points]:
    """Return the middle line ``(S, 2)`` of each link from src to dst, bent where a straight one would cut a node.

    Both directions of a link share their line, reversed. `clearance` is what a line keeps from other nodes, in pixels.
    """
    lines: dict[tuple[int, int], Points] = {}
    for src, dst in links.tolist():
        pair = (min(src, dst), max(src, dst))
        if pair not in lines:
            lines[pair] = _bent(points, *pair, clearance)
    return [lines[src, dst] if src < dst else lines[dst, src][::-1] for src, dst in links.tolist()]


def part_of(line: Points, start: float, end: float) -> Points:
    """Return a line without its first `start` and its last `end` pixels."""
    at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    last = max(at[-1] - end, start + 0.1)
    kept = np.concatenate([[start], at[(at > start) & (at < last)], [last]])
    return np.stack([np.interp(kept, at, line[:, axis]) for axis in (0, 1)], axis=1)


def to_the_right(line: Points) -> Points:
    """Return the unit vectors to the right of a line ``(S, 2)`` at each of its points (y points down)."""
    along = np.gradient(line, axis=0)
    along = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def _bent(points: Points, src: int, dst: int, clearance: float) -> Points:
    """Return a straight line of two points, or a parabola that passes the node in the way on its far side."""
    start, along = points[src], points[dst] - points[src]
    length = max(float(np.hypot(*along)), 1e-9)
    right = np.array([-along[1], along[0]]) / length
    share = (points - start) @ along / length**2
    side = (points - start) @ right
    in_the_way = (share > 0.05) & (share < 0.95) & (np.abs(side) < clearance)
    in_the_way[[src, dst]] = False
    if not in_the_way.any():
        return np.stack([start, points[dst]])
    share, side = share[in_the_way], side[in_the_way]
    missing = (clearance - np.abs(side)) / (4 * share * (1 - share)) * np.where(side > 0, -1.0, 1.0)
    bend = float(max(missing.tolist(), key=abs))
    t = np.linspace(0.0, 1.0, 25)[:, None]
    return np.asarray(start + t * along + 4 * t * (1 - t) * float(np.clip(bend, -60, 60)) * right, dtype=np.float64)


def _shrink(latitude: NDArray[np.float64]) -> float:
    """Return the length of a degree of longitude in degrees of latitude, in the middle of the map."""
    return float(np.cos(np.radians((latitude.min() + latitude.max()) / 2)))


def _fit(plane: Points, width: float, max_height: float) -> Points:
    """Scale `plane` to `width`, or to `max_height` and centred if it would be higher."""
    if len(plane) == 0:
        return plane
    low, extent = plane.min(axis=0), np.ptp(plane, axis=0)
    scale = min(width / max(extent[0], 1e-9), max_height / max(extent[1], 1e-9))
    return np.asarray((plane - low) * scale + np.array([(width - extent[0] * scale) / 2, 0.0]), dtype=np.float64)


def _spread(pixels: Points, gap: float) -> Points:
    """Push nodes that are closer than `gap` apart: the capitals of small neighbours must not hide each other."""
    points = pixels.copy()
    for _ in range(60):
        offset = points[:, None] - points[None]
        distance = np.hypot(offset[..., 0], offset[..., 1])
        missing = np.where(distance < gap, gap - distance, 0.0)
        np.fill_diagonal(missing, 0.0)
        if not missing.any():
            break
        # Two nodes in one place part along a direction of their own.
        angle = np.arange(len(points)) * 2.4
        away = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None] - np.zeros_like(offset)
        away = np.where(distance[..., None] > 1e-6, offset / np.maximum(distance, 1e-6)[..., None], away)
        points += 0.5 * (missing[..., None] * away).sum(axis=1)
    return points


def _stress_layout(num_nodes: int, links: NDArray[np.int32]) -> Points:
    """Lay a graph out so that distances resemble hop counts.

    Classical scaling gives the start, stress majorization the rest (Gansner, Koren, North: Graph Drawing by Stress
    Majorization, 2004; weights 1/d^2). Turned so that the long axis lies flat.
    """
    if num_nodes < 3:
        return np.stack([np.arange(num_nodes, dtype=np.float64), np.zeros(num_nodes)], axis=1)
    hops = _hop_counts(num_nodes, links)
    centre = np.eye(num_nodes) - 1.0 / num_nodes
    values, vectors = np.linalg.eigh(-0.5 * centre @ hops**2 @ centre)
    plane = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0.0))
    # An equal start for symmetric nodes would never part them.
    plane += 0.01 * np.stack([np.cos(2.4 * np.arange(num_nodes)), np.sin(2.4 * np.arange(num_nodes))], axis=1)
    weight = 1.0 / np.maximum(hops, 1.0) ** 2
    np.fill_diagonal(weight, 0.0)
    for _ in range(100):
        offset = plane[:, None] - plane[None]
        distance = np.maximum(np.hypot(offset[..., 0], offset[..., 1]), 1e-9)
        pull = plane[None] + offset * (hops / distance)[..., None]
        plane = (weight[..., None] * pull).sum(axis=1) / weight.sum(axis=1)[:, None]
    plane -= plane.mean(axis=0)
    _, axes = np.linalg.eigh(plane.T @ plane)
    turned = plane @ axes[:, ::-1]
    # The sign of an eigenvector is arbitrary: let node 0 be in the upper left.
    return np.asarray(turned * np.where(turned[0] > 0, -1.0, 1.0), dtype=np.float64)


def _hop_counts(num_nodes: int, links: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the hops between all pairs ``(N, N)``, `num_nodes` where there is no path."""
    near = np.eye(num_nodes, dtype=bool)
    adjacent = near.copy()
    adjacent[links[:, 0], links[:, 1]] = adjacent[links[:, 1], links[:, 0]] = True
    hops = np.where(near, 0.0, float(num_nodes))
    for distance in range(1, num_nodes):
        reached = near.astype(np.float32) @ adjacent.astype(np.float32) > 0
        if (reached == near).all():
            break
        hops[reached & ~near] = distance
        near = reached
    return hops
