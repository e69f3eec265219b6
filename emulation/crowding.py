"""How patient the programs of a run have to be with each other, where many share few cores."""

from __future__ import annotations

import os

# With more, everything takes longer: a hundred ospfds that compute routes silence agents, and each other, for seconds.
_ROUTERS_PER_CORE = 16


def crowding(routers: int, cores: int = 0) -> float:
    """Return by which factor to wait longer than where each router has room, at least 1.

    cores : of the machine; 0: this one's
    """
    return max(1.0, routers / (_ROUTERS_PER_CORE * (cores or os.cpu_count() or 1)))
