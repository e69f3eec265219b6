"""What the routers agree on before a commit, and what they confirm after it."""

from itertools import permutations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

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
from agent.messages import MalformedFrame

DIGEST = bytes(range(16))
VIEW = Prepared(DIGEST, 7, 0.5, 0.8)


def merged(*views: Prepared) -> Prepared:
    return decode(merge_prepared([encode(view) for view in views]), Prepared)


def test_statements_are_these_values() -> None:
    assert msgpack.unpackb(encode(VIEW)) == [DIGEST, 7, 0.5, 0.8, 1, ""]
    assert msgpack.unpackb(encode(Applied(3, 2, "no"))) == [3, 2, "no"]
    assert decode(msgpack.packb([DIGEST, 7, 0.5, 0.8, 1, ""]), Prepared) == VIEW
    assert decode(msgpack.packb([3, 2, "no"]), Applied) == Applied(3, 2, "no")


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
