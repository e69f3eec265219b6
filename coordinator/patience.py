"""How long the coordinator waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes
    ----------
    silence_s : for the next sign of a running episode (a step or a result) before it is given up
    grace_s : for results that may not come: of offline agents, after a cancellation, after a reconnection
    gather_s : without any change, for agents that were never there
    settle_s : likewise, for those that were lost, and for all agents to see the same network
    return_s : after a reconnection, for agents that were there before to find the broker again: their longest pause
        between attempts, and a little more
    retry_s : before an episode is tried again; doubled with each attempt
    hold_s : after a commit, before the next request
    look_s : after an episode, for every agent to have seen what became of the costs
    attempts : how often an episode is tried
    """

    silence_s: float = 30.0
    grace_s: float = 5.0
    gather_s: float = 10.0
    settle_s: float = 0.5
    return_s: float = 2.5
    retry_s: float = 0.05
    hold_s: float = 0.0
    look_s: float = 1.5
    attempts: int = 5
