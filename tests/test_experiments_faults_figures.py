"""The figures of the lab: same decisions under loss, bounded memory, what authentication takes."""

from experiments.faults_figures import IMPAIRMENTS, WANTED, authentication, loss, memory


def tell(_text: str) -> None:
    """Say nothing."""


def test_loss_changes_no_decision_and_lengthens_episodes() -> None:
    rows = loss(2, tell)
    assert rows.keys() == IMPAIRMENTS.keys()
    assert [row["differing"] for row in rows.values()] == [0] * len(rows)  # type: ignore[index]
    lengths = {name: row["mean_length"] for name, row in rows.items()}  # type: ignore[index]
    assert lengths["nothing"] == 1.0 < lengths["loss 1 %"] < lengths["loss 20 %"]
    for row in rows.values():
        spread = [row[f"length_{percentile}"] for percentile in (50, 90, 99, 100)]  # type: ignore[index]
        assert spread == sorted(spread)
        assert spread[0] <= 2 * row["mean_length"] <= 2 * spread[-1]  # type: ignore[index]
    assert [name for name, row in rows.items() if "as_wanted" in row] == list(WANTED)  # type: ignore[operator]


def test_programs_do_not_grow() -> None:
    result = memory(200, tell)  # a tenth of them fills what is bounded
    assert (result["episodes"], result["violations"]) == (200, 0)
    assert abs(result["growth"]) < 0.05  # type: ignore[arg-type]


def test_every_tag_of_an_episode_counts() -> None:
    result = authentication(3, tell)
    assert result["tags"] > 2 * 25 * 2 * 52  # type: ignore[operator]  # made and compared, steps, rounds, links
    assert 0 < result["share_by_count"] < 1  # type: ignore[operator]
    interval = result["interval"]
    assert isinstance(interval, list)
    assert interval[0] <= result["share"] <= interval[1]
