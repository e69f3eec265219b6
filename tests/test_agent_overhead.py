"""What was sent over a link, by purpose."""

import pytest

from agent.control import LinkCounters
from agent.messages import Abort, Down, Frame, Hello, Init, State, Up
from agent.overhead import Overhead, purpose_of

DIGEST = bytes(4)


@pytest.mark.parametrize(
    ("frame", "purpose"),
    [
        (Init(bytes(8), b"", False), "control"),
        (Hello(), "control"),
        (State(1, 0, 0, False, DIGEST, b"xx"), "hidden"),
        (Up(1, 9, False, DIGEST, 0, 1, b""), "sharing"),
        (Down(1, 9, DIGEST, 0, 1, b""), "sharing"),
        (Up(1, 10, False, DIGEST, 0, 1, b""), "control"),
        (Down(1, 11, DIGEST, 0, 1, b""), "control"),
        (Abort(1, ""), "control"),
    ],
)
def test_purposes_of_frames_in_an_episode_of_ten_steps(frame: Frame, purpose: str) -> None:
    assert purpose_of(frame, 10) == purpose


def test_counters_add_up_and_differences_name_the_link() -> None:
    overhead = Overhead()
    overhead.count("hidden", 67, again=False)
    before = overhead.copy()
    overhead.count("hidden", 67, again=True)
    overhead.count("sharing", 40, again=False)
    overhead.count("control", 14, again=True)
    assert overhead.since(before, 5) == LinkCounters(
        link=5,
        frames=3,
        bytes=121,
        hidden_bytes=67,
        sharing_bytes=40,
        control_bytes=14,
        retransmitted_frames=2,
        retransmitted_bytes=81,
    )
    assert overhead.hidden_bytes + overhead.sharing_bytes + overhead.control_bytes == overhead.bytes == 188
    assert before.frames == 1
