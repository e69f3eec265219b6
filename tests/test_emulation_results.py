"""The files of a run folder: what is written is read back exactly; what is damaged is named by file and line."""

import json
import string
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import make_manifest, make_run, make_summary

from emulation import inputs, records, results
from routing.errors import InputError

SUMMARY_KEYS = (
    "topology fabric traffic load initial seed routers links status reason steps best_step mlu.before.predicted "
    "mlu.before.measured mlu.after.predicted mlu.after.measured agreement.digest agreement.routers ospf.costs_changed "
    "ospf.lsdb_verified ospf.routes_verified overhead.frames_per_link overhead.bytes_per_link "
    "overhead.hidden_state_bytes_per_link overhead.sharing_bytes_per_link overhead.control_bytes_per_link "
    "overhead.wire_bytes_per_link overhead.mqtt_bytes_per_router overhead.mqtt_start_bytes_per_router "
    "overhead.mqtt_messages_per_router time_s.bring_up time_s.episode time_s.commit time_s.total"
).split()
LINK_COLUMNS = (
    "link,src,dst,capacity_bps,weight_live,weight_after,utilization_before_predicted,utilization_before_measured,"
    "utilization_after_predicted,utilization_after_measured,frames,bytes,hidden_state_bytes,sharing_bytes,"
    "control_bytes,wire_bytes,repeated_frames,repeated_bytes,kernel_frames,kernel_bytes"
)

amount = st.floats(0, 1e15, allow_subnormal=False)
count = st.none() | st.integers(0, 2**53)
name = st.text(string.ascii_letters + " .,;\"'éß<>&[]", min_size=1, max_size=12)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole run folder; tests that damage a file copy it first."""
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


def test_summary_has_the_documented_keys(run_folder: Path) -> None:
    """Scripts read these keys."""
    stored = json.loads((run_folder / "summary.json").read_text())
    for key in SUMMARY_KEYS:
        value = stored
        for part in key.split("."):
            value = value[part]
    assert stored["ospf"]["routes_verified"] == [20, 20]


def test_a_summary_from_before_mqtt_was_counted_is_read(tmp_path: Path) -> None:
    """What it lacks was not counted."""
    stored = json.loads(results.to_json(make_summary()))
    stored["overhead"] = {key: value for key, value in stored["overhead"].items() if not key.startswith("mqtt_")}
    (tmp_path / "summary.json").write_text(json.dumps(stored))
    read = results.read_summary(tmp_path).overhead
    assert (read.mqtt_bytes_per_router, read.mqtt_start_bytes_per_router, read.mqtt_messages_per_router) == (None,) * 3
    assert read.wire_bytes_per_link == 150_000.0


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    """On loopback there is nothing to measure; the keys stay."""
    results.write_summary(tmp_path, make_summary(measured=False))
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert stored["mlu"]["before"] == {"predicted": 1.08, "measured": None}
    assert stored["ospf"]["lsdb_verified"] is None


def test_links_csv_has_the_documented_columns(run_folder: Path) -> None:
    """Spreadsheets read these columns."""
    assert (run_folder / "links.csv").read_text().splitlines()[0] == LINK_COLUMNS


def test_a_run_folder_is_read_back(run_folder: Path) -> None:
    """Reading a folder gives what was written."""
    run = results.read_run(run_folder)
    assert run.summary == make_summary()
    assert run.manifest == make_manifest()
    assert [row.step for row in run.steps] == list(range(1, 21))
    assert run.links[3].name == "Paris->Zürich"
    assert not list(run_folder.glob(".*"))


rows = st.builds(
    records.LinkRow,
    link=st.just(0),
    src=name,
    dst=name,
    capacity_bps=st.floats(1, 1e15),
    weight_live=st.integers(1, 65535),
    weight_after=st.integers(1, 65535),
    utilization_before_predicted=amount,
    utilization_before_measured=st.none() | amount,
    utilization_after_predicted=amount,
    utilization_after_measured=st.none() | amount,
    frames=count,
    bytes=count,
    hidden_state_bytes=count,
    sharing_bytes=count,
    control_bytes=count,
    wire_bytes=count,
    kernel_frames=count,
    kernel_bytes=count,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(rows, max_size=4),
    st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=4), amount), max_size=8),
)
def test_links_and_steps_round_trip(some: list[records.LinkRow], decisions: list[tuple[list[int], float]]) -> None:
    """Any rows and steps come back exactly, names with commas and quotes and every float included."""
    some = [msgspec.structs.replace(row, link=n) for n, row in enumerate(some)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        results.write_links(folder, some)
        assert results.read_links(folder) == tuple(some)
        results.write_steps(folder, [links for links, _ in decisions], [mlu for _, mlu in decisions])
        read = results.read_steps(folder, 10)
        assert read == tuple(records.StepRow(n, links, mlu) for n, (links, mlu) in enumerate(decisions, start=1))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_inputs_round_trip(num_nodes: int, seed: int, geographic: bool) -> None:
    """Arrays come back with the same bits: a replay must see what the decisions saw."""
    rng = np.random.default_rng(seed)
    links = np.array([(a, b) for a in range(num_nodes) for b in range(num_nodes) if a != b], dtype=np.int32)
    live, start, best = (rng.integers(1, 65536, len(links)) for _ in range(3))
    positions = rng.normal(size=(num_nodes, 2))
    positions[0] = np.nan
    traffic = rng.uniform(size=(num_nodes, num_nodes)) * (1 - np.eye(num_nodes))
    names = tuple(f"r{n}é" for n in range(num_nodes))
    capacity = rng.uniform(1, 9, len(links))
    written = inputs.Inputs(names, positions, links, capacity, traffic, live, start, best, geographic)
    with tempfile.TemporaryDirectory() as made:
        inputs.write_inputs(Path(made), written)
        read = inputs.read_inputs(Path(made))
    for field in fields(written):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))
    assert read.links.dtype == np.int32 and read.geographic is geographic


@pytest.mark.parametrize("value", [float("nan"), -1.0])
def test_writers_refuse_what_readers_would(tmp_path: Path, value: float) -> None:
    """A bad number is our mistake, and no file appears."""
    bad = msgspec.structs.replace(
        make_summary(), mlu=records.Mlu(before=records.Level(predicted=value), after=records.Level(predicted=0.1))
    )
    with pytest.raises(ValueError):
        results.write_summary(tmp_path, bad)
    with pytest.raises(ValueError):
        results.write_steps(tmp_path, [[0]], [value])
    row = records.LinkRow(
        link=0,
        src="a",
        dst="b",
        capacity_bps=1.0,
        weight_live=1,
        weight_after=1,
        utilization_before_predicted=value,
        utilization_after_predicted=0.0,
    )
    with pytest.raises(ValueError):
        results.write_links(tmp_path, [row])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "expected"),
    [
        ("summary.json", '"seed": 1', '"seed": "one"', 7, "Expected `int`"),
        ("summary.json", '"measured": 0.645', '"measured": -1', 21, "$.mlu.after.measured"),
        ("summary.json", '"fabric"', "fabric", 3, "malformed"),
        ("summary.json", '"routers": 5', '"routers": 6', None, "expected 5 and 12 as in inputs.npz"),
        ("manifest.json", '"temperature": 1.0', '"temperature": 0', 22, "> 0.0"),
        ("steps.jsonl", '"step":3,', '"step":4,', 3, "expected step 3"),
        ("steps.jsonl", '{"step":2,', '{"stop":2,', 2, "missing required field `step`"),
        ("links.csv", "weight_live", "weight", 1, "expected the columns link,src,dst"),
        ("links.csv", "1,Lisboa,Zürich", "2,Lisboa,Zürich", 3, "expected link 1"),
        ("links.csv", "0,Lisboa,Paris,10000000", "0,Lisboa,Paris,1,10000000", 2, "21 columns, expected 20"),
        ("links.csv", "0,Lisboa,Paris,10000000", "0,Lisboa,Paris,nan", 2, "$.capacity_bps"),
        ("links.csv", "0,Lisboa,Paris", "0,Lisboa,Praha", None, "12 links of inputs.npz"),
    ],
)
def test_a_damaged_file_is_named(
    run_folder: Path, tmp_path: Path, file: str, old: str, new: str, line: int | None, expected: str
) -> None:
    """The error says the file, the line where there is one, and what was expected."""
    for path in run_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        results.read_run(tmp_path)
    assert expected in str(caught.value)
    assert (caught.value.path, caught.value.line) == (tmp_path / file, line)


def test_a_link_beyond_the_network_is_named(run_folder: Path) -> None:
    """Steps name links by index."""
    with pytest.raises(InputError, match="expected an index below 2"):
        results.read_steps(run_folder, 2)


@pytest.mark.parametrize("file", ["summary.json", "inputs.npz", "steps.jsonl", "links.csv", "manifest.json"])
def test_a_missing_file_is_named(run_folder: Path, tmp_path: Path, file: str) -> None:
    """A folder that is no run folder is the user's mistake."""
    for path in run_folder.iterdir():
        if path.name != file:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=f"{file}: No such file"):
        results.read_run(tmp_path)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_an_input_error(run_folder: Path, data: st.DataObject) -> None:
    """Whatever the bytes: the inputs are read, or refused by name."""
    whole = bytearray((run_folder / "inputs.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "inputs.npz").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        try:
            inputs.read_inputs(Path(made))
        except InputError as err:
            assert err.path == Path(made) / "inputs.npz"


def test_inputs_are_checked(run_folder: Path) -> None:
    """Each array is checked, and the message names it."""
    good = inputs.read_inputs(run_folder)
    for change, expected in [
        ({"capacity": np.zeros(12)}, "capacity"),
        ({"traffic": np.ones((5, 5))}, "diagonal"),
        ({"traffic": np.ones((5, 4))}, "shape"),
        ({"links": good.links[::-1]}, "ascending"),
        ({"links": good.links + 3}, "links"),
        ({"live_weights": np.zeros(12, dtype=np.int64)}, "live_weights"),
        ({"nodes": ("a",) * 5}, "twice"),
    ]:
        with pytest.raises(ValueError, match=expected):
            replace(good, **change)  # type: ignore[arg-type]
