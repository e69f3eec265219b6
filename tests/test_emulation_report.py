"""The report: well-formed, self-contained, safe with any name, the same each time; the map's colours and layout."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import make_run, make_summary

from emulation import figures, layout, netmap, overheadmap, records, report, results, svg
from routing.errors import InputError

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> results.Run:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return results.read_run(folder)


class Balance(HTMLParser):
    """Checks that every element is closed where it should be, and collects the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.S)]


def visible(page: str) -> str:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return " ".join(parser.words)


def test_report_says_what_happened(run: results.Run) -> None:
    words = visible(report.render_report(run))
    for expected in (
        "committed",
        "1.080",
        "0.640",
        "1.074",
        "0.645",
        "best MLU 0.640 is 40.7 % below the live one",
        "4 of 12 costs changed, LSDB verified, 20 of 20 kernel routes as predicted",
        "1,306 frames, 90.1 kB of UDP payload (hidden states 80.0 kB, sharing 9.1 kB, control 1.0 kB), 150.0 kB on the",
        "Kernel counters saw 100.00% of the frames",
        "Over MQTT, between coordinator and agents: 2.9 kB per router in 5.4 messages, 2.3 kB of it the start.",
        "bring-up 3.20 s, episode 1.50 s, commit 0.40 s, total 23.50 s",
        "ab" * 32,
        "emulation/run.py alps --traffic gravity",
    ):
        assert expected in words
    assert len(pictures(report.render_report(run))) == 5


def test_report_is_self_contained(run: results.Run) -> None:
    page = report.render_report(run)
    outside = re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?\s*(\S{0,40})""", page.split("<body>")[1], re.I)
    assert [found for found in outside if "//" in found] == []
    assert set(re.findall(r"https?://[^\"' <]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in page and "@import" not in page


def test_write_report_is_repeatable(tmp_path: Path) -> None:
    make_run(tmp_path)
    first = report.write_report(tmp_path).read_bytes()
    assert report.write_report(tmp_path).read_bytes() == first


@pytest.mark.parametrize("status", ["committed", "kept", "aborted"])
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 20])
def test_every_outcome_has_a_report(tmp_path: Path, status: records.Status, measured: bool, steps: int) -> None:
    make_run(tmp_path, measured=measured, status=status, steps=steps)
    page = report.write_report(tmp_path).read_text()
    assert "nan" not in page.split("<body>")[1]
    assert ("MLU measured" in visible(page)) == measured
    assert len(pictures(page)) == 5


def test_uncounted_frames_are_named(run: results.Run) -> None:
    names = [name for name in records.LinkRow.__struct_fields__ if name.endswith(("frames", "bytes"))]
    rows = tuple(msgspec.structs.replace(row, **dict.fromkeys(names)) for row in run.links)
    overhead = records.Overhead(**dict.fromkeys(records.Overhead.__struct_fields__))
    summary = msgspec.structs.replace(run.summary, overhead=overhead)
    page = report.render_report(replace(run, links=rows, summary=summary))
    assert "were not counted" in visible(page)
    assert "MQTT" not in visible(page)
    assert len(pictures(page)) == 3


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=5, max_size=5, unique=True))
def test_names_are_only_ever_text(run: results.Run, names: list[str]) -> None:
    """A node may be called ``</svg><script>``."""
    names[0] += '</title></svg><script>"&'
    links = run.inputs.links.tolist()
    rows = [
        msgspec.structs.replace(row, src=names[a], dst=names[b]) for row, (a, b) in zip(run.links, links, strict=True)
    ]
    renamed = replace(run, inputs=replace(run.inputs, nodes=tuple(names)), links=tuple(rows))
    page = report.render_report(renamed)
    assert "<script" not in page
    assert len(pictures(page)) == 5
    assert '</title></svg><script>"&' in visible(page)


def test_map_colours_and_marks_overload(run: results.Run) -> None:
    page = netmap.draw_maps(report.map_data(run))
    before, after = ET.fromstring(page).findall(f"{SVG}g")[:2]
    assert len(before.findall(f"{SVG}polygon")) == 12 and len(after.findall(f"{SVG}polygon")) == 12
    over = [shape for shape in before.iter(f"{SVG}polygon") if shape.get("class", "").startswith("over")]
    assert len(over) == 1 and "Paris → Zürich" in (over[0].findtext(f"{SVG}title") or "")
    assert not [shape for shape in after.iter(f"{SVG}polygon") if shape.get("class", "").startswith("over")]
    assert any(shape.text == "108%" or shape.text == "107%" for shape in before.iter(f"{SVG}text"))


def test_the_overhead_map_shows_each_links_bytes(run: results.Run) -> None:
    rows = list(run.links)
    rows[4] = msgspec.structs.replace(rows[4], wire_bytes=300_000)
    page = ET.fromstring(overheadmap.draw_overhead(report.map_data(run), rows))
    frames, sharing = page.findall(f"{SVG}g")[:2]
    lanes = {shape.findtext(f"{SVG}title"): shape.get("class") for shape in frames.iter(f"{SVG}polygon")}
    assert len(lanes) == len(rows) == len(list(sharing.iter(f"{SVG}polygon")))
    busiest, other = rows[4], rows[0]
    words = f"300,000 bytes on the wire, headers included; {busiest.frames:,} frames in all"
    assert lanes[f"{busiest.src} → {busiest.dst}: {words}"] == "u9 peak"
    assert "u5" in [look for name, look in lanes.items() if (name or "").startswith(f"{other.src} → {other.dst}")]
    assert any(shape.text == "300.0 kB" for shape in frames.iter(f"{SVG}text"))
    nothing = [msgspec.structs.replace(row, wire_bytes=None, sharing_bytes=0) for row in rows]
    ET.fromstring(overheadmap.draw_overhead(report.map_data(run), nothing))


@pytest.mark.parametrize(
    ("utilization", "expected"), [(0.0, "u0"), (0.099, "u0"), (0.1, "u1"), (0.95, "u9"), (1.0, "u9"), (1.001, "over")]
)
def test_utilization_classes(utilization: float, expected: str) -> None:
    assert svg.utilization_class(utilization) == expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_save_map_stands_alone(run: results.Run, tmp_path: Path, scheme: svg.Scheme) -> None:
    path = tmp_path / "map.svg"
    report.save_map(path, report.map_data(run), scheme)
    root = ET.parse(path).getroot()
    styles = root.findtext(f"{SVG}style") or ""
    used = {name for shape in root.iter() for name in shape.get("class", "").split()}
    assert {name for name in used if f".{name}{{" not in styles} == set()
    # Converters to PNG know no custom properties.
    assert "var(" not in path.read_text()
    background = root.find(f"{SVG}rect")
    assert background is not None and background.get("fill") == svg.colour("surface", scheme)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.booleans())
def test_layout_is_within_bounds_and_repeatable(num_nodes: int, seed: int, known: bool) -> None:
    rng = np.random.default_rng(seed)
    tree = [(n, int(rng.integers(n))) for n in range(1, num_nodes)]
    links = np.array([*tree, *((b, a) for a, b in tree)], dtype=np.int32).reshape(-1, 2)
    positions = rng.uniform(-60, 60, (num_nodes, 2)) if known else np.full((num_nodes, 2), np.nan)
    placed = [
        layout.place_nodes(positions, links, geographic=True, width=400, max_height=300, gap=10) for _ in range(2)
    ]
    np.testing.assert_array_equal(placed[0], placed[1])
    assert (placed[0] >= -1e-6).all() and (placed[0] <= np.array([400, 300]) + 1e-6).all()


def test_layout_keeps_the_compass() -> None:
    """East is right, north is up, and a degree of longitude shrinks with the latitude."""
    positions = np.array([[0.0, 60.0], [10.0, 60.0], [0.0, 65.0]])
    points = layout.place_nodes(
        positions, np.array([[0, 1], [1, 2]], dtype=np.int32), geographic=True, width=1000, max_height=1000, gap=1
    )
    east, north = points[1] - points[0], points[2] - points[0]
    assert east[0] > 0 and abs(east[1]) < 1e-6 and north[1] < 0
    assert east[0] / -north[1] == pytest.approx(2 * np.cos(np.radians(62.5)))


def test_layout_from_the_graph_shows_its_shape() -> None:
    """On a ring, neighbours are closer than opposites."""
    ring = np.array([(n, (n + 1) % 8) for n in range(8)], dtype=np.int32)
    points = layout.place_nodes(np.full((8, 2), np.nan), ring, geographic=False, width=400, max_height=400, gap=5)
    near = np.hypot(*(points - np.roll(points, 1, axis=0)).T)
    far = np.hypot(*(points - np.roll(points, 4, axis=0)).T)
    assert near.max() < far.min()


def test_lines_bend_around_nodes_in_their_way() -> None:
    """A link from 0 to 2 does not seem to end at 1; both directions take the same line."""
    points = np.array([[0.0, 0.0], [50.0, 4.0], [100.0, 0.0], [0.0, 90.0]])
    links = np.array([[0, 2], [0, 3], [2, 0]], dtype=np.int32)
    there, straight, back = layout.centre_lines(points, links, 15.0)
    assert np.hypot(*(there - points[1]).T).min() >= 14.5
    np.testing.assert_array_equal(there, back[::-1])
    np.testing.assert_array_equal(straight, points[[0, 3]])


def test_a_part_of_a_line_is_cut_at_both_ends() -> None:
    line = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(layout.part_of(line, 1.0, 2.0), [[1, 0], [3, 0], [3, 2]])
    np.testing.assert_allclose(layout.to_the_right(line[:2]), [[0, 1], [0, 1]])


@given(st.floats(0, 1e9), st.floats(1e-6, 1e9), st.integers(2, 9))
def test_ticks_are_round_and_inside(low: float, extent: float, count: int) -> None:
    numbers = svg.ticks(low, low + extent, count)
    if low + extent > low:
        assert all(low - extent * 1e-3 <= number <= low + extent * 1.001 for number in numbers)
        assert len(numbers) <= 2 * count + 2


def test_large_networks_show_the_most_loaded() -> None:
    rows = [
        records.LinkRow(
            link=n,
            src=f"a{n}",
            dst=f"b{n}",
            capacity_bps=1e6,
            weight_live=1,
            weight_after=1,
            utilization_before_predicted=n / 400,
            utilization_after_predicted=0.1,
        )
        for n in range(300)
    ]
    drawn = ET.fromstring(figures.draw_utilization(rows))
    names = [shape.text for shape in drawn.iter(f"{SVG}text") if "→" in (shape.text or "")]
    assert len(names) == figures.MAX_ROWS and names[0] == "a299 → b299"
    ET.fromstring(figures.draw_bytes(rows))


def test_command_line(tmp_path: Path) -> None:
    make_run(tmp_path)
    command = [sys.executable, "-m", "emulation.report"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "report.html"))
    (tmp_path / "summary.json").unlink()
    failed = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert (
        failed.stderr.strip()
        == f"{tmp_path / 'summary.json'}: No such file or directory; expected a file of a run folder"
    )
    assert report.main([]) == 2 and report.main(["--help"]) == 0


def test_a_damaged_folder_keeps_the_old_report(tmp_path: Path) -> None:
    make_run(tmp_path)
    old = report.write_report(tmp_path).read_bytes()
    (tmp_path / "steps.jsonl").write_text("{}\n")
    with pytest.raises(InputError):
        report.write_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == old


def test_unchanged_mlu_is_called_unchanged(tmp_path: Path) -> None:
    make_run(tmp_path, status="kept")
    level = records.Level(predicted=0.9)
    kept = msgspec.structs.replace(make_summary(status="kept"), mlu=records.Mlu(before=level, after=level))
    results.write_summary(tmp_path, kept)
    assert "unchanged" in visible(report.write_report(tmp_path).read_text())
