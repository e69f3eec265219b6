"""How much a program remembers: bytes of all objects that can be reached from one, without what it only shares."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType

import numpy as np

from experiments.virtual_broker import VirtualBroker
from experiments.virtual_links import Wires
from experiments.virtual_ospf import Area
from experiments.virtual_time import VirtualLoop, World
from policy.mpnn import Network
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import TrafficMatrix

_SHARED = (
    *(type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, FrameType),
    *(
        World,
        Wires,
        Area,
        VirtualBroker,
        VirtualLoop,
        asyncio.Task,
        asyncio.Handle,
        Topology,
        TrafficMatrix,
        Network,
        RoutingState,
    ),
)


def remembered(roots: Iterable[object]) -> int:
    """Return bytes; of arrays, topologies and the like, which do not grow with what happens, nothing is counted."""
    seen: set[int] = set()
    stack = list(roots)
    total = 0
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            continue
        total += sys.getsizeof(one)
        stack.extend(gc.get_referents(one))
    return total
