from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare

from policy.gumbel import DIGEST, computed, digest, table
from policy.sampling import (
    LARGEST,
    UNIT,
    Candidate,
    NonFiniteLogit,
    best,
    choose,
    gumbel,
    merge,
    philox,
    quantise,
    score_into,
    scores,
)
from routing.jit import njit

TABLE = table()


def links(count: int) -> NDArray[np.int32]:
    return np.arange(count, dtype=np.int32)


# Known answers of Philox4x32-10 from the Random123 distribution (kat_vectors).
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], answer: list[int]) -> None:
    words = [np.uint64(word) for word in counter + key]
    assert [int(word) for word in philox(*words)] == answer


def test_stored_table_is_the_computed_one() -> None:
    assert digest(computed()) == DIGEST
    np.testing.assert_array_equal(TABLE, computed())


def test_gumbel_follows_the_double_logarithm_from_end_to_end() -> None:
    generator = np.random.default_rng(1)
    near_zero = 2.0 ** generator.uniform(-36, 0, 20_000) * 2.0**63
    for distance, upper in ((near_zero, False), (near_zero, True)):
        words = distance.astype(np.uint64)
        u = words.astype(np.float64) / 2.0**64
        expected = -np.log(-np.log1p(-u)) if upper else -np.log(-np.log(u))
        ours = [int(gumbel(~word if upper else word, TABLE)) for word in words]
        assert np.abs(np.array(ours) / UNIT - expected).max() < 5e-5


def test_gumbel_is_monotone_up_to_the_extremes() -> None:
    words = [0, 1, 1 << 14, 1 << 20, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, 3 << 62]
    words += [(1 << 64) - (1 << 40), (1 << 64) - (1 << 14), (1 << 64) - 1]
    noise = [int(gumbel(np.uint64(word), TABLE)) for word in words]
    assert all(low <= high for low, high in pairwise(noise))
    assert noise[0] == int(TABLE[47 * 65] + 128) >> 8
    assert 33 * UNIT < noise[-1] < 35 * UNIT


def test_scores_are_the_literal_ones() -> None:
    quantised = np.array([0, UNIT, -UNIT, 0], dtype=np.int64)
    some = np.array([0, 1, 2, 3199], dtype=np.int32)
    ours = scores(quantised, some, seed=1, episode=0, step=0)
    assert ours.tolist() == [141039, 125997, -87434, 219780]
    ours = scores(quantised, some, seed=0x0123456789ABCDEF, episode=7, step=5250)
    assert ours.tolist() == [-50936, 10599, -17518, -92502]


def test_noise_depends_on_everything() -> None:
    zero = np.zeros(50, dtype=np.int64)
    base = scores(zero, links(50), 1, 2, 3)
    for other in (scores(zero, links(50), *key) for key in ((2, 2, 3), (1 + (1 << 32), 2, 3), (1, 3, 3), (1, 2, 4))):
        assert (other != base).sum() > 45


@pytest.mark.parametrize("key", [(-1, 0, 0), (1 << 64, 0, 0), (0, 1 << 32, 0), (0, 0, -1)])
def test_a_key_out_of_range_is_refused(key: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 64, 32 and 32 bits"):
        scores(np.zeros(1, dtype=np.int64), links(1), *key)


@njit("void(i8[::1], i4[::1], i4[::1], i8, i8[::1])")
def _draw(
    quantised: NDArray[np.int64],
    all_links: NDArray[np.int32],
    values: NDArray[np.int32],
    draws: int,
    counts: NDArray[np.int64],
) -> None:
    scored = np.empty(len(all_links), np.int64)
    for step in range(draws):
        score_into(quantised, all_links, np.uint64(11), np.uint64(0), np.uint64(0), np.uint64(step), values, scored)
        counts[best(scored, all_links)] += 1


@pytest.mark.parametrize(("count", "draws"), [(52, 400_000), (3200, 20_000)])
def test_choices_are_distributed_as_the_softmax(count: int, draws: int) -> None:
    logits = np.random.default_rng(count).normal(0.0, 1.5, count).astype(np.float32)
    quantised = quantise(logits, 0.8)
    counts = np.zeros(count, dtype=np.int64)
    _draw(quantised, links(count), TABLE, draws, counts)
    weights = np.exp(logits.astype(np.float64) / 0.8)
    expected = draws * weights / weights.sum()
    order = np.argsort(expected)
    group = np.minimum(np.cumsum(expected[order]) // 20.0, draws)  # rare links together: at least about 20 expected
    _, first = np.unique(group, return_index=True)
    found = np.add.reduceat(counts[order], first)
    assert chisquare(found, np.add.reduceat(expected[order], first)).pvalue > 0.001


def test_quantise_rounds_to_nearest_and_divides_by_the_temperature() -> None:
    logits = np.array([0.0, 1.0, -1.0, 0.6, 1e-6, 1.5 / UNIT, 2.5 / UNIT], dtype=np.float32)
    assert quantise(logits).tolist() == [0, UNIT, -UNIT, 39322, 0, 2, 2]
    assert quantise(logits, 0.5).tolist() == [0, 2 * UNIT, -2 * UNIT, 78643, 0, 3, 5]


def test_quantise_saturates() -> None:
    assert quantise(np.array([3e38, -3e38], dtype=np.float32), 0.001).tolist() == [LARGEST, -LARGEST]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_raises(bad: float) -> None:
    with pytest.raises(NonFiniteLogit) as caught:
        quantise(np.array([1.0, bad, 2.0], dtype=np.float32))
    assert caught.value.position == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        quantise(np.zeros(1, dtype=np.float32), temperature)


def test_ties_go_to_the_lowest_link() -> None:
    scored = np.array([5, 7, 7, 7, 1], dtype=np.int64)
    names = np.array([9, 8, 4, 6, 1], dtype=np.int32)
    assert choose(scored, names) == [(7, 4)]
    assert choose(scored, names, 3) == [(7, 4), (7, 6), (7, 8)]
    assert len(choose(scored, names, 9)) == 5
    assert choose(scored[:0], names[:0]) == []


@given(
    scored=st.lists(st.integers(-4, 4), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=6),
    top=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_candidates_of_any_grouping_give_the_same_winners(
    scored: list[int], cuts: list[int], top: int, order: Random
) -> None:
    values = np.array(scored, dtype=np.int64)
    shuffled = list(range(len(scored)))
    order.shuffle(shuffled)
    names = np.array(shuffled, dtype=np.int32)
    borders = sorted({0, len(scored), *(min(cut, len(scored)) for cut in cuts)})
    parts = [choose(values[a:b], names[a:b], top) for a, b in pairwise(borders)]
    gathered: list[Candidate] = []
    for part in parts:  # one after the other, heard twice
        gathered = merge([*part, *gathered, *part], top)
    assert gathered == choose(values, names, top)
    assert gathered == merge([candidate for part in reversed(parts) for candidate in part], top)
    everything = zip(values.tolist(), names.tolist(), strict=True)
    assert gathered == sorted(everything, key=lambda candidate: (-candidate[0], candidate[1]))[:top]
