"""The command line and the files behind it; matrices that appear in a watched folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from agent.broker import BrokerAddress
from agent.control import Start
from coordinator.config import make_parser, parse_config
from coordinator.inputs import WatchedFolder, traffic_matrix
from coordinator.request import make_request
from routing.errors import InputError
from routing.formats import load_topology
from routing.topology import Topology
from routing.traffic import TrafficMatrix, gravity, save_traffic, uniform

BASIC = ["--topology", "gbn", "--broker", "unix:/run/x.sock"]


def test_defaults() -> None:
    config = parse_config([*BASIC, "--traffic", "uniform"])
    assert config.door.address == BrokerAddress(path="/run/x.sock")
    assert (config.topology, config.profile, config.checkpoint, config.domain) == (
        "gbn",
        "uniform",
        "default",
        "default",
    )
    assert (config.initial, config.traffic, config.watch, config.every_s) == (
        "inverse-capacity",
        ("uniform",),
        None,
        None,
    )
    assert (config.steps, config.seed, config.increments, config.temperature_milli) == (None, 1, 1, None)
    assert (config.margin_milli, config.share, config.ecmp, config.silence_s) == (10, "candidate", True, 30.0)
    assert (config.wait_s, config.json, config.verbose) == (None, False, False)


def test_all_options(tmp_path: Path) -> None:
    text = (
        f"--traffic gravity:3 --traffic m.csv --watch {tmp_path} --every 60 --steps 7 --seed 5 --initial random:1 "
        "--json "
        "--checkpoint paper --share logits --margin 2.5 --temperature 0.25 --no-ecmp --domain lab --timeout 9 --wait 8"
    )
    config = parse_config([*BASIC, *text.split()])
    assert (config.traffic, config.profile, config.watch) == (("gravity:3", "m.csv"), "gravity", tmp_path)
    assert (config.every_s, config.steps, config.seed, config.initial) == (60.0, 7, 5, "random:1")
    assert (config.checkpoint, config.share, config.margin_milli, config.temperature_milli) == (
        "paper",
        "logits",
        25,
        250,
    )
    assert (config.ecmp, config.domain, config.silence_s, config.wait_s, config.json) == (False, "lab", 9.0, 8.0, True)
    assert parse_config([*BASIC, "--traffic", "gravity", "--profile", "uniform"]).profile == "uniform"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "expected --traffic or --watch"),
        ("--watch /nonexistent", "/nonexistent: is no folder"),
        ("--traffic uniform --every 0", "expected a number of seconds > 0"),
        ("--traffic uniform --timeout nan", "expected a number of seconds > 0"),
        ("--traffic uniform --steps 0", "expected at least 1"),
        ("--traffic uniform --steps 1000001", "--steps up to 1000000"),
        ("--traffic uniform --patience 1000001", "--patience 1000001, expected at most 1000000"),
        ("--traffic uniform --seed -1", "expected a whole number >= 0"),
        ("--traffic uniform --seed 9223372036854775808", "--seed below 2"),
        ("--traffic uniform --increments 65", "--increments and --opening up to 64"),
        ("--traffic uniform --margin 101", "expected 0..100 percent"),
        ("--traffic uniform --margin nan", "expected 0..100 percent"),
        ("--traffic uniform --temperature 0", "expected 0.001..1000"),
        ("--traffic uniform --domain a/b", "expected 1 to 64 letters"),
        ("--traffic uniform --broker nowhere:x", "expected unix:/path, host:port"),
        ("--traffic uniform --share gossip", "invalid choice"),
        ("--traffic uniform --colour red", "unrecognized arguments"),
    ],
)
def test_bad_options_are_named(options: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config([*BASIC, *options.split()])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_names_every_option() -> None:
    text = make_parser().format_help()
    for option in ("--watch", "--every", "--no-ecmp", "uniform[:SEED]", "exit codes"):
        assert option in text


@pytest.fixture(scope="module")
def gbn() -> Topology:
    return load_topology("gbn")


def test_traffic_by_name_and_by_file(gbn: Topology, tmp_path: Path) -> None:
    assert (traffic_matrix("uniform", gbn, 4).demand == uniform(gbn, 4).demand).all()
    assert (traffic_matrix("gravity:9", gbn, 4).demand == gravity(gbn, 9).demand).all()
    path = tmp_path / "m.csv"
    save_traffic(path, uniform(gbn, 2), gbn)
    assert (traffic_matrix(str(path), gbn, 4).demand == uniform(gbn, 2).demand).all()
    for spec, message in (
        ("unifrom", "expected uniform, gravity, or a file"),
        ("uniform:x", "seed 'x', expected a whole number"),
        ("uniform:", "seed '', expected a whole number"),
        (str(tmp_path / "none.csv"), "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            traffic_matrix(spec, gbn, 4)


def test_request_carries_arrays_in_little_endian(gbn: Topology) -> None:
    weights = np.arange(1, gbn.num_links + 1)
    traffic = uniform(gbn, 1)
    request = make_request(gbn, traffic, weights, checkpoint="0" * 32, steps=5, seed=6, margin_milli=7, ecmp=False)
    start = request.start
    assert isinstance(start, Start) and request.name == "uniform:1"
    assert (start.steps, start.seed, start.margin_milli, start.ecmp) == (5, 6, 7, False)
    assert (np.frombuffer(start.traffic, "<f8").reshape(17, 17) == traffic.demand).all()
    assert (np.frombuffer(start.start_weights, "<u2") == weights).all()
    assert bytes.fromhex(start.topology) == gbn.digest()
    with pytest.raises(InputError, match=r"expected 1\.\.65535"):
        make_request(gbn, traffic, weights - 1, checkpoint="0" * 32, steps=5, seed=6)


def dated(path: Path, content: str, second: int) -> Path:
    path.write_text(content)
    os.utime(path, (second, second))
    return path


def test_watched_folder_returns_settled_files_once(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path)
    old = dated(tmp_path / "z.csv", "1", 100)
    assert folder.poll() == []  # may still be written to
    new = dated(tmp_path / "a.npy", "2", 200)
    assert folder.poll() == [old]
    assert folder.poll() == [new]
    assert folder.poll() == []
    dated(old, "12", 300)
    assert folder.poll() == []
    dated(old, "123", 300)
    assert folder.poll() == []  # grew meanwhile
    assert folder.poll() == [old]
    old.unlink()
    assert folder.poll() == []
    dated(old, "123", 300)
    assert [folder.poll(), folder.poll()] == [[], [old]]


def test_watched_folder_orders_by_age_and_looks_at_matrices_only(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path)
    third = dated(tmp_path / "a.csv", "1", 300)
    first = dated(tmp_path / "b.csv", "1", 100)
    second = dated(tmp_path / "c.npz", "1", 200)
    dated(tmp_path / "notes.txt", "1", 400)
    dated(tmp_path / ".a.csv.tmp", "1", 400)
    dated(tmp_path / ".hidden.csv", "1", 400)
    dated(tmp_path / "empty.csv", "", 400)
    assert folder.poll() == []
    assert folder.poll() == [first, second, third]


def test_matrix_replaced_atomically_is_noticed(tmp_path: Path) -> None:
    """A new file with the same time and size is another file."""
    folder = WatchedFolder(tmp_path)
    path = dated(tmp_path / "m.csv", "1", 100)
    assert [folder.poll(), folder.poll()] == [[], [path]]
    keep = path.open()  # so that its inode is not used again
    os.replace(dated(tmp_path / ".m.csv.new", "2", 100), path)
    assert [folder.poll(), folder.poll()] == [[], [path]]
    keep.close()


def test_names_of_requests_are_those_of_their_matrices(gbn: Topology) -> None:
    traffic = TrafficMatrix(uniform(gbn, 1).demand, "monday")
    weights = np.ones(gbn.num_links, dtype=np.int64)
    assert make_request(gbn, traffic, weights, checkpoint="0" * 32, steps=1, seed=1).name == "monday"
