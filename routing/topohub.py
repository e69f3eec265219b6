"""The networks of topohub by name: ``topohub:sndlib/geant``, ``topohub:topozoo/Abilene``, ``topohub:gabriel/50/3``.

P. Jurkiewicz, "TopoHub: A repository of reference Gabriel graph and real-world topologies for networking research",
SoftwareX 24, 2023; https://topohub.readthedocs.io. The package holds one file per network in networkx's node-link
format, with names, positions and, for SNDlib's networks, demands in SNDlib's unit (`Assumptions.unit`); capacities it
has none. It is optional here and imported only for such a name.
"""

from __future__ import annotations

import difflib
import json
import math
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from routing.draft import UNITS, Assumptions, Draft, DraftDemand, DraftLink, are_degrees
from routing.errors import InputError

PREFIX = "topohub:"


def read_topohub(key: str, assume: Assumptions) -> Draft:
    """Read the network called `key` (``sndlib/geant``).

    Raises
    ------
    InputError : topohub is not installed, does not know the name, or has changed its format
    """
    return parse_topohub(_find(_data(), key).read_bytes(), key, assume)


def parse_topohub(content: bytes, key: str, assume: Assumptions) -> Draft:
    """Read a network of topohub from its file; raises InputError."""
    try:
        return _draft(json.loads(content), key, assume)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{PREFIX}{key}: not in the format of topohub 1.5 ({type(error).__name__}: {error})"
        ) from error


def topohub_names() -> list[str]:
    """Names with the prefix, sorted; empty if topohub is not installed."""
    try:
        return [PREFIX + key for key in sorted(_keys(_data()))]
    except InputError:
        return []


def _data() -> Traversable:
    try:
        import topohub
    except ImportError as error:
        raise InputError(
            f"{PREFIX} needs the package topohub, which is not installed; expected `scripts/setup baselines` first"
        ) from error
    return resources.files(topohub) / "data"


def _find(data: Traversable, key: str) -> Traversable:
    # Only names that are listed: the key becomes a path.
    keys = _keys(data)
    if key in keys:
        return keys[key]
    folded = {known.lower(): known for known in keys}
    near = [folded[name] for name in difflib.get_close_matches(key.lower(), list(folded), n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(PREFIX + name for name in near)}? " if near else ""
    groups = ", ".join(sorted({known.partition("/")[0] for known in keys}))
    raise InputError(f"topohub has no {key!r}; {hint}(expected {PREFIX}GROUP/NAME, groups: {groups})")


def _keys(folder: Traversable, prefix: str = "") -> dict[str, Traversable]:
    keys = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            keys.update(_keys(entry, f"{prefix}{entry.name}/"))
        elif entry.name.endswith(".json"):
            keys[prefix + entry.name.removesuffix(".json")] = entry
    return keys


def _draft(data: dict[str, Any], key: str, assume: Assumptions) -> Draft:
    """Take the parts of the node-link object; ids are numbers, or the digits of one."""
    index = {str(node["id"]): number for number, node in enumerate(data["nodes"])}
    names = [str(node.get("name") or "") for node in data["nodes"]]
    positions = [_position(node.get("pos")) for node in data["nodes"]]
    links = []
    for edge in data["edges"]:
        src, dst = index[str(edge["source"])], index[str(edge["target"])]
        links += [DraftLink(src, dst, None), DraftLink(dst, src, None)]
    factor = 10.0 ** UNITS[assume.unit]
    demands = [
        DraftDemand(index[src], index[dst], float(value) * factor)
        for src, row in data["graph"].get("demands", {}).items()
        for dst, value in row.items()
    ]
    draft = Draft(f"topohub-{key.replace('/', '-')}", names, positions, are_degrees(positions), links, demands or None)
    if demands:
        draft.notices.append(f"demands without unit, {assume.unit}/s assumed")
    return draft


def _position(pair: Any) -> tuple[float, float]:
    return (math.nan, math.nan) if pair is None else (float(pair[0]), float(pair[1]))
