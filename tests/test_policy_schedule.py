"""The number of links per step falls from its first value to the least one, in whole numbers."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from policy.schedule import MAX_INCREMENTS, increments_at

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
