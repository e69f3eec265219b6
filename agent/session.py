"""Authentication of one neighbour's frames: no state on disk, replay refused within and across restarts.

Both ends share the domain key. Each proposes a fresh nonce; the session's two keys (one for each direction) are keyed
BLAKE2s of both nonces, the topology and the two router numbers, so a frame is good for one session, one link and one
direction only.

How a session begins (`Init` frames, sealed with a key derived from the domain key alone)::

    A                                   B
    Init(a, echo="",  established=no)   ->             B does not know A: it offers b as a challenge
    <- Init(b, echo=a, established=no)                 A sees its own fresh nonce: established
    Init(b -> a, echo=b, established=yes) ->           B sees its own fresh nonce: established

An end that is established keeps its session until the *fresh* nonce that it offers instead comes back. So an `Init`
recorded earlier (in this run or before a restart) cannot replace a session: it does not echo the fresh nonce. Whoever
replays one gets a challenge out of its receiver, and the other end, which asked for nothing, refuses that. If the last
`Init` is lost, the first session frame that opens under the new keys proves as much.

Within a session every frame carries a counter; a sliding window (RFC 6479 in spirit) refuses what was seen or is too
old. The tag is 64 bits of keyed BLAKE2s over counter and body and is checked before anything is parsed.
"""

from __future__ import annotations

from hashlib import blake2s
from hmac import compare_digest
from typing import Any

from agent.messages import MAX_DATAGRAM, NONCE_BYTES, Frame, Init, MalformedFrame, decode, encode

TAG_BYTES = 8
COUNTER_BYTES = 4
OVERHEAD = TAG_BYTES + COUNTER_BYTES
WINDOW = 256  # frames that may arrive late; a reordering of 64 is what the protocol is tested with
_LAST_COUNTER = 2**32 - 1
_WINDOW_MASK = (1 << WINDOW) - 1


def _derive(key: bytes, label: bytes, *parts: bytes) -> bytes:
    """Return 32 bytes bound to a label and to parts of any length."""
    hashed = blake2s(key=key, person=label)
    for part in parts:
        hashed.update(len(part).to_bytes(4, "big") + part)
    return hashed.digest()


def _keyed(key: bytes) -> Any:
    """Return the hash object of a key's tags with the key's block already hashed: copied for each tag."""
    return blake2s(key=key, digest_size=TAG_BYTES, person=b"lockfram")


def _tag(keyed: Any, data: bytes) -> bytes:
    running = keyed.copy()
    running.update(data)
    digest: bytes = running.digest()
    return digest


class _Direction:
    """One direction of a session: its tag key and its counter or window."""

    __slots__ = ("counter", "keyed", "seen")

    def __init__(self, key: bytes) -> None:
        self.keyed = _keyed(key)
        self.counter = 0
        self.seen = 0  # bit i: counter - i was received

    def accept(self, counter: int) -> None:
        """Note a counter, or raise `MalformedFrame` if it was seen or is older than the window."""
        ahead = counter - self.counter
        if ahead > 0:
            self.seen = ((self.seen << ahead) | 1) & _WINDOW_MASK if ahead < WINDOW else 1
            self.counter = counter
            return
        if ahead <= -WINDOW or self.seen >> -ahead & 1:
            raise MalformedFrame("replayed or too old")
        self.seen |= 1 << -ahead

    def lost(self) -> bool:
        """Whether of the frames up to the newest one, as far as the window remembers, some have not come."""
        known = min(self.counter, WINDOW)
        return self.seen != (1 << known) - 1


class Session:
    """The authenticated channel to the agent at the other end of one link.

    Parameters
    ----------
    key : the domain key, 16..32 bytes
    secret : random bytes of this process (its boot nonce), from which fresh nonces are derived
    local, remote : router numbers
    context : digest of the topology; agents that disagree on it cannot talk
    """

    def __init__(self, *, key: bytes, secret: bytes, local: int, remote: int, context: bytes) -> None:
        if not 16 <= len(key) <= 32:
            raise ValueError(f"domain key of {len(key)} bytes, expected 16..32")
        self._key = key
        self._secret = secret
        self._context = context
        self._outward = local.to_bytes(4, "big") + remote.to_bytes(4, "big")
        self._inward = remote.to_bytes(4, "big") + local.to_bytes(4, "big")
        self._init_out = _keyed(_derive(key, b"lockinit", context, self._outward))
        self._init_in = _keyed(_derive(key, b"lockinit", context, self._inward))
        self._offers = 0
        self._offer = self._fresh()
        self._mine = b""
        self._theirs = b""
        self._candidate = b""  # a peer nonce that was answered with a challenge
        self._out: _Direction | None = None
        self._in: _Direction | None = None
        self.refused = 0  # frames that were not accepted
        self.begun = 0  # sessions so far

    @property
    def established(self) -> bool:
        """Whether frames can be sealed and opened; no more once the counter is used up, then another has to begin."""
        return self._out is not None and self._out.counter < _LAST_COUNTER

    @property
    def lossy(self) -> bool:
        """Whether of the frames up to the newest one, as far as the window remembers, some have not come."""
        return self._in is not None and self._in.lost()

    def reset(self) -> None:
        """Forget the session (its peer was silent too long); the next `Init` begins another."""
        self._out = self._in = None
        self._theirs = b""

    def seal(self, frame: Frame) -> bytes:
        """Return the datagram of a frame; needs an established session."""
        out = self._out
        if out is None:
            raise ValueError("no session with the neighbour")
        if out.counter >= _LAST_COUNTER:
            raise OverflowError("the session's counter is used up")
        out.counter += 1
        data = out.counter.to_bytes(COUNTER_BYTES, "big") + encode(frame)
        return data + _tag(out.keyed, data)

    def init(self) -> bytes:
        """Return the datagram that asks for a session."""
        return self._sealed_init(Init(self._offer, b"", False))

    def open(self, data: bytes) -> tuple[Frame | None, bytes | None]:
        """Return (frame to act on or None, datagram to answer with or None); raise `MalformedFrame` if refused."""
        try:
            if not OVERHEAD < len(data) <= MAX_DATAGRAM:
                raise MalformedFrame(f"{len(data)} bytes, expected {OVERHEAD + 1}..{MAX_DATAGRAM}")
            counter = int.from_bytes(data[:COUNTER_BYTES], "big")
            if counter == 0:
                return None, self._receive_init(data)
            return self._receive_frame(counter, data), None
        except MalformedFrame:
            self.refused += 1
            raise

    def _receive_frame(self, counter: int, data: bytes) -> Frame:
        if self._in is None or not compare_digest(_tag(self._in.keyed, data[:-TAG_BYTES]), data[-TAG_BYTES:]):
            self._adopt_candidate(data)
        assert self._in is not None
        self._in.accept(counter)
        frame = decode(data[COUNTER_BYTES:-TAG_BYTES])
        if isinstance(frame, Init):
            raise MalformedFrame("Init inside of a session")
        return frame

    def _adopt_candidate(self, data: bytes) -> None:
        """Establish the session that was offered if `data` opens under it: only the peer's last Init was lost."""
        if self._candidate:
            inward = _Direction(self._session_key(self._offer, self._candidate, inward=True))
            if compare_digest(_tag(inward.keyed, data[:-TAG_BYTES]), data[-TAG_BYTES:]):
                self._establish(self._candidate)
                return
        raise MalformedFrame("wrong tag" if self.established else "no session")

    def _receive_init(self, data: bytes) -> bytes | None:
        if not compare_digest(_tag(self._init_in, data[:-TAG_BYTES]), data[-TAG_BYTES:]):
            raise MalformedFrame("wrong tag")
        frame = decode(data[COUNTER_BYTES:-TAG_BYTES])
        if not isinstance(frame, Init):
            raise MalformedFrame("session frame outside of a session")
        if self.established and frame.nonce == self._theirs:
            return None if frame.established else self._sealed_init(Init(self._mine, self._theirs, True))
        if frame.echo == self._offer:
            self._establish(frame.nonce)
            return None if frame.established else self._sealed_init(Init(self._mine, self._theirs, True))
        if frame.echo:
            raise MalformedFrame("Init with the echo of another nonce than mine")
        self._candidate = frame.nonce
        return self._sealed_init(Init(self._offer, self._candidate, False))

    def _establish(self, theirs: bytes) -> None:
        self.begun += 1
        self._mine, self._theirs = self._offer, theirs
        self._out = _Direction(self._session_key(self._mine, theirs, inward=False))
        self._in = _Direction(self._session_key(self._mine, theirs, inward=True))
        self._offer = self._fresh()
        self._candidate = b""

    def _session_key(self, mine: bytes, theirs: bytes, *, inward: bool) -> bytes:
        direction = self._inward if inward else self._outward
        sender, receiver = (theirs, mine) if inward else (mine, theirs)
        return _derive(self._key, b"locksess", self._context, direction, sender, receiver)

    def _sealed_init(self, frame: Init) -> bytes:
        data = bytes(COUNTER_BYTES) + encode(frame)
        return data + _tag(self._init_out, data)

    def _fresh(self) -> bytes:
        self._offers += 1
        return _derive(self._key, b"locknonc", self._secret, self._outward, self._offers.to_bytes(8, "big"))[
            :NONCE_BYTES
        ]
