"""What a router sent over each of its links, by purpose: the cost that the paper's Table I estimates, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from agent.control import LinkCounters
from agent.messages import Frame, State


@dataclass
class Overhead:
    """Frames and bytes (UDP payload) sent over one link since the process began."""

    frames: int = 0
    bytes: int = 0
    hidden_bytes: int = 0
    sharing_bytes: int = 0
    control_bytes: int = 0
    retransmitted_frames: int = 0
    retransmitted_bytes: int = 0

    def count(self, purpose: str, size: int, *, again: bool) -> None:
        """Add one datagram; `purpose` is hidden, sharing or control."""
        self.frames += 1
        self.bytes += size
        if purpose == "hidden":
            self.hidden_bytes += size
        elif purpose == "sharing":
            self.sharing_bytes += size
        else:
            self.control_bytes += size
        if again:
            self.retransmitted_frames += 1
            self.retransmitted_bytes += size

    def copy(self) -> Overhead:
        """Return a snapshot."""
        return Overhead(*(getattr(self, field.name) for field in fields(self)))

    def since(self, before: Overhead, link: int) -> LinkCounters:
        """Return what was sent after a snapshot, as a message names it."""
        return LinkCounters(
            link=link, **{f.name: getattr(self, f.name) - getattr(before, f.name) for f in fields(self)}
        )


def purpose_of(frame: Frame, steps: int) -> str:
    """Return what a frame is for: tree passes below number `steps` share, later ones agree on the result."""
    if isinstance(frame, State):
        return "hidden"
    number = getattr(frame, "number", None)
    return "sharing" if number is not None and number < steps else "control"


def sent_since(before: Mapping[int, Overhead], now: Mapping[int, Overhead]) -> list[LinkCounters]:
    """Return what was sent between two snapshots of the router's links: link -> what was sent over it."""
    return [sent.since(before[link], link) for link, sent in now.items()]
