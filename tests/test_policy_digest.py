"""The digest of decisions: literal values, and anything that differs differs in it."""

from hashlib import blake2s

import numpy as np
import pytest

from policy.digest import DIGEST_BYTES, DecisionDigest

TRAFFIC = np.array([[0, 5], [7, 0]], dtype=np.int64)
START = np.array([1, 2], dtype=np.int64)
LIVE = np.array([3, 4], dtype=np.int64)


def digest(
    context: tuple[bytes, ...] = (b"topology", b"policy"), numbers: tuple[int, ...] = (1, 2, 3), **arrays: np.ndarray
) -> DecisionDigest:
    values = {"traffic": TRAFFIC, "start": START, "live": LIVE} | arrays
    return DecisionDigest(context, numbers, values["traffic"], values["start"], values["live"])


def test_literal_values() -> None:
    chain = digest()
    assert chain.value.hex() == "e6841e72c75ce690d8618c2fefa42273"
    chain.extend([1], [-5])
    assert chain.value.hex() == "7aff97b740640c82e9a6dd22a414244c"
    chain.extend([0, 1], [2**40, 7])
    assert chain.value.hex() == "367c29dd98243f556938d4ae521bfe22"


def test_it_is_the_hash_that_its_docstring_describes() -> None:
    plain = b"\0\0\0\x08topology" + b"\0\0\0\x06policy"
    for number in (1, 2, 3, 0, 5, 7, 0, 1, 2, 3, 4):
        plain += number.to_bytes(8, "little")
    value = blake2s(plain, digest_size=DIGEST_BYTES, person=b"lockstep").digest()
    chain = digest()
    assert chain.value == value
    chain.extend([9], [-1])
    step = (9).to_bytes(8, "little") + (-1).to_bytes(8, "little", signed=True)
    assert chain.value == blake2s(value + step, digest_size=DIGEST_BYTES).digest()


@pytest.mark.parametrize(
    "other",
    [
        digest(context=(b"topology", b"another")),
        digest(context=(b"topologyp", b"olicy")),
        digest(numbers=(1, 2, 4)),
        digest(traffic=TRAFFIC.T.copy()),
        digest(start=START + 1),
        digest(live=LIVE[::-1].copy()),
        digest(start=LIVE, live=START),
    ],
)
def test_another_input_is_another_digest(other: DecisionDigest) -> None:
    assert other.value != digest().value


@pytest.mark.parametrize("change", [([2], [-5]), ([1], [-4]), ([1, 2], [-5, -6]), ([-5], [1])])
def test_another_decision_is_another_digest_for_ever(change: tuple[list[int], list[int]]) -> None:
    one, other = digest(), digest()
    one.extend([1], [-5])
    other.extend(*change)
    assert one.value != other.value
    for chain in (one, other):
        chain.extend([3], [3])
    assert one.value != other.value


def test_the_width_of_integers_does_not_matter() -> None:
    one = digest(start=START.astype(np.int32), live=LIVE.astype(np.uint16), traffic=TRAFFIC.astype(">i8"))
    assert one.value == digest().value
    one.extend(np.array([1], dtype=np.int32).tolist(), [5])
    other = digest()
    other.extend([1], [5])
    assert one.value == other.value
