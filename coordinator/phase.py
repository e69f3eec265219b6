"""What the coordinator is about.

States::

    IDLE --request, epoch--> RUNNING --results, silence--> IDLE
                                | newer request, cancel()
                                v
                            CANCELLING --results, grace--> IDLE
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """See the module's docstring."""

    IDLE = enum.auto()
    RUNNING = enum.auto()
    CANCELLING = enum.auto()
