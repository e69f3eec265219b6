"""The agent at the other end of a link, as this router sees it: session, signs of life, what was sent to it."""

from __future__ import annotations

from collections import deque

from agent.messages import Frame, Hello, MalformedFrame
from agent.overhead import Overhead
from agent.session import Session
from agent.waiting import Timing
from routing.topology import Topology

_EARLY_FRAMES = 4  # of an episode that this router has not been told of yet


def neighbours_of(
    topology: Topology,
    router: int,
    *,
    key: bytes,
    secret: bytes,
    outbox: list[tuple[int, bytes]],
    now: float,
    timing: Timing,
) -> dict[int, Neighbour]:
    """Return a router's neighbours by their numbers, in the order of its links; for the rest see below."""
    out = topology.out_links(router)
    return {
        peer: Neighbour(
            peer,
            topology.nodes[peer],
            Session(key=key, secret=secret, local=router, remote=peer, context=topology.digest()),
            outbox,
            now=now,
            hello_s=timing.hello_s,
            dead_s=timing.dead_s,
        )
        for peer in topology.dst[out].tolist()
    }


class Neighbour:
    """One neighbour.

    Parameters
    ----------
    router, name : its number and its name
    session : the authenticated channel to it, fresh
    outbox : (router, datagram), where what is to be sent is put
    now : the clock
    hello_s, dead_s : how often to say hello, and after which silence the neighbour counts as silent, in seconds

    Attributes
    ----------
    overhead : what was sent to it
    early : its last frames of an episode that is still to come here
    trip_s : round trip when the session began, in seconds, or less if both asked for it at once
    """

    def __init__(
        self,
        router: int,
        name: str,
        session: Session,
        outbox: list[tuple[int, bytes]],
        *,
        now: float,
        hello_s: float,
        dead_s: float,
    ) -> None:
        self.router = router
        self.name = name
        self.session = session
        self.overhead = Overhead()
        self.early: deque[Frame] = deque(maxlen=_EARLY_FRAMES)
        self._outbox = outbox
        self._hello_s = hello_s
        self._dead_s = dead_s
        self.trip_s = 0.0
        self._speak_at = now
        self._heard_at = now
        self._asked_at = now

    def receive(self, data: bytes, now: float) -> tuple[Frame | None, bool]:
        """Take a datagram; return the frame to act on, if any, and whether a session has just begun."""
        session = self.session
        begun = session.begun
        try:
            frame, answer = session.open(data)
        except MalformedFrame:
            return None, False
        if frame is not None and session.begun == begun:
            self._heard_at = now
            return (None if isinstance(frame, Hello) else frame), False
        began = session.begun != begun
        if began:
            self._speak_at = now + self._hello_s
            self.trip_s = now - self._asked_at
        if answer is not None:
            self._send(answer, "control", again=False)
            self._asked_at = now
        if began or frame is not None:  # an Init alone may be an old one
            self._heard_at = now
        return (None if isinstance(frame, Hello) else frame), began

    def send(self, frame: Frame, purpose: str, *, again: bool, now: float) -> None:
        """Send a frame, if there is a session; for the purposes see `agent.overhead`."""
        if self.session.established:
            self._send(self.session.seal(frame), purpose, again=again)
            self._speak_at = now + self._hello_s

    def due(self) -> float:
        """Return when `keep_alive` has something to do."""
        return min(self._speak_at, self._heard_at + self._dead_s) if self.session.established else self._speak_at

    def keep_alive(self, now: float) -> float | None:
        """Say hello or ask for a session if it is time; return how long the neighbour was silent if too long."""
        silent_s = None
        if self.session.established and now >= self._heard_at + self._dead_s:
            silent_s = now - self._heard_at
            self.session.reset()
            self._speak_at = now
        if now >= self._speak_at:
            if self.session.established:
                self.send(Hello(), "control", again=False, now=now)
            else:
                self._send(self.session.init(), "control", again=False)
                self._asked_at = now
                self._speak_at = now + self._hello_s
        return silent_s

    def _send(self, data: bytes, purpose: str, *, again: bool) -> None:
        self.overhead.count(purpose, len(data), again=again)
        self._outbox.append((self.router, data))
