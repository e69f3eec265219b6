"""Agents as processes of this machine with real sockets, started by the main job; and its replay."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emulation.inputs import read_inputs
from emulation.replay import replay
from emulation.results import read_links
from routing.errors import InputError
from routing.formats import save_topology
from routing.topology import Topology

ROOT = Path(__file__).resolve().parent.parent
RING = Topology.from_links(
    "ring",
    ["a", "b", "c", "d"],
    [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3), (0, 2), (2, 0)],
    [1e9, 1e9, 1e10, 1e10, 1e9, 1e9, 1e10, 1e10, 2e9, 2e9],
)
STEPS = 8


def main_job(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "emulation" / "run.py"), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def run(folder: Path, *options: str) -> tuple[Path, dict[str, object]]:
    """Run an episode on loopback; return the run folder and its summary."""
    save_topology(folder / "ring.graphml", RING)
    out = folder / "out"
    fixed = ["--fabric", "loopback", "--steps", str(STEPS), "--seed", "3", "--patience", "0"]
    done = main_job(folder, str(folder / "ring.graphml"), *fixed, "--out", str(out), "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, json.loads(done.stdout)


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    return run(tmp_path_factory.mktemp("forked"), "--spawn", "fork")


def test_all_routers_decide_and_agree(forked: tuple[Path, dict[str, object]]) -> None:
    out, summary = forked
    assert summary["status"] in ("committed", "kept")
    assert (summary["routers"], summary["links"], summary["steps"]) == (4, 10, STEPS)
    assert summary["agreement"]["routers"] == 4  # type: ignore[index]
    steps = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    inputs = read_inputs(out)
    if summary["status"] == "committed":
        changed = int((inputs.best_weights != inputs.live_weights).sum())
        assert summary["ospf"]["costs_changed"] == changed  # type: ignore[index]


def test_every_link_carried_what_the_rounds_need(forked: tuple[Path, dict[str, object]]) -> None:
    rows = read_links(forked[0])
    assert len(rows) == 10
    for row in rows:
        assert row.hidden_state_bytes >= STEPS * 32  # one round, 16 float16
        assert row.hidden_state_bytes + row.sharing_bytes + row.control_bytes == row.bytes
        assert row.bytes < 1400 * row.frames


def test_what_went_over_mqtt_is_counted(forked: tuple[Path, dict[str, object]]) -> None:
    """Each router hears one start and answers with status and result; the root tells the start and every step."""
    cost = forked[1]["overhead"]
    matrix, weights = RING.num_nodes**2 * 8, RING.num_links * 2
    assert matrix + weights < cost["mqtt_start_bytes_per_router"] < matrix + weights + 500  # type: ignore[index]
    assert cost["mqtt_bytes_per_router"] > cost["mqtt_start_bytes_per_router"] + 2 * weights  # type: ignore[index]
    assert cost["mqtt_messages_per_router"] >= 3 + (STEPS + 1) / RING.num_nodes  # type: ignore[index]


@pytest.mark.parametrize("options", [("--spawn", "exec"), ("--share", "logits")], ids=["exec", "logits"])
def test_agents_that_are_started_or_share_otherwise_decide_the_same(
    options: tuple[str, ...], forked: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    out, summary = run(tmp_path, *options)
    assert (out / "steps.jsonl").read_text() == (forked[0] / "steps.jsonl").read_text()
    assert summary["agreement"] == forked[1]["agreement"]
    np.testing.assert_array_equal(read_inputs(out).best_weights, read_inputs(forked[0]).best_weights)
    assert main_job(tmp_path, "--replay", str(out)).returncode == 0


def test_an_episode_that_ends_early_replays(forked: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    out, summary = run(tmp_path, "--patience", "1")
    steps = (out / "steps.jsonl").read_text().splitlines()
    assert 1 <= len(steps) == summary["steps"] < summary["planned"] == STEPS  # type: ignore[operator]
    assert summary["steps"] == summary["best_step"] + 1  # type: ignore[operator]
    assert steps == (forked[0] / "steps.jsonl").read_text().splitlines()[: len(steps)]
    done = main_job(tmp_path, "--replay", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(steps)} decisions recomputed, all equal" in done.stdout


def test_replay_recomputes_every_decision(forked: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    done = main_job(tmp_path, "--replay", str(forked[0]))
    assert (done.returncode, done.stderr) == (0, "")
    digest = forked[1]["agreement"]["digest"]  # type: ignore[index]
    assert f"{STEPS} decisions recomputed, all equal" in done.stdout
    assert f"digest {digest}" in done.stdout


@pytest.mark.parametrize("what", ["link", "mlu", "missing step", "digest", "seed"])
def test_replay_fails_on_one_altered_digit(what: str, forked: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(forked[0], folder, ignore=shutil.ignore_patterns("*.sock"))
    place = folder / {"digest": "summary.json", "seed": "manifest.json"}.get(what, "steps.jsonl")
    text = place.read_text()
    if place.name == "steps.jsonl":
        lines = text.splitlines()
        step = json.loads(lines[4])
        if what == "link":
            step["links"][0] = (step["links"][0] + 1) % 10
        elif what == "mlu":
            digits = repr(step["mlu"])
            step["mlu"] = float(digits[:-1] + str((int(digits[-1]) + 5) % 10))
        lines[4] = json.dumps(step, separators=(",", ":"))
        text = "\n".join(lines[:-1] if what == "missing step" else lines) + "\n"
    else:
        content = json.loads(text)
        if what == "digest":
            digest = content["agreement"]["digest"]
            content["agreement"]["digest"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        else:
            content["seed"] += 1
        text = json.dumps(content)
    assert text != place.read_text()
    place.write_text(text)
    with pytest.raises(InputError) as raised:
        replay(folder)
    if what in ("link", "mlu"):
        assert str(raised.value).startswith(f"{place}:5: ")
    if what == "link":
        done = main_job(tmp_path, "--replay", str(folder))
        assert (done.returncode, done.stderr) == (2, f"run.py: {raised.value}\n")
