"""Frames between neighbouring agents: MessagePack arrays, schema-checked, at most 1400 bytes with everything.

A datagram is ``counter (4 bytes) | body | tag (8 bytes)``; `agent.session` seals and opens it, this module only knows
bodies. A body is a MessagePack array whose first item is the kind:

=====  =========  ======================================================================================
kind   frame      purpose
=====  =========  ======================================================================================
0      `Init`     agree on session keys (sealed with the domain key)
1      `Hello`    "I am here", when nothing else was sent
2      `State`    the hidden state of the link between both, one round
3      `Up`       a part of what a subtree has to say in a tree pass
4      `Down`     a part of what the root has decided in a tree pass
5      `Abort`    end this episode
=====  =========  ======================================================================================

`want` marks a repetition by someone who is still waiting: the receiver repeats what the sender lacks. A frame without
it is never answered by a repetition, so two neighbours cannot echo each other for ever.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

MAX_DATAGRAM = 1400  # fits an Ethernet MTU under IPv6 and a tunnel header
MAX_PART = 1300  # payload of one `Up` or `Down`
MAX_PARTS = 512  # of a payload: the logits of 40,000 links; what a neighbour can make this router store and decode
DIGEST_BYTES = 4  # of the running digest in each frame; the whole one is compared before a commit
NONCE_BYTES = 8
MAX_HIDDEN = 1024  # bytes of hidden states in one frame
MAX_REASON = 400  # characters, and bytes of what is sent

_Unsigned = Annotated[int, Meta(ge=0, le=2**32 - 1)]
_Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
_Payload = Annotated[bytes, Meta(max_length=MAX_PART)]


class MalformedFrame(Exception):
    """The peer's failure: a frame to count and drop. `reason` says what was wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Init(Struct, frozen=True, array_like=True, tag=0, forbid_unknown_fields=True):
    """Session keys: `nonce` is the sender's, `echo` the receiver's as the sender knows it (empty if it does not)."""

    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    echo: Annotated[bytes, Meta(max_length=NONCE_BYTES)]
    established: bool


class Hello(Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """A sign of life."""


class State(Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """The sender's hidden state of its link to the receiver before a round of a step: D float16, little endian.

    On a link that loses frames `hidden` is twice as long: the state of the round before follows.
    """

    episode: _Unsigned
    step: _Unsigned
    round: Annotated[int, Meta(ge=0, le=255)]
    want: bool
    digest: _Digest
    hidden: Annotated[bytes, Meta(min_length=2, max_length=MAX_HIDDEN)]


class Up(Struct, frozen=True, array_like=True, tag=3, forbid_unknown_fields=True):
    """Toward the root: part `part` of `parts` of the sender's subtree in tree pass `number`."""

    episode: _Unsigned
    number: _Unsigned
    want: bool
    digest: _Digest
    part: Annotated[int, Meta(ge=0, lt=MAX_PARTS)]
    parts: Annotated[int, Meta(ge=1, le=MAX_PARTS)]
    payload: _Payload


class Down(Struct, frozen=True, array_like=True, tag=4, forbid_unknown_fields=True):
    """From the root: part `part` of `parts` of the outcome of tree pass `number`."""

    episode: _Unsigned
    number: _Unsigned
    digest: _Digest
    part: Annotated[int, Meta(ge=0, lt=MAX_PARTS)]
    parts: Annotated[int, Meta(ge=1, le=MAX_PARTS)]
    payload: _Payload


class Abort(Struct, frozen=True, array_like=True, tag=5, forbid_unknown_fields=True):
    """The episode is over for the sender; `reason` names who found what."""

    episode: _Unsigned
    reason: Annotated[str, Meta(max_length=MAX_REASON)]

    @classmethod
    def because(cls, episode: int, reason: str) -> Abort:
        """Return a frame with as much of the reason as fits (names of routers may be in any script)."""
        return cls(episode, reason.encode()[:MAX_REASON].decode(errors="ignore"))


EpisodeFrame = State | Up | Down | Abort
Frame = Init | Hello | EpisodeFrame

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """Return the body of a frame."""
    return _encoder.encode(frame)


def decode(body: bytes | memoryview) -> Frame:
    """Return the frame of a body, or raise `MalformedFrame`."""
    try:
        frame = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrame(str(error)) from error
    return Abort(frame.episode, printable(frame.reason)) if type(frame) is Abort else frame


def printable(text: str) -> str:
    """Return a text from elsewhere as one that cannot move a terminal's cursor or forge a line of a log."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
