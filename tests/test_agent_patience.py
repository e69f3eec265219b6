"""How long a router waits before it asks again."""

from random import Random

import pytest

from agent.patience import Patience


def test_the_first_wait_is_the_given_one_whatever_the_distance() -> None:
    patience = Patience(0.1, 0.004, 0.5)
    assert patience.limit_s(1) == patience.limit_s(9) == 0.1


def test_repeating_doubles_the_wait_up_to_four_times_and_never_beyond_the_most() -> None:
    patience = Patience(0.1, 0.004, 0.35)
    waits = []
    for _ in range(4):
        waits.append(patience.limit_s(1))
        patience.double()
    assert waits == [0.1, 0.2, 0.35, 0.35]
    patience.learn(0.05, 1)
    assert patience.limit_s(1) == pytest.approx(0.2)


@pytest.mark.parametrize("hops", [1, 3])
def test_constant_waits_are_exceeded_by_a_margin(hops: int) -> None:
    patience = Patience(0.1, 0.0, 10.0)
    for _ in range(100):
        patience.learn(0.01 * hops, hops)
    assert 0.02 * hops < patience.limit_s(hops) <= 0.04 * hops


def test_the_limit_never_leaves_its_bounds() -> None:
    patience, random = Patience(0.1, 0.004, 0.5), Random(1)
    for _ in range(1000):
        patience.learn(random.choice([0.0, 1e-9, 0.01, 1e6]), random.randint(1, 9))
        assert 0.004 <= patience.limit_s(random.randint(1, 9)) <= 0.5
        if random.random() < 0.3:
            patience.double()


def test_waits_that_end_only_by_repetition_do_not_drive_the_limit_up() -> None:
    """With loss most waits are as long as the limit, or its multiple: the estimate stays with the quick ones."""
    patience, random = Patience(0.1, 0.004, 0.5), Random(2)
    for _ in range(3000):
        patience.learn(0.01 if random.random() < 0.2 else random.choice([1, 2, 4]) * patience.limit_s(1), 1)
    assert patience.limit_s(1) < 0.1


def test_a_path_that_becomes_slower_is_learned() -> None:
    patience = Patience(0.1, 0.004, 0.5)
    for wait in [0.002] * 100 + [0.05] * 300:
        patience.learn(wait, 1)
    assert patience.limit_s(1) > 0.1
