"""The little SVG and the colours that all pictures of the report share.

Shapes carry classes, and `style` turns classes into colours, so that one picture serves a light screen, a dark one and
paper. Colours never stand alone: utilization is also the width of a link, series also differ in shape.
"""

import math
from collections.abc import Iterable
from html import escape
from typing import Literal

Scheme = Literal["light", "dark"]

# Utilization in tenths, interpolated in OKLab from a quiet grey through amber to crimson (dark: growing brighter too).
_UTILIZATION = {
    "light": "#c3cedc #c0cad5 #bcc7cd #bac3c5 #ccc09e #ddba72 #eb9d45 #e2742f #cb422c #9c0b2e".split(),
    "dark": "#434f60 #4a5461 #515a62 #595f63 #776d54 #977a3f #cc8934 #ea7b37 #f95c44 #ff3b5c".split(),
}
_COLOURS = {
    "light": {
        "surface": "#ffffff",
        "ink": "#18212d",
        "muted": "#5d6878",
        "grid": "#e3e7ed",
        "before": "#8d98a8",
        "after": "#1767c9",
        "over": "#7a1fa2",
        "hidden": "#4a7fc1",
        "sharing": "#e09b2d",
        "control": "#3f9488",
        "headers": "#d3d9e1",
    },
    "dark": {
        "surface": "#12161c",
        "ink": "#e9edf3",
        "muted": "#9aa5b4",
        "grid": "#2a313b",
        "before": "#8793a4",
        "after": "#62aeff",
        "over": "#e27bff",
        "hidden": "#5b93d8",
        "sharing": "#e6a944",
        "control": "#4fae9f",
        "headers": "#3a4350",
    },
}
SERIES = ("before", "after", "hidden", "sharing", "control", "headers")
BINS = 10


def colour(name: str, scheme: Scheme) -> str:
    """Return one of the named colours, such as ``surface`` or ``ink``."""
    return _COLOURS[scheme][name]


def style(scheme: Scheme) -> str:
    """Return the rules for every class that the pictures use."""
    c = _COLOURS[scheme]
    rules = [f".u{n}{{fill:{fill}}}" for n, fill in enumerate(_UTILIZATION[scheme])]
    rules += [f".f-{name}{{fill:{c[name]}}}.s-{name}{{stroke:{c[name]}}}" for name in SERIES]
    rules += [
        f".over{{fill:{c['over']}}}.over-mark{{stroke:{c['surface']}}}.s-over{{stroke:{c['over']}}}",
        f".t{{fill:{c['ink']}}}.muted{{fill:{c['muted']}}}.t-before{{fill:{c['muted']}}}.t-after{{fill:{c['after']}}}",
        f".t-over{{fill:{c['over']}}}.grid{{stroke:{c['grid']}}}.axis{{stroke:{c['muted']}}}.band{{fill:{c['grid']}}}",
        f".peak{{stroke:{c['ink']};stroke-width:1.4;stroke-linejoin:round}}",
        f".node{{fill:{c['surface']};stroke:{c['ink']}}}.hollow{{fill:{c['surface']}}}.surface{{fill:{c['surface']}}}",
        f".halo{{paint-order:stroke;stroke:{c['surface']};stroke-linejoin:round}}",
    ]
    return "".join(rules)


BASE_STYLE = (
    "svg text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-variant-numeric:tabular-nums}.line{fill:none;stroke-linejoin:round;stroke-linecap:round}.bold{font-weight:650}"
)


def utilization_class(utilization: float) -> str:
    """Return the class of a utilization: ``u0`` .. ``u9`` by tenths, ``over`` above capacity."""
    return "over" if utilization > 1.0 else f"u{min(int(utilization * BINS), BINS - 1)}"


def element(name: str, *content: str, **attributes: str | float) -> str:
    """Return one element; a trailing underscore is dropped from a name, other underscores become hyphens.

    `content` is markup: escape text first, or use `text`.
    """
    pairs = (f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    body = "".join(content)
    return f"<{name}{''.join(pairs)}>{body}</{name}>" if body else f"<{name}{''.join(pairs)}/>"


def text(x: float, y: float, words: str, class_: str = "t", size: float = 12, **attributes: str | float) -> str:
    """Return a line of text; `words` are escaped."""
    return element("text", escape(words), x=x, y=y, class_=class_, font_size=size, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **attributes: str | float) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **attributes)


def title(words: str) -> str:
    """Return what a browser shows when the pointer rests on the parent, and what a screen reader says."""
    return element("title", escape(words))


def picture(width: float, height: float, label: str, content: Iterable[str], css: str = "") -> str:
    """Return a whole ``<svg>`` that scales with its container; `css` makes it stand alone."""
    head = element("style", css) if css else ""
    return element(
        "svg",
        title(label),
        head,
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
    )


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers (1, 2, 2.5 or 5 times a power of ten apart) that lie in ``low..high``, about `count`."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * 0.999)
    first = -(-low // step)
    numbers = [(first + n) * step for n in range(count * 2 + 2)]
    return [round(number, 12) for number in numbers if number <= high + step * 1e-6]


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
