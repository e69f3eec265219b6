"""What ``--fail`` and ``--fail-router`` name; nothing fails here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing.errors import InputError
from routing.subnetwork import components
from routing.topology import Topology


@dataclass(frozen=True, eq=False)
class Failure:
    """A link (both directions) or a router that fails while the agents decide.

    Attributes
    ----------
    what : "link Hamburg-Berlin" or "router Berlin"
    step : after which decision; 0: before the first
    links : (n,) int64, all directed links that are gone
    router : the router that is gone, None for a link
    """

    what: str
    step: int
    links: NDArray[np.int64]
    router: int | None = None


def parse_failure(topology: Topology, link: str | None, router: str | None, steps: int) -> Failure | None:
    """Return what the options name, ``A-B@STEP`` or ``ROUTER@STEP``.

    Raises
    ------
    InputError : no such link, router or step; or the network would fall apart
    """
    if link is None and router is None:
        return None
    if link is not None and router is not None:
        raise InputError("--fail and --fail-router: expected one of them")
    option, text = ("--fail", link) if link is not None else ("--fail-router", router)
    name, at, number = (text or "").rpartition("@")
    if not at or not (number.isascii() and number.isdigit()) or int(number) > steps:
        form = "A-B@STEP" if link is not None else "ROUTER@STEP"
        raise InputError(f"{option} {text}, expected {form} with a step of 0..{steps}")
    failure = _link(topology, name, int(number)) if link is not None else _router(topology, name, int(number))
    survivors = topology.num_nodes - (failure.router is not None)
    up = np.ones(topology.num_links, dtype=bool)
    up[failure.links] = False
    if survivors < 2 or max(map(len, components(topology, up))) < survivors:
        raise InputError(f"{option} {text}: the network would fall apart, expected a failure that it survives")
    return failure


def _link(topology: Topology, name: str, step: int) -> Failure:
    for a, b in _ends(name):
        if a in topology.nodes and b in topology.nodes:
            ends = topology.nodes.index(a), topology.nodes.index(b)
            try:
                there = topology.link_index(*ends)
            except ValueError:
                continue
            both = np.array(sorted((there, int(topology.reverse[there]))), dtype=np.int64)
            return Failure(f"link {a}-{b}", step, both)
    known = ", ".join(topology.link_name(link).replace("->", "-") for link in range(min(3, topology.num_links)))
    raise InputError(f"--fail: no link {name!r} in {topology.name}, expected two neighbours as in {known}")


def _ends(name: str) -> Sequence[tuple[str, str]]:
    """Return the pairs of names that ``A-B`` or ``A->B`` may mean: names may have hyphens of their own."""
    if "->" in name:
        a, _, b = name.partition("->")
        return [(a, b)]
    return [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "-"]


def _router(topology: Topology, name: str, step: int) -> Failure:
    if name not in topology.nodes:
        raise InputError(f"--fail-router: no router {name!r} in {topology.name}, expected one as {topology.nodes[0]}")
    node = topology.nodes.index(name)
    gone = np.flatnonzero((topology.src == node) | (topology.dst == node))
    return Failure(f"router {name}", step, gone, node)
