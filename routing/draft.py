"""A network as some file tells it, before it is one: what every reader returns and `routing.complete` completes.

Formats differ in what they leave out (capacities, the way back of a link, usable names) and in what they allow
(parallel links, loose parts). A reader only reports; what is done about it is decided in one place, and named there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routing.errors import InputError
from routing.rates import rate_text, scaled

DEFAULT_CAPACITY = 10e9  # bit/s: a common link of the networks in the Topology Zoo
UNITS = {"bit": 0, "kbit": 3, "Mbit": 6, "Gbit": 9}
MODULES = ("smallest", "largest", "ignore")


@dataclass(frozen=True)
class Assumptions:
    """What to assume where a file is silent; every use is reported.

    Parameters
    ----------
    capacity : bit/s of a link without one; None: 10 Gbit/s, or what the format's own tools assume (PRISMA: 500 kbit/s)
    unit : of capacities and demands in an SNDlib file that does not say: bit, kbit, Mbit or Gbit (per second)
    modules : which installable SNDlib module a link without preinstalled capacity has: smallest, largest or ignore
    largest : keep only the largest connected part of a network that is not connected

    Raises
    ------
    InputError : a value that is none of these
    """

    capacity: float | None = None
    unit: str = "Mbit"
    modules: str = "smallest"
    largest: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        if self.capacity is not None and not 0 < self.capacity < math.inf:
            raise InputError(f"capacity {self.capacity:g}, expected a positive number of bit/s")
        if self.unit not in UNITS:
            raise InputError(f"unit {self.unit!r}, expected one of {', '.join(UNITS)}")
        if self.modules not in MODULES:
            raise InputError(f"modules {self.modules!r}, expected one of {', '.join(MODULES)}")


@dataclass(frozen=True)
class DraftLink:
    """One directed link between node indices; `capacity` in bit/s and `weight` are None where the file has none."""

    src: int
    dst: int
    capacity: float | None
    weight: int | None = None
    line: int | None = None


@dataclass(frozen=True)
class DraftDemand:
    """`rate` bit/s from node `src` to node `dst`; several for one pair add up."""

    src: int
    dst: int
    rate: float


@dataclass
class Draft:
    """What a file says.

    Attributes
    ----------
    name : of the network
    names : of the nodes, as in the file: maybe empty, repeated or unusable
    positions : longitude and latitude, or x and y if not `geographic`; NaN where unknown
    links : in the order of the file
    demands : None if the file has no room for them or leaves them out
    exact : the file states every capacity in bit/s, so it is meant for a program like this one: an omission in it is a
        mistake, and nothing is repaired
    default_capacity : bit/s, what the format's own tools assume
    notices : what the reader had to decide
    """

    name: str
    names: list[str]
    positions: list[tuple[float, float]]
    geographic: bool
    links: list[DraftLink]
    demands: list[DraftDemand] | None = None
    exact: bool = False
    default_capacity: float = DEFAULT_CAPACITY
    notices: list[str] = field(default_factory=list)


def demand_matrix(demands: list[DraftDemand], num_nodes: int) -> NDArray[np.float64]:
    """(N, N) float64, bit/s; the demands of a pair are added, those of a node to itself left out.

    Raises InputError if a sum is not finite.
    """
    matrix = np.zeros((num_nodes, num_nodes))
    for demand in demands:
        if demand.src != demand.dst:
            matrix[demand.src, demand.dst] += demand.rate
    if not np.isfinite(matrix).all():
        raise InputError("demands of one pair add up to infinity, expected finite numbers")
    return matrix


def are_degrees(positions: list[tuple[float, float]]) -> bool:
    """Whether the known positions could all be longitude and latitude; for formats that do not say."""
    return all(not (abs(x) > 180 or abs(y) > 90) for x, y in positions)


def text_of(content: bytes, what: str) -> str:
    """Decode UTF-8; InputError says that `what` was expected."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text, expected {what}") from error


def number(text: str, line: int | None, what: str, exponent: int = 0) -> float:
    """Return the finite number `text` times ten to the `exponent`; InputError says that `what` was expected."""
    value = scaled(text, exponent)
    if value is None or not math.isfinite(value):
        raise InputError(f"{text!r} is not a finite number, expected {what}", line=line)
    return value


def positive(text: str, line: int | None, what: str, exponent: int = 0) -> float:
    """As `number`, but > 0."""
    value = number(text, line, what, exponent)
    if value <= 0:
        raise InputError(f"{text}, expected {what} above zero", line=line)
    return value


def nonnegative(text: str, line: int | None, what: str, exponent: int = 0) -> float:
    """As `number`, but >= 0."""
    value = number(text, line, what, exponent)
    if value < 0:
        raise InputError(f"{text}, expected {what}, not below zero", line=line)
    return value


def assumed(links: int, capacity: float) -> str:
    """Return the notice about links without capacity."""
    return f"{links} link(s) without capacity, {rate_text(capacity)} assumed"
