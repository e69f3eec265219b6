"""How long a router waits before it asks again."""

from random import Random

import pytest

from agent.patience import Patience


def patience(first_s: float = 0.1, least_s: float = 0.004, most_s: float = 0.5, lossy_s: float = 0.002) -> Patience:
    return Patience(first_s, least_s, most_s, lossy_s)


def test_the_first_wait_is_the_given_one() -> None:
    assert patience().limit_s(0.001, 3) == 0.1
    assert patience().limit_s(0.1, 2) == 0.4  # unless the way is known to be longer


def test_where_frames_are_lost_the_first_wait_is_as_long_as_the_way_takes() -> None:
    assert patience().limit_s(0.001, 3, lossy=True) == pytest.approx(0.008)
    assert patience().limit_s(0.05, 2, lossy=True) == pytest.approx(0.3)
    assert patience().limit_s(0.0, 3, lossy=True) == 0.002  # if the way is not known


def test_repeating_doubles_the_wait_up_to_four_times_and_never_beyond_the_most() -> None:
    waiting = patience(most_s=0.35)
    waits = []
    for _ in range(4):
        waits.append(waiting.limit_s(0.0, 1))
        waiting.repeated()
    assert waits == [0.1, 0.2, 0.35, 0.35]
    waiting.learn(0.02)
    assert waiting.limit_s(0.0, 1) == pytest.approx(0.08)


def test_where_frames_are_lost_repeating_lengthens_the_wait_little_but_without_end() -> None:
    waiting = patience()
    waiting.learn(0.001)
    waits = []
    for _ in range(200):
        waits.append(waiting.limit_s(0.002, 1, lossy=True))
        waiting.repeated()
    assert waits[0] == pytest.approx(0.005)
    assert waits[3] < 0.01
    assert waits == sorted(waits)
    assert waits[-1] == 0.5


def test_constant_waits_are_exceeded_by_a_margin() -> None:
    waiting = patience(least_s=0.0)
    for _ in range(100):
        waiting.learn(0.01)
    assert 0.02 < waiting.limit_s(0.0, 1) <= 0.04
    assert waiting.limit_s(0.03, 2) == pytest.approx(0.12)
    assert 0.01 < waiting.limit_s(0.002, 3, lossy=True) < 0.02


def test_the_limit_never_leaves_its_bounds() -> None:
    waiting, random = patience(), Random(1)
    for _ in range(1000):
        waiting.learn(random.choice([0.0, 1e-9, 0.01, 1e6]), lossy=random.random() < 0.5)
        assert 0.004 <= waiting.limit_s(random.random(), random.randint(1, 9)) <= 0.5
        assert 0.002 <= waiting.limit_s(random.random(), random.randint(1, 9), lossy=True) <= 0.5
        if random.random() < 0.3:
            waiting.repeated()


def test_waits_that_scatter_are_seldom_exceeded() -> None:
    """A busy machine that loses nothing: one wait in a hundred takes ten times as long as usual."""
    waiting, random = patience(least_s=0.0), Random(3)
    exceeded = 0
    for _ in range(5000):
        wait_s = random.uniform(0.0005, 0.003) * (10 if random.random() < 0.01 else 1)
        exceeded += wait_s > waiting.limit_s(0.0, 1)
        waiting.learn(wait_s)
    assert exceeded < 75


def test_waits_that_end_only_by_repetition_do_not_drive_the_limit_up() -> None:
    """With loss most waits are as long as the limit, or its multiple: the estimate stays with the quick ones."""
    waiting, random = patience(), Random(2)
    for _ in range(3000):
        limit = waiting.limit_s(0.002, 1, lossy=True)
        waiting.learn(0.001 if random.random() < 0.2 else random.choice([1, 2, 4]) * limit, lossy=True)
    assert waiting.limit_s(0.002, 1, lossy=True) < 0.01


@pytest.mark.parametrize("lossy", [False, True])
def test_a_path_that_becomes_slower_is_learned(lossy: bool) -> None:
    waiting = patience()
    for wait in [0.002] * 100 + [0.05] * 300:
        waiting.learn(wait, lossy=lossy)
    assert waiting.limit_s(0.0, 1) > 0.1 or lossy
    assert waiting.limit_s(0.03, 1, lossy=lossy) > 0.09
