"""What an agent's process leaves to the next about a commit, and what is made of notes that are not good."""

import logging
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control import LinkCounters, Result, Start
from agent.events import CommitBegun
from agent.lastcommit import LastCommit
from agent.statefile import StateFile
from routing.topology import Topology

NET = Topology.from_links("abc", ["a", "b", "c"], [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)], 1e9)
OTHER = Topology.from_links("abc", ["a", "b", "c"], [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9)
OLD = np.array([10, 10, 10, 10, 10, 0])
NEW = np.array([10, 14, 10, 7, 11, 0])


class Disk:
    """A file in memory."""

    path = Path("disk")

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data
        self.writes = 0

    def read(self, most: int) -> bytes | None:
        assert self.data is None or len(self.data) <= most
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data
        self.writes += 1


def process(disk: Disk, router: str = "a", topology: Topology = NET) -> LastCommit:
    return LastCommit(disk, router, topology)  # type: ignore[arg-type]


def begun(disk: Disk, episode: int = 5, steps: int = 3) -> LastCommit:
    last = process(disk)
    last.begun(CommitBegun(episode, steps, OLD, NEW))
    return last


def weights(packed: bytes) -> list[int]:
    return [int(weight) for weight in np.frombuffer(packed, "<u2")]


def start(episode: int, **more: object) -> Start:
    values = {"topology": "0" * 32, "checkpoint": "0" * 32, "traffic": b"", "start_weights": b"", **more}
    return Start(episode=episode, seed=1, steps=3, **values)  # type: ignore[arg-type]


def test_nothing_is_remembered_at_first_and_without_a_file() -> None:
    assert process(Disk()).recall(OLD) is None
    last = LastCommit(None, "a", NET)
    last.begun(CommitBegun(5, 3, OLD, NEW))
    assert (last.episode, last.recall(OLD)) == (0, None)


def test_a_process_that_dies_in_a_commit_leaves_both_sides_and_is_told_of_once() -> None:
    disk = Disk()
    assert begun(disk).recall(OLD) is None  # its own commit is told by itself
    last = process(disk)
    assert last.episode == 5
    result = last.recall(OLD)
    assert result is not None
    assert (result.episode, result.status, result.began, result.remembered) == (5, "aborted", True, True)
    assert result.reason == "the agent of a died in the commit"
    assert (weights(result.live_weights), weights(result.best_weights)) == (OLD.tolist(), NEW.tolist())
    assert last.recall(OLD) is None
    again = process(disk).recall(NEW)
    assert again == result


def test_a_commit_that_has_ended_is_remembered_as_it_has() -> None:
    disk = Disk()
    whole = {"live_weights": b"\x0a\0" * 6, "best_weights": b"\x0b\0" * 6, "began": True, "mlu": [0.5], "links": [[]]}
    done = Result(
        router="a", episode=5, status="committed", digest="d" * 32, steps=3, counters=[LinkCounters(link=1)], **whole
    )  # type: ignore[arg-type]
    begun(disk).ended(done)
    assert process(disk).recall(OLD) == Result(
        router="a", episode=5, status="committed", digest="d" * 32, steps=3, remembered=True
    )
    undone = msgspec.structs.replace(done, status="aborted", reason="b was silent")
    begun(disk).ended(undone)
    expected = msgspec.structs.replace(undone, counters=[], links=[], mlu=[], remembered=True)
    assert process(disk).recall(10 * np.ones(6, dtype=np.int64)) == expected
    disk.data = None
    process(disk).ended(Result(router="a", episode=6, status="kept"))
    assert disk.data is None


def test_a_later_episode_leaves_it_behind_unless_it_restores_or_does_without_this_router() -> None:
    disk = Disk()
    begun(disk)
    last = process(disk)
    last.superseded(start(6))  # the coordinator has not been told yet
    last.recall(OLD)
    last.superseded(start(5))
    last.superseded(start(6, restore=True))
    last.superseded(start(6, absent=[0]))
    found = process(disk).recall(OLD)
    assert found is not None and found.began and disk.writes == 1
    last.superseded(start(6))
    found = process(disk).recall(OLD)
    assert found is not None and (found.episode, found.began, found.live_weights) == (5, False, b"")
    last.superseded(start(7))
    assert disk.writes == 2


def test_a_cost_set_by_hand_is_named_and_where_all_were_the_note_is_out_of_date(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    disk = Disk()
    begun(disk)
    found = process(disk).recall(np.array([10, 99, 10, 9, 10, 5]))
    assert found is not None and found.began
    assert "a->c has cost 99, set by hand since the commit of episode 5: it is left alone" in caplog.text
    found = process(disk).recall(np.array([10, 99, 10, 2, 12, 10]))
    assert found is not None and not found.began
    assert "the note of episode 5 is out of date" in caplog.text
    again = process(disk).recall(OLD)
    assert again is not None and not again.began


def test_of_another_topology_it_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    begun(disk)
    last = process(disk, topology=OTHER)
    assert (last.episode, last.recall(OLD[:4])) == (0, None)
    assert "of another topology" in caplog.text


def test_of_another_router_it_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    begun(disk)
    assert process(disk, router="b").recall(OLD) is None
    assert "of router 'a', expected b" in caplog.text


def sealed(**changes: object) -> bytes:
    """Return a note as somebody who may write the file can forge it."""
    from agent.lastcommit import _check, _Note

    good = Result(
        router="a", episode=5, status="aborted", began=True, remembered=True,
        live_weights=OLD.astype("<u2").tobytes(), best_weights=NEW.astype("<u2").tobytes(),
    )  # fmt: skip
    result = msgspec.structs.replace(good, **changes)
    payload = msgspec.msgpack.encode(_Note(topology=NET.digest().hex(), result=result))
    return _check(payload) + payload


@pytest.mark.parametrize(
    "changes",
    [
        {"live_weights": b"\1\0"},
        {"best_weights": b""},
        {"began": False},
        {"status": "committed"},
        {"best_weights": bytes(12)},
        {"episode": 0},
        {"episode": 2**40},
        {"status": "done"},
        {"reason": "x" * 1001},
        {"router": ""},
    ],
)
def test_a_forged_note_has_to_make_sense(changes: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    assert process(Disk(sealed())).recall(OLD) is not None
    last = process(Disk(sealed(**changes)))
    assert (last.episode, last.recall(OLD)) == (0, None)
    assert "the note of the last commit, disk, is ignored" in caplog.text


@given(st.data())
def test_a_damaged_note_is_reported_and_ignored(data: st.DataObject) -> None:
    disk = Disk()
    begun(disk)
    assert disk.data is not None
    at = data.draw(st.integers(0, len(disk.data) - 1))
    cut = data.draw(st.booleans())
    damaged = bytearray(disk.data)
    damaged[at] ^= data.draw(st.integers(1, 255))
    last = process(Disk(disk.data[:at] if cut else bytes(damaged)))
    assert (last.episode, last.recall(OLD)) == (0, None)


@given(st.binary(max_size=400))
def test_any_bytes_are_taken_for_what_they_are(noise: bytes) -> None:
    from agent.lastcommit import _check

    assert process(Disk(noise)).recall(OLD) is None
    process(Disk(_check(noise) + noise)).recall(OLD)


def test_a_disk_that_takes_nothing_does_not_keep_a_commit_from_its_course(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Disk):
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    last = begun(Full())
    assert "cannot remember the commit of episode 5 ([Errno 28] No space left on device)" in caplog.text
    assert last.recall(OLD) is None


def test_a_note_fits_its_file(tmp_path: Path) -> None:
    """The longest reason there may be, in letters of four bytes."""
    last = LastCommit(StateFile(str(tmp_path)), "a", NET)
    last.begun(CommitBegun(5, 3, OLD, NEW))
    done = Result(router="a", episode=2**31, status="aborted", reason="\U0001f600" * 1000, began=True,
                  live_weights=b"\1\0" * 6, best_weights=b"\2\0" * 6)  # fmt: skip
    last.ended(done)
    found = LastCommit(StateFile(str(tmp_path)), "a", NET).recall(np.ones(6, dtype=np.int64))
    assert found is not None and found.reason == done.reason
