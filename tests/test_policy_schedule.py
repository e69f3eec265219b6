"""The number of links per step falls from its first value to the least one; when an episode is over."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from policy.schedule import MAX_INCREMENTS, increments_at, is_over, patience_of

NUMBER = st.integers(1, MAX_INCREMENTS)


@given(NUMBER, NUMBER, st.integers(1, 10**6), st.data())
def test_it_is_the_rounded_square_of_what_is_left(opening: int, least: int, steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    exact = opening * Fraction(steps - step, steps) ** 2
    count = increments_at(step, steps, opening, least)
    assert count == least or abs(count - exact) <= Fraction(1, 2)
    assert count >= least and (count > least or exact < least + Fraction(1, 2))


@given(NUMBER, st.integers(1, 300))
def test_it_starts_with_the_opening_and_never_grows(opening: int, steps: int) -> None:
    counts = [increments_at(step, steps, opening) for step in range(steps)]
    assert counts[0] == opening
    assert counts == sorted(counts, reverse=True)


@given(st.integers(0, 10**6), st.integers(1, 999))
def test_patience_is_a_part_of_all_steps_rounded_up(steps: int, parts: int) -> None:
    part = patience_of(steps, parts)
    assert (part - 1) * parts < steps <= part * parts or steps == part == 0
    assert patience_of(steps, 0) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 12))
def test_an_episode_ends_when_patience_does(mlu: list[float], patience: int) -> None:
    steps = len(mlu) - 1
    best = [mlu[: step + 1].index(min(mlu[: step + 1])) for step in range(len(mlu))]
    over = [is_over(step, steps, best[step], patience) for step in range(len(mlu))]
    assert over[-1]
    first = over.index(True)
    if first < steps:  # the last `patience` of these steps were no better than what came before them
        assert patience and min(mlu[first - patience + 1 : first + 1]) >= min(mlu[: first - patience + 1])
    assert patience or first == steps
