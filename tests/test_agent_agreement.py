"""What the routers agree on before a commit, and what they confirm after it."""

from itertools import permutations

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from small_networks import small_network

from agent.agreement import (
    MAX_PROBLEM,
    Applied,
    Prepared,
    Verdict,
    decode,
    encode,
    merge_applied,
    merge_prepared,
    verdict,
)
from agent.commit import plan_waves, told_waves
from agent.messages import MalformedFrame

DIGEST = bytes(range(16))
VIEW = Prepared(DIGEST, 7, 0.5, 0.8)


def merged(*views: Prepared) -> Prepared:
    return decode(merge_prepared([encode(view) for view in views]), Prepared)


def test_statements_are_these_values() -> None:
    assert msgpack.unpackb(encode(VIEW)) == [DIGEST, 7, 0.5, 0.8, 1, "", []]
    planned = replace(VIEW, waves=[{3: 9, 300: 65535}, {4: 1}])
    assert msgpack.unpackb(encode(planned), strict_map_key=False)[-1] == [{3: 9, 300: 65535}, {4: 1}]
    assert decode(encode(planned), Prepared) == planned
    assert msgpack.unpackb(encode(Applied(3, 2, "no"))) == [3, 2, "no"]
    assert decode(msgpack.packb([DIGEST, 7, 0.5, 0.8, 1, ""]), Prepared) == VIEW
    assert decode(msgpack.packb([3, 2, "no"]), Applied) == Applied(3, 2, "no")


@pytest.mark.parametrize("waves", [[{}], [{1: 0}], [{1: 65536}], [{-1: 5}], [{"1": 5}], [[1, 5]], {1: 5}])
def test_waves_that_are_none_are_malformed(waves: object) -> None:
    with pytest.raises(MalformedFrame):
        decode(msgpack.packb([DIGEST, 7, 0.5, 0.8, 1, "", waves]), Prepared)


def test_waves_of_others_than_the_root_do_not_count() -> None:
    assert merged(replace(VIEW, waves=[{1: 5}]), VIEW) == replace(VIEW, routers=2)


LIVE = np.array([5, 5, 5, 5])
BEST = np.array([5, 9, 1, 6])


def test_waves_that_lead_straight_to_the_agreed_weights_are_followed() -> None:
    waves = told_waves([{1: 7}, {1: 9, 2: 1}, {3: 6}], LIVE, BEST)
    assert [wave.weights.tolist() for wave in waves] == [[5, 7, 5, 5], [5, 9, 1, 5], [5, 9, 1, 6]]
    assert [wave.changes for wave in waves] == [{1: 7}, {1: 9, 2: 1}, {3: 6}]
    assert told_waves([], BEST, BEST) == []


@pytest.mark.parametrize(
    "changes",
    [
        [],  # nowhere
        [{1: 9, 2: 1}],  # not all the way
        [{1: 10}, {1: 9, 2: 1, 3: 6}],  # too far and back
        [{1: 7}, {1: 6}, {1: 9, 2: 1, 3: 6}],  # back and forth
        [{0: 6}, {0: 5, 1: 9, 2: 1, 3: 6}],  # over a link that is not to change
        [{1: 9, 2: 1, 3: 6}, {3: 6}],  # twice
        [{1: 9, 2: 1, 3: 6, 4: 2}],  # there is no such link
    ],
)
def test_other_waves_are_refused(changes: list[dict[int, int]]) -> None:
    with pytest.raises(MalformedFrame):
        told_waves(changes, LIVE, BEST)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_the_roots_own_waves_are_followed(seed: int) -> None:
    random = np.random.Generator(np.random.Philox(key=seed))
    topology, traffic = small_network(seed, 6, 9)
    live, best = (random.integers(1, 30, topology.num_links) for _ in range(2))
    waves = plan_waves(topology, traffic, live, best, ordered=bool(seed % 3))
    told = told_waves([wave.changes for wave in waves], live, best)
    assert [wave.weights.tolist() for wave in told] == [wave.weights.tolist() for wave in waves]


def test_equal_views_add_up_in_any_grouping() -> None:
    assert merged(*[VIEW] * 5) == merged(merged(VIEW, VIEW), VIEW, merged(VIEW, VIEW)) == replace(VIEW, routers=5)


@pytest.mark.parametrize(
    "change", [{"digest": bytes(16)}, {"best_step": 8}, {"best_mlu": 0.5000000000000001}, {"live_mlu": 0.79}]
)
def test_any_difference_is_a_problem_that_stays(change: dict[str, object]) -> None:
    other = replace(VIEW, **change)
    for views in permutations([VIEW, VIEW, other]):
        found = merged(*views)
        assert found.problem.startswith("digests differ: ")
        assert merged(VIEW, found).problem == found.problem
        assert verdict(found, 3, 10)[0] is Verdict.ABORT
    if "digest" in change:
        assert merged(VIEW, other).problem == "digests differ: 00000000, 00010203"


def test_a_problem_fits_its_field_however_many_digests_differ() -> None:
    views = [replace(VIEW, digest=bytes([n]) * 16) for n in range(100)]
    assert len(merged(*views).problem) == MAX_PROBLEM


def test_what_not_even_equals_itself_is_a_problem() -> None:
    nan = replace(VIEW, best_mlu=float("nan"))
    assert merged(nan, nan).problem


def test_applied_adds_up_and_keeps_the_first_problem() -> None:
    payloads = [encode(one) for one in (Applied(1, 2), Applied(4, 3, "r4: no"), Applied(1, 0, "r5: no"))]
    assert decode(merge_applied(payloads), Applied) == Applied(6, 5, "r4: no")


@pytest.mark.parametrize(
    ("best", "live", "margin", "expected"),
    [
        (0.5, 0.8, 10, Verdict.COMMIT),
        (0.8, 0.8, 0, Verdict.KEEP),
        (0.7999, 0.8, 0, Verdict.COMMIT),
        (0.7999, 0.8, 10, Verdict.KEEP),
        (0.75, 1.0, 250, Verdict.KEEP),  # not below by more than the margin
        (0.749, 1.0, 250, Verdict.COMMIT),
        (0.9, 0.8, 10, Verdict.KEEP),
        (0.0, 0.0, 10, Verdict.KEEP),  # no traffic
        (0.0, 0.8, 1000, Verdict.KEEP),
        (float("nan"), 0.8, 10, Verdict.KEEP),
        (0.5, float("nan"), 10, Verdict.KEEP),
    ],
)
def test_the_verdict_follows_the_margin(best: float, live: float, margin: int, expected: Verdict) -> None:
    prepared = replace(VIEW, best_mlu=best, live_mlu=live, routers=4)
    action, reason = verdict(prepared, 4, margin)
    assert action is expected
    assert (reason == "") is (expected is Verdict.COMMIT)


def test_reasons_are_readable() -> None:
    assert verdict(replace(VIEW, best_mlu=0.79, routers=4), 4, 25)[1] == (
        "best MLU 0.7900 is not 2.5 % below the live 0.8000"
    )
    assert verdict(replace(VIEW, routers=3), 4, 10) == (Verdict.ABORT, "3 of 4 routers prepared")
    assert verdict(replace(VIEW, routers=5), 4, 10) == (Verdict.ABORT, "5 of 4 routers prepared")


@given(st.binary(max_size=80))
def test_random_payloads_are_malformed_or_a_statement(payload: bytes) -> None:
    for kind in (Prepared, Applied):
        try:
            decode(payload, kind)
        except MalformedFrame:
            continue


@pytest.mark.parametrize(
    "values",
    [
        [],
        [DIGEST[:15], 7, 0.5, 0.8],
        [DIGEST, -1, 0.5, 0.8],
        [DIGEST, 7, "0.5", 0.8],
        [DIGEST, 7, 0.5, 0.8, -1],
        [DIGEST, 7, 0.5, 0.8, 1, "x" * 301],
        [DIGEST, 7, 0.5, 0.8, 1, "", 0],
    ],
)
def test_what_breaks_the_schema_is_malformed(values: list[object]) -> None:
    with pytest.raises(MalformedFrame, match="not a Prepared"):
        merge_prepared([encode(VIEW), msgpack.packb(values)])
