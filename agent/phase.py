"""Where an episode stands on one router, and how it goes on.

::

    EXCHANGING --K rounds--> SHARING --tree pass--> EXCHANGING ... after T steps --> PREPARING
    PREPARING --tree pass--> ENDED (kept or aborted), or COMMITTING
    COMMITTING --own costs set, tree pass--> ENDED (committed), or UNDOING --costs restored--> ENDED (aborted)
    any --fault--> ENDED (aborted); a fault while COMMITTING goes through UNDOING

A router that has said in the COMMIT pass that its part of the network is done may not go back by itself any more: the
root may have told others that all is. It waits for the outcome, or for an `Abort` of one that had not said so.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where the episode stands."""

    EXCHANGING = "exchanging hidden states"
    SHARING = "sharing candidates"
    PREPARING = "agreeing on the result"
    COMMITTING = "setting costs"
    UNDOING = "restoring costs"
    ENDED = "ended"
