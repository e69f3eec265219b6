"""Both ways of sharing choose the links that the central engine chooses, however the tree groups them."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.choice import SHARING, Draw, ShareCandidates, ShareLogits, Sharing
from agent.messages import MAX_PART, MalformedFrame
from policy.sampling import LARGEST, choose, scores

both = pytest.mark.parametrize("sharing", [ShareCandidates(), ShareLogits()], ids=["candidate", "logits"])


def numbers(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def links(*indices: int) -> NDArray[np.int32]:
    return np.array(indices, dtype=np.int32)


def shared(sharing: Sharing, logits: NDArray[np.int64], owner: list[int], parent: list[int], draw: Draw) -> list[bytes]:
    """Let routers combine along a tree (each router's parent has a lower number); return the outcome, twice merged."""
    routers = len(parent)
    collected: list[list[bytes]] = []
    for router in range(routers):
        own = np.flatnonzero(np.array(owner) == router).astype(np.int32)
        collected.append([sharing.contribution(logits[own], own, draw)])
    for router in reversed(range(1, routers)):
        collected[parent[router]].append(sharing.merge(collected[router], draw))
    return collected[0]


@both
@given(data=st.data())
def test_the_routers_choose_what_the_central_engine_chooses(sharing: Sharing, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    logit = st.one_of(st.integers(-3, 3), st.integers(-200_000, 200_000), st.sampled_from([-LARGEST, LARGEST]))
    logits = numbers(data.draw(st.lists(logit, min_size=count, max_size=count)))
    routers = data.draw(st.integers(1, 6))
    owner = data.draw(st.lists(st.integers(0, routers - 1), min_size=count, max_size=count))
    parent = [0] + [data.draw(st.integers(0, router - 1)) for router in range(1, routers)]
    draw = Draw(data.draw(st.integers(0, 2**63 - 1)), data.draw(st.integers(0, 10**6)), data.draw(st.integers(1, 64)))
    outcome = sharing.merge(shared(sharing, logits, owner, parent, draw), draw)
    every = np.arange(count, dtype=np.int32)
    expected = choose(scores(logits, every, draw.seed, 0, draw.step), every, draw.top)
    assert [tuple(pair) for pair in sharing.decide(outcome, draw)] == expected
    assert len(expected) == min(draw.top, count)


def test_ties_go_to_the_lowest_link() -> None:
    sharing = ShareCandidates()
    payloads = [msgpack.packb([[7, link]]) for link in (5, 2, 9)]
    outcome = sharing.merge(payloads, Draw(0, 0, 2))
    assert [tuple(pair) for pair in sharing.decide(outcome, Draw(0, 0, 2))] == [(7, 2), (7, 5)]


def test_what_travels_is_this() -> None:
    draw = Draw(seed=1, step=3, top=2)
    logits, own = numbers([0, 65536, -65536]), links(4, 5, 6)
    noisy = scores(logits, own, 1, 0, 3)
    best = [[score, link] for score, link in choose(noisy, own, 2)]
    assert msgpack.unpackb(ShareCandidates().contribution(logits, own, draw)) == best
    assert msgpack.unpackb(ShareLogits().contribution(logits, own, draw)) == [[0, 4], [65536, 5], [-65536, 6]]


def test_a_router_offers_no_more_candidates_than_are_chosen() -> None:
    own = np.arange(500, dtype=np.int32)
    one = ShareCandidates().contribution(numbers([0] * 500), own, Draw(1, 1, 1))
    assert len(one) < 16
    most = ShareCandidates().contribution(numbers([LARGEST] * 500), own, Draw(1, 1, 64))
    assert len(msgpack.unpackb(most)) == 64
    assert len(most) <= MAX_PART


@both
def test_nothing_at_all_gives_no_choice(sharing: Sharing) -> None:
    draw = Draw(1, 1, 1)
    assert sharing.decide(sharing.contribution(numbers([]), links(), draw), draw) == []


@both
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgpack.packb(1),
        msgpack.packb([1]),
        msgpack.packb([[1]]),
        msgpack.packb([[1, 2, 3]]),
        msgpack.packb([[1, -1]]),
        msgpack.packb([[1, 2**31]]),
        msgpack.packb([[2**62 + 1, 1]]),
        msgpack.packb([[0.5, 1]]),
        msgpack.packb([[float("nan"), 1]]),
        msgpack.packb([["1", 1]]),
        msgpack.packb([[1, 3], [2, 3]]),
        msgpack.packb([[1, 3], [1, 3]]),
        msgpack.packb([[1, 3]]) + b"\0",
    ],
)
def test_nonsense_is_malformed(sharing: Sharing, payload: bytes) -> None:
    draw = Draw(1, 1, 2)
    with pytest.raises(MalformedFrame):
        sharing.decide(payload, draw)
    with pytest.raises(MalformedFrame):
        sharing.merge([sharing.contribution(numbers([1]), links(0), draw), payload], draw)


@both
def test_a_link_that_two_routers_offer_is_malformed(sharing: Sharing) -> None:
    draw = Draw(1, 1, 2)
    one = sharing.contribution(numbers([5]), links(3), draw)
    other = sharing.contribution(numbers([6]), links(3), draw)
    with pytest.raises(MalformedFrame, match="offered twice"):
        sharing.merge([one, other], draw)


@both
@given(payload=st.binary(max_size=60))
def test_random_payloads_are_pairs_or_malformed(sharing: Sharing, payload: bytes) -> None:
    try:
        sharing.decide(payload, Draw(1, 1, 1))
    except MalformedFrame:
        return


def test_both_ways_are_offered_by_name() -> None:
    assert {name: type(sharing) for name, sharing in SHARING.items()} == {
        "candidate": ShareCandidates,
        "logits": ShareLogits,
    }
