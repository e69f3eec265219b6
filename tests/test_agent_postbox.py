"""What an agent has to say, without a connection: what is due, in which order, and what is due again."""

import msgspec
import pytest

from agent.control import Message, Progress, Result, Start, Status
from agent.postbox import MAX_PROGRESS, MAX_RESULTS, Postbox

ONLINE = Status(router="r1", online=True)


def progress(step: int) -> Progress:
    return Progress(episode=1, step=step, links=[], mlu=0.5)


def result(episode: int) -> Result:
    return Result(router="r1", episode=episode, status="kept")


def start(episode: int) -> Start:
    return Start(
        episode=episode, seed=1, steps=1, topology="0" * 32, checkpoint="0" * 32, traffic=b"", start_weights=b""
    )


def sent(postbox: Postbox) -> list[Message]:
    """Send all that is due."""
    messages: list[Message] = []
    while (message := postbox.take()) is not None:
        messages.append(message)
        postbox.sent(message)
    return messages


def test_status_first_then_steps_then_results() -> None:
    postbox = Postbox("r1")
    postbox.put(result(1))
    postbox.put(progress(0))
    postbox.put(progress(1))
    assert sent(postbox) == [ONLINE, progress(0), progress(1), result(1)]
    assert sent(postbox) == []


def test_a_result_is_due_until_the_broker_has_it() -> None:
    postbox = Postbox("r1")
    postbox.take()
    postbox.put(result(1))
    assert postbox.take() == postbox.take() == result(1)
    postbox.connection_made()
    assert sent(postbox) == [ONLINE, result(1)]


def test_a_new_connection_hears_the_newest_again() -> None:
    postbox = Postbox("r1")
    postbox.put(result(1))
    postbox.put(result(2))
    postbox.put(progress(0))
    sent(postbox)
    ready = Status(router="r1", online=True, ready=True)
    postbox.set_status(ready)
    assert sent(postbox) == [ready]
    postbox.connection_made()
    assert sent(postbox) == [ready, result(2)]


def test_starts_are_new_once_and_the_status_tells_which() -> None:
    postbox = Postbox("r1")
    assert [postbox.is_new(start(number)) for number in (5, 5, 4, 6, 5)] == [True, False, False, True, False]
    assert postbox.take() == msgspec.structs.replace(ONLINE, episode=6)
    postbox.set_status(Status(router="r1", online=True, episode=9))
    assert postbox.take() == Status(router="r1", online=True, episode=9)
    assert postbox.goodbye() == Status(router="r1", online=False, episode=6)


def test_each_new_start_is_in_the_retained_status() -> None:
    """A coordinator that restarts knows nothing else of the numbers that were used."""
    postbox = Postbox("r1")
    assert sent(postbox) == [ONLINE]
    postbox.is_new(start(5))
    postbox.put(result(5))
    assert sent(postbox) == [msgspec.structs.replace(ONLINE, episode=5), result(5)]
    postbox.is_new(start(4))
    assert sent(postbox) == []


def test_the_oldest_goes_first_when_there_is_too_much(caplog: pytest.LogCaptureFixture) -> None:
    postbox = Postbox("r1")
    for number in range(1, MAX_RESULTS + 2):
        postbox.put(result(number))
    for number in range(MAX_PROGRESS + 1):
        postbox.put(progress(number))
    assert postbox.dropped == 2 and len(caplog.records) == 2
    messages = sent(postbox)
    assert len(messages) == 1 + MAX_PROGRESS + MAX_RESULTS
    assert messages[1] == progress(1) and messages[1 + MAX_PROGRESS] == result(2)


def test_a_result_pushed_out_while_it_was_sent_takes_no_other_with_it() -> None:
    postbox = Postbox("r1")
    postbox.take()
    for number in range(1, MAX_RESULTS + 1):
        postbox.put(result(number))
    first = postbox.take()
    assert first == result(1)
    postbox.put(result(99))
    postbox.sent(first)
    assert postbox.take() == result(2)
