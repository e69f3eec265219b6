"""What many results say together."""

import pytest

from agent.control import Ending, Result
from coordinator.outcome import Outcome, listed, summarise

ROUTERS = ("a", "b", "c")


def outcome(endings: dict[str, tuple[Ending, str]], cancelled: str = "", **reasons: str) -> Outcome:
    """`endings`: router -> (status, digest)."""
    results = {
        router: Result(
            router=router,
            episode=7,
            status=status,
            digest=digest,
            reason=reasons.get(router, ""),
            costs_changed=2,
            lsdb_verified=True,
            mlu=[0.9] if router == "b" else [],
        )
        for router, (status, digest) in endings.items()
    }
    return summarise(7, "m", ROUTERS, results, cancelled, superseded=False)


@pytest.mark.parametrize("status", ["committed", "kept"])
def test_all_agree(status: Ending) -> None:
    found = outcome(dict.fromkeys(ROUTERS, (status, "d")))
    assert (found.verdict, found.reason, found.digest, found.missing) == (status, "", "d", ())
    assert found.root is found.results["b"]
    assert (found.costs_changed, found.lsdb_verified) == (2, True)


def test_partial_commit_names_all_sides() -> None:
    found = outcome({"a": ("committed", "d"), "b": ("aborted", "")}, b="OSPF does not answer")
    assert (found.verdict, found.digest, found.lsdb_verified) == ("partial", "d", False)
    assert found.reason == "committed on a; aborted on b; no result from c: OSPF does not answer"
    found = outcome({"a": ("committed", "d"), "b": ("kept", "d"), "c": ("committed", "d")})
    assert (found.verdict, found.reason) == ("partial", "committed on a, c; kept on b")


def test_disagreement_is_never_agreement() -> None:
    found = outcome({"a": ("committed", "d"), "b": ("committed", "e"), "c": ("committed", "d")})
    assert (found.verdict, found.digest) == ("partial", None)
    assert found.reason == "digests disagree: a, c against b"
    found = outcome({"a": ("kept", "d"), "b": ("kept", "e"), "c": ("kept", "e")})
    assert (found.verdict, found.reason) == ("aborted", "digests disagree: b, c against a")


def test_aborted_says_why() -> None:
    aborted: tuple[Ending, str] = ("aborted", "x")
    found = outcome(dict.fromkeys(ROUTERS, aborted), a="b is silent", b="no quorum", c="b is silent")
    assert (found.verdict, found.digest) == ("aborted", None)
    assert found.reason == "b is silent (a, c); no quorum (b)"
    found = outcome({"a": aborted, "b": ("kept", "d"), "c": ("kept", "d")}, a="its clock stopped")
    assert (found.verdict, found.reason) == ("aborted", "its clock stopped")
    assert outcome(dict.fromkeys(ROUTERS, aborted), "superseded by n").reason == "superseded by n"
    assert outcome(dict.fromkeys(ROUTERS, aborted)).reason == "no reason given"


def test_missing_routers_are_named() -> None:
    found = outcome({"b": ("kept", "d")})
    assert (found.verdict, found.missing, found.reason) == ("aborted", ("a", "c"), "no result from a, c")
    assert outcome({}, "stopped").reason == "stopped; no result from a, b, c"


def test_of_many_names_the_first_are_shown() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([f"r{n}" for n in range(12)]) == "r0, r1, r2, r3, r4 and 7 more"
