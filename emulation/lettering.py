"""Where to write on a map: every word goes where it hides the least."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emulation.layout import to_the_right
from emulation.svg import text

Box = tuple[float, float, float, float]

# Sides of a node in order of preference: (left -1 or right +1, above -1 or below +1).
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
_ANCHORS = {-1: "end", 0: "middle", 1: "start"}
_LONGEST = 18


class Lettering:
    """The words of one map, placed one after the other, each clear of the earlier ones where it can be.

    Parameters
    ----------
    points : (N, 2) float64, pixels
    lines : the middle line of each link, (S, 2) float64 each
    radius : of a node, pixels
    width : of the map, pixels; words stay within
    """

    def __init__(
        self, points: NDArray[np.float64], lines: Sequence[NDArray[np.float64]], radius: float, width: float
    ) -> None:
        self._points, self._lines, self._radius, self._width = points, lines, radius, width
        self._lanes = np.concatenate([_dense(line) for line in lines]) if lines else np.zeros((0, 2))
        self._placed: list[Box] = []

    def name_node(self, node: int, name: str, size: float = 12.0) -> str:
        """Return a node's name, beside the node."""
        words = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        x, y = self._points[node].tolist()
        wide, offset = 0.6 * size * len(words), self._radius + 4
        boxes = []
        for side, level in _SIDES:
            left = x + side * offset * (0.8 if level else 1.0) - (wide if side < 0 else 0.0 if side else wide / 2)
            top = y + level * (offset + (1 if side else 4)) - size / 2 - 1
            boxes.append((left, top, left + wide, top + size + 2))
        return self._write(boxes, [_ANCHORS[side] for side, _ in _SIDES], words, "t", size)

    def name_link(self, link: int, words: str, offset: float, class_: str, size: float = 14.0) -> str:
        """Return words about a link, to its right if there is room, at least `offset` pixels from its middle line."""
        line = _dense(self._lines[link])
        rights = to_the_right(line)
        wide = 0.62 * size * len(words)
        boxes = []
        for along in (20, 14, 26):
            right = rights[along]
            reach = offset + abs(float(right[0])) * wide / 2 + abs(float(right[1])) * size / 2
            for side in (reach, -reach, 1.8 * reach, -1.8 * reach):
                x, y = (line[along] + right * side).tolist()
                boxes.append((x - wide / 2, y - size / 2, x + wide / 2, y + size / 2))
        return self._write(boxes, ["middle"] * len(boxes), words, class_, size)

    def _write(self, boxes: Sequence[Box], anchors: Sequence[str], words: str, class_: str, size: float) -> str:
        """Write into the best box. The anchor keeps the right end in place where a font is wider than estimated."""
        choice, box = min(enumerate(boxes), key=self._cost)
        self._placed.append(box)
        anchor = anchors[choice]
        x = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        return text(x, box[1] + size - 1, words, f"{class_} halo", size, text_anchor=anchor, stroke_width=3.5)

    def _cost(self, choice: tuple[int, Box]) -> float:
        """Say how bad a place is; at equal cost the earlier choice wins."""
        order, box = choice
        cost = 0.4 * order + _covered(box, self._lanes) + 8 * _covered(box, self._points)
        cost += 40 * sum(_overlap(box, other) for other in self._placed)
        return cost + 20 * (box[0] < 0) + 20 * (box[2] > self._width)


def _dense(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 41 points along a line, evenly spaced in its parameter."""
    at, wanted = np.linspace(0.0, 1.0, len(line)), np.linspace(0.0, 1.0, 41)
    return np.stack([np.interp(wanted, at, line[:, axis]) for axis in (0, 1)], axis=1)


def _covered(box: Box, points: NDArray[np.float64]) -> int:
    """Return how many of `points` (n, 2) lie in a box (left, top, right, bottom)."""
    x, y = points[:, 0], points[:, 1]
    return int(((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])).sum())


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
