"""Before and after a commit: what the routers must agree on, and whether all of them carried it out.

PREPARE is a tree pass of `Prepared`: the whole digest, the best step and both MLUs. Routers that agree merge into one
statement with their number; any difference becomes a `problem`. Every router derives the same verdict from the root's
outcome. If that is to commit, the root has added the waves (`agent.commit`), so that not every router has to find the
same ones; they are carried out by each router for its own links, and each wave is confirmed in a pass of `Applied`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from agent.messages import MalformedFrame
from policy.digest import DIGEST_BYTES

_Count = Annotated[int, Meta(ge=0, le=2**31)]
MAX_PROBLEM = 300
UNSEEN = "OSPF does not show"  # in problems that may be the consequence of another router's
_Problem = Annotated[str, Meta(max_length=MAX_PROBLEM)]
MAX_WAVES = 4096
_Changes = Annotated[dict[_Count, Annotated[int, Meta(ge=1, le=65535)]], Meta(min_length=1, max_length=2**16)]


class Prepared(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A subtree's common view of the episode, or the `problem` that it has none; `waves` (link -> weight) if to commit.

    Only those of the root count. Links have the numbers of the epoch's part.
    """

    digest: Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
    best_step: _Count
    best_mlu: float
    live_mlu: float
    routers: _Count = 1
    problem: _Problem = ""
    waves: Annotated[list[_Changes], Meta(max_length=MAX_WAVES)] = []


class Applied(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How many routers of a subtree have their new costs in the LSDB, and how many costs changed."""

    routers: _Count = 1
    changed: _Count = 0
    problem: _Problem = ""


class Verdict(Enum):
    """What a prepared episode ends with."""

    COMMIT = "commit"
    KEEP = "keep"
    ABORT = "abort"


_T = TypeVar("_T", Prepared, Applied)
_encoder = msgspec.msgpack.Encoder()


def encode(statement: Prepared | Applied) -> bytes:
    """Return a statement as a payload of a tree pass."""
    return _encoder.encode(statement)


def decode(payload: bytes, kind: type[_T]) -> _T:
    """Return the statement of a payload, or raise `MalformedFrame`."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrame(f"not a {kind.__name__}: {error}") from error


def merge_prepared(payloads: Sequence[bytes]) -> bytes:
    """Merge views: equal ones add their routers up, different ones become a problem."""
    views = [decode(payload, Prepared) for payload in payloads]
    first = views[0]
    problem = next((view.problem for view in views if view.problem), "")
    if not problem and any(_view(view) != _view(first) for view in views):
        problem = f"digests differ: {', '.join(sorted({view.digest.hex()[:8] for view in views}))}"
    routers = sum(view.routers for view in views)
    return encode(msgspec.structs.replace(first, routers=routers, problem=problem[:MAX_PROBLEM], waves=[]))


def _view(prepared: Prepared) -> tuple[bytes, int, float, float]:
    return prepared.digest, prepared.best_step, prepared.best_mlu, prepared.live_mlu


def merge_applied(payloads: Sequence[bytes]) -> bytes:
    """Add up what was carried out; of problems the first is kept, a cause before a consequence."""
    done = [decode(payload, Applied) for payload in payloads]
    return encode(
        Applied(
            routers=sum(one.routers for one in done),
            changed=sum(one.changed for one in done),
            problem=min((one.problem for one in done if one.problem), key=lambda text: UNSEEN in text, default=""),
        )
    )


def verdict(prepared: Prepared, routers: int, margin_milli: int, *, restore: bool = False) -> tuple[Verdict, str]:
    """Return what to do, and why if it is not a commit.

    `margin_milli` is how far the best MLU must be below the live one, in thousandths of the live one; to `restore`
    weights, it does not matter.
    """
    if prepared.problem:
        return Verdict.ABORT, prepared.problem
    if prepared.routers != routers:
        return Verdict.ABORT, f"{prepared.routers} of {routers} routers prepared"
    if restore or prepared.best_mlu * 1000.0 < prepared.live_mlu * (1000 - margin_milli):
        return Verdict.COMMIT, ""
    return (
        Verdict.KEEP,
        f"best MLU {prepared.best_mlu:.4f} is not {margin_milli / 10:g} % below the live {prepared.live_mlu:.4f}",
    )
