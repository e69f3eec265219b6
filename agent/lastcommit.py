"""What a process of an agent leaves to the next one: how the last commit would have ended for it, had it died.

It is the `Result` that the coordinator is to be told. Before its first cost is set it says "aborted, begun", with the
costs of before and after; whatever the coordinator hears from all routers, it brings the network to one side
(`coordinator.settlement`). At the end the true one is written, and once a later episode has begun, that nothing is left
to be settled. So agents that were restarted, even all of them at once, know what they were about; and one that tells
of what is long over is known by the others' greater numbers.
"""

from __future__ import annotations

import logging
from hashlib import blake2s

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from agent.control import Hash, Result, Start
from agent.events import CommitBegun
from agent.messages import printable
from agent.statefile import StateFile
from routing.errors import InputError
from routing.topology import Topology

logger = logging.getLogger(__name__)

_CHECK_BYTES = 16  # against damage; whoever may write the file can make these as well
_OTHER_BYTES = 8192  # of a note without its weights
_REASON = 1000  # longest reason, as in `Result`
_encoder = msgspec.msgpack.Encoder()


class _Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A result, and the digest of the topology that it is about."""

    topology: Hash
    result: Result


class LastCommit:
    """The note of one router.

    Parameters
    ----------
    file : where it is kept; None: nowhere
    """

    def __init__(self, file: StateFile | None, router: str, topology: Topology) -> None:
        self._file = file
        self._router = router
        self._topology = topology
        self._result = self._read()
        self._told = False

    @property
    def episode(self) -> int:
        """Number of the episode that is remembered, 0 if none is."""
        return self._result.episode if self._result else 0

    def begun(self, event: CommitBegun) -> None:
        """Remember a commit before its first cost is set."""
        self._write(
            Result(
                router=self._router,
                episode=event.episode,
                status="aborted",
                reason=f"the agent of {self._router} died in the commit",
                steps=event.steps,
                live_weights=event.live_weights.astype("<u2").tobytes(),
                best_weights=event.best_weights.astype("<u2").tobytes(),
                began=True,
            )
        )

    def ended(self, result: Result) -> None:
        """Remember how a commit has ended for this router."""
        if result.status == "committed":
            self._write(_settled(result))
        elif result.began:
            self._write(result)

    def superseded(self, start: Start) -> None:
        """Take the order of an episode: one that takes what is there for live has left what was before behind."""
        result, node = self._result, self._topology.nodes.index(self._router)
        if result is None or not result.began or not self._told or start.restore or node in start.absent:
            return
        if start.episode > result.episode:
            self._write(_settled(result))

    def recall(self, weights: NDArray[np.int64]) -> Result | None:
        """Return, once, what is to be told after a restart.

        weights : (L,) int64, what the LSDB shows now, 0 for links that are down
        """
        result, self._told = (None if self._told else self._result), True
        if result is None or not result.began:
            return result
        old, new = (np.frombuffer(one, "<u2").astype(np.int64) for one in (result.live_weights, result.best_weights))
        moved = (old != new) & (weights > 0)
        foreign = moved & ((weights < np.minimum(old, new)) | (weights > np.maximum(old, new)))
        name, episode = self._router, result.episode
        if moved.any() and np.array_equal(moved, foreign):
            logger.warning(
                "[%s] the note of episode %d is out of date: all its costs were changed since", name, episode
            )
            self._write(_settled(result))
            return self._result
        for link in np.flatnonzero(foreign).tolist():
            text = "[%s] %s has cost %d, set by hand since the commit of episode %d: it is left alone"
            logger.info(text, name, self._topology.link_name(link), weights[link], episode)
        logger.warning("[%s] remembers the commit of episode %d: %s", name, episode, result.reason)
        return result

    def _write(self, result: Result) -> None:
        self._told = True  # what is newer will be told by itself
        if self._file is None:
            return
        self._result = replace(result, counters=[], links=[], mlu=[], remembered=True)
        payload = _encoder.encode(_Note(topology=self._topology.digest().hex(), result=self._result))
        try:
            self._file.write(_check(payload) + payload)
        except OSError as error:
            text = "[%s] cannot remember the commit of episode %d (%s): should all agents die in it, it stays half done"
            logger.error(text, self._router, result.episode, error)

    def _read(self) -> Result | None:
        if self._file is None:
            return None
        try:
            data = self._file.read(4 * self._topology.num_links + _OTHER_BYTES)
            return None if data is None else self._decode(data)
        except (InputError, msgspec.DecodeError, UnicodeDecodeError) as error:
            text = "[%s] the note of the last commit, %s, is ignored: %s"
            logger.error(text, self._router, self._file.path, error)
            return None

    def _decode(self, data: bytes) -> Result | None:
        """Return a note's result, None if it is about another network; raise `InputError` or msgspec's errors."""
        payload = data[_CHECK_BYTES:]
        if data[:_CHECK_BYTES] != _check(payload):
            raise InputError("damaged")
        note = msgspec.msgpack.decode(payload, type=_Note)
        result, size = note.result, 2 * self._topology.num_links
        if result.router != self._router:
            raise InputError(f"of router {result.router!r}, expected {self._router}")
        if note.topology != self._topology.digest().hex():
            text = "[%s] the note of episode %d is of another topology, %s: it is ignored"
            logger.warning(text, self._router, result.episode, note.topology[:8])
            return None
        sizes = len(result.live_weights), len(result.best_weights)
        if sizes != ((size, size) if result.began else (0, 0)) or (result.began and result.status == "committed"):
            raise InputError(f"{result.status}, weights of {sizes[0]} and {sizes[1]} bytes, expected {size} if begun")
        old, new = (np.frombuffer(one, "<u2") for one in (result.live_weights, result.best_weights))
        if np.any((old == 0) != (new == 0)):
            raise InputError("a weight of 0, expected 1..65535 for a link that was up")
        reason = printable(result.reason)[:_REASON]
        return replace(result, reason=reason, counters=[], links=[], mlu=[], remembered=True)


def _settled(result: Result) -> Result:
    """Return a result after which nobody has to be told of the costs."""
    return replace(result, began=False, live_weights=b"", best_weights=b"")


def _check(payload: bytes) -> bytes:
    return blake2s(payload, digest_size=_CHECK_BYTES, person=b"lockcomm").digest()
