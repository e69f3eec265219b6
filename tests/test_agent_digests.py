"""Short digests on frames: who has decided differently is noticed, early or late, but never wrongly."""

from agent.digests import StepDigests


def at(step: int) -> bytes:
    return b"%04d" % step + b"the rest is compared before a commit"


def test_frames_carry_the_digest_of_their_step() -> None:
    digests = StepDigests(3)
    digests.begin(0, at(0))
    assert digests.at(0) == b"0000"
    digests.begin(1, at(1))
    assert (digests.at(0), digests.at(1)) == (b"0000", b"0001")
    for step in (2, 3):
        digests.begin(step, at(step))
    # PREPARE is tree pass 3, COMMIT tree pass 4: after the last step nothing changes any more.
    assert [digests.at(number) for number in (2, 3, 4)] == [b"0002", b"0003", b"0003"]


def test_equal_and_incomparable_digests_agree_others_do_not() -> None:
    digests = StepDigests(9)
    for step in range(4):
        assert digests.begin(step, at(step)) == []
    assert digests.agrees(7, 3, b"0003")
    assert digests.agrees(7, 2, b"0002")
    assert digests.agrees(7, 0, b"too old to tell")
    assert not digests.agrees(7, 3, b"0002")
    assert not digests.agrees(7, 2, b"0003")


def test_what_comes_early_is_compared_in_time() -> None:
    digests = StepDigests(9)
    digests.begin(0, at(0))
    assert digests.agrees(5, 1, b"0001")
    assert digests.agrees(6, 1, b"xxxx")
    assert digests.agrees(8, 1, b"yyyy")
    assert digests.begin(1, at(1)) == [6, 8]
    assert digests.begin(2, at(2)) == []


def test_the_end_is_compared_as_step_t() -> None:
    digests = StepDigests(1)
    digests.begin(0, at(0))
    assert digests.agrees(5, 2, b"xxxx")  # COMMIT: early
    assert digests.begin(1, at(1)) == [5]
    assert digests.agrees(5, 2, b"0001")
    assert not digests.agrees(5, 1, b"xxxx")


def test_an_end_before_step_t_is_compared_as_the_step_that_it_came_after() -> None:
    digests = StepDigests(9)
    digests.begin(0, at(0))
    assert digests.agrees(5, 1, b"xxxx") and digests.agrees(6, 2, b"yyyy") and digests.agrees(7, 2, b"0001")
    assert digests.begin(1, at(1), last=True) == [5, 6]
    assert digests.agrees(5, 2, b"0001") and digests.agrees(5, 3, b"0001")
    assert not digests.agrees(5, 3, b"0003")
    assert digests.at(3) == b"0001"


def test_memory_is_bounded() -> None:
    digests = StepDigests(10**6)
    for step in range(1000):
        digests.begin(step, at(step))
        for neighbour in range(3):
            digests.agrees(neighbour, step + 1, b"%04d" % (step + 1))
    assert len(digests._own) == 2
    assert len(digests._early) == 3
