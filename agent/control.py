"""What coordinator and agents tell each other over MQTT: schema-checked MessagePack.

Topics, all below ``lockstep/<domain>/``:

=============================  =====================  ==========================================================
topic                          who publishes          what
=============================  =====================  ==========================================================
``start``                      coordinator            `Start`: run an episode with this traffic matrix
``cancel``                     coordinator            `Cancel`: end the episode, costs stay as they are
``agents/<router>/status``     each agent, retained   `Status`; the broker publishes an offline one as its will
``agents/<router>/result``     each agent, retained   `Result`: how its newest episode ended
``agents/<router>/progress``   the root of the tree   `Progress`: one step
=============================  =====================  ==========================================================

The coordinator is not in the loop: once every agent has its `Start`, the episode runs among the routers alone.

Each agent publishes below its own name only, so a broker can hold it to that (`python -m coordinator broker`). Lists
and texts are bounded in the schema, and msgspec compares a list's announced length before it makes the list: what a
message takes in memory is a small multiple of its bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from policy.schedule import MAX_INCREMENTS, MAX_STEPS

MAX_PAYLOAD = 64 * 1024 * 1024  # a matrix of 2800 nodes; nothing longer is decoded

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Reason = Annotated[str, Meta(max_length=1000)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Episode = Annotated[int, Meta(ge=1, le=2**31)]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Ending = Literal["committed", "kept", "aborted"]
MAX_DEGREE = 4096  # links of one router

_Links = Annotated[list[Count], Meta(max_length=MAX_INCREMENTS)]
_Numbers = Annotated[list[Count], Meta(max_length=2**20)]  # of links or nodes
_HashOrNone = Annotated[str, Meta(max_length=32)]


class MalformedMessage(Exception):
    """A payload that is not the message that its topic promises; `str()` says why."""


class Start(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Run one episode.

    Attributes
    ----------
    episode : number of the episode, greater than any before it
    seed : seed of the sampling, shared by all routers
    steps : T, decisions to take
    increments : links whose weight changes in one step
    opening : that number in the first step, then fewer (`policy.schedule`)
    patience : the episode ends when so many steps in a row brought nothing better; 0: it has all T
    temperature_milli : temperature of the softmax in thousandths, an integer so that all round it alike
    share : `candidate` (the best links travel over the tree) or `logits` (all of them do, as in the paper)
    ecmp : split equally over all next hops, or use the first only
    margin_milli : how much lower (in thousandths of the live MLU) the best MLU must be to be committed
    topology : digest of the topology, hex; an agent with another one refuses
    checkpoint : hash of the policy's checkpoint, hex; likewise
    traffic : (N, N) float64 little endian, bit/s, row by row
    start_weights : (L,) uint16 little endian, where the episode starts; live weights are read from OSPF by each router
    down : links that OSPF does not route over, and
    absent : nodes without an agent: together the epoch; an agent that sees another one refuses
    restore : no steps: the start weights are committed as they are, whatever their MLU
    ordered : commit in waves during which no packet loops; else all at once
    watch_s : for so many seconds after a commit the agents report what their links carry
    """

    episode: Episode
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    steps: Annotated[int, Meta(ge=0, le=MAX_STEPS)]
    increments: Annotated[int, Meta(ge=1, le=MAX_INCREMENTS)] = 1
    opening: Annotated[int, Meta(ge=1, le=MAX_INCREMENTS)] = 1
    patience: Annotated[int, Meta(ge=0, le=MAX_STEPS)] = 0
    temperature_milli: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    share: Literal["candidate", "logits"] = "candidate"
    ecmp: bool = True
    margin_milli: Annotated[int, Meta(ge=0, le=1000)] = 10
    topology: Hash
    checkpoint: Hash
    traffic: bytes
    start_weights: bytes
    down: _Numbers = []
    absent: _Numbers = []
    restore: bool = False
    ordered: bool = True
    watch_s: Annotated[float, Meta(ge=0, le=86400)] = 0.0


class Cancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End an episode before its time."""

    episode: Episode
    reason: Reason


class Status(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent's presence.

    Attributes
    ----------
    router : its name
    online : False in the last will and in a goodbye
    ready : all its neighbours' agents have answered it
    waiting_for : the neighbours that have not
    episode : the newest episode whose `Start` has reached it;
        the coordinator sends a missed `Start` again, and its next episode has a greater number
    topology, checkpoint : what the agent runs with, as in `Start`; empty if unknown
    weights : (L,) uint16 little endian, what the agent's LSDB shows of all links, 0 where OSPF does not route; empty:
        unknown
    problem : why the agent cannot take part now, if it cannot
    carried : bit/s that left over each of the router's links in the last window of a watch, in link order
    window : number of that window
    """

    router: Name
    online: bool
    ready: bool = False
    waiting_for: Annotated[list[Name], Meta(max_length=MAX_DEGREE)] = []
    episode: Annotated[int, Meta(ge=0, le=2**31)] = 0
    topology: _HashOrNone = ""
    checkpoint: _HashOrNone = ""
    weights: bytes = b""
    problem: Reason = ""
    carried: Annotated[list[float], Meta(max_length=MAX_DEGREE)] = []
    window: Count = 0


class Progress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision: the links whose weight changed and the MLU after it. Step 0 is the start."""

    episode: Episode
    step: Count
    links: _Links
    mlu: float


class LinkCounters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent sent over one of its links. Bytes are UDP payload, header and tag included.

    `hidden_bytes + sharing_bytes + control_bytes == bytes`; the retransmitted ones are among them.
    """

    link: Count
    frames: Count = 0
    bytes: Count = 0
    hidden_bytes: Count = 0
    sharing_bytes: Count = 0
    control_bytes: Count = 0
    retransmitted_frames: Count = 0
    retransmitted_bytes: Count = 0


class Result(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one router's episode ended.

    `committed`: the best weights are live; `kept`: no state was better than the live one by the margin; `aborted`:
    `reason` says why, costs stay. Only the root of the tree sends the trace (`links`, `mlu`), which is the same
    everywhere if the digests agree. `best_weights`, (L,) uint16 little endian, come from the root, and from all if a
    commit was begun (`began`; without `steps` it was to restore costs); then `live_weights` are those before it. Links
    that are down keep a weight in both. It is `remembered` if it comes from what the agent's last process has left
    (`agent.lastcommit`): another result of the same router and episode says more.
    """

    router: Name
    episode: Episode
    status: Ending
    reason: Reason = ""
    digest: _HashOrNone = ""
    steps: Count = 0
    best_step: Count = 0
    mlu_start: float = 0.0
    mlu_live: float = 0.0
    mlu_best: float = 0.0
    costs_changed: Count = 0
    lsdb_verified: bool = False
    episode_s: float = 0.0
    commit_s: float = 0.0
    counters: Annotated[list[LinkCounters], Meta(max_length=MAX_DEGREE)] = []
    links: Annotated[list[_Links], Meta(max_length=MAX_STEPS + 1)] = []
    mlu: Annotated[list[float], Meta(max_length=MAX_STEPS + 1)] = []
    best_weights: bytes = b""
    live_weights: bytes = b""
    began: bool = False
    remembered: bool = False


Message = Start | Cancel | Status | Progress | Result
_M = TypeVar("_M", Start, Cancel, Status, Progress, Result)

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return a message as MessagePack (a map of its fields)."""
    return _encoder.encode(message)


def decode(payload: bytes, kind: type[_M]) -> _M:
    """Return the message of a payload, or raise `MalformedMessage`."""
    if len(payload) > MAX_PAYLOAD:
        raise MalformedMessage(f"{len(payload)} bytes, expected at most {MAX_PAYLOAD}")
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"not a {kind.__name__}: {error}") from error


class Topics:
    """The topics of one domain (the routers that decide together)."""

    def __init__(self, domain: str) -> None:
        self._root = f"lockstep/{domain}"
        self.start = f"{self._root}/start"
        self.cancel = f"{self._root}/cancel"
        self.all_status = f"{self._root}/agents/+/status"
        self.all_results = f"{self._root}/agents/+/result"
        self.all_progress = f"{self._root}/agents/+/progress"

    def status(self, router: str) -> str:
        """Topic of one agent's presence."""
        return f"{self._root}/agents/{router}/status"

    def result(self, router: str) -> str:
        """Topic of one agent's results."""
        return f"{self._root}/agents/{router}/result"

    def progress(self, router: str) -> str:
        """Topic of the steps that one agent reports."""
        return f"{self._root}/agents/{router}/progress"
