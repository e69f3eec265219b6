"""Where an episode stands on one router, and how it goes on.

::

    EXCHANGING --K rounds--> SHARING --tree pass--> EXCHANGING ... after T steps --> PREPARING
    PREPARING --tree pass--> ENDED (kept or aborted), or COMMITTING
    COMMITTING --own costs set, tree pass--> COMMITTING (next wave) ... ENDED (committed), or RETURNING
    RETURNING --own costs restored, tree pass--> RETURNING (wave before) ... ENDED (aborted)
    any --fault--> ENDED (aborted); a fault while COMMITTING or RETURNING goes through UNDOING: all old costs at once

A router that has spoken in the pass of the last wave is *in doubt*: the root may have told others that all is done. It
does not go back by itself any more. It waits for the outcome, and failing that does what the LSDB shows that others
have done.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where the episode stands."""

    EXCHANGING = "exchanging hidden states"
    SHARING = "sharing candidates"
    PREPARING = "agreeing on the result"
    COMMITTING = "setting costs"
    RETURNING = "restoring costs together"
    UNDOING = "restoring costs"
    ENDED = "ended"
