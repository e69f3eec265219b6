"""What comes as files: configurations, keys, networks, traffic, weights, checkpoints, folders of runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.config import check_against, load_config, load_key
from emulation.inputs import INPUTS_FILE, Inputs, read_inputs, write_inputs
from emulation.records import Agreement, Level, LinkRow, Manifest, Mlu, Ospf, Overhead, Summary, Times
from emulation.results import (
    LINKS_FILE,
    MANIFEST_FILE,
    STEPS_FILE,
    SUMMARY_FILE,
    read_links,
    read_manifest,
    read_steps,
    read_summary,
    write_links,
    write_manifest,
    write_steps,
    write_summary,
)
from experiments.fuzz_network import NET, Target
from policy.checkpoint import load_checkpoint, random_parameters, save_checkpoint
from policy.preset import PRESETS, Preset
from routing.errors import InputError
from routing.formats import load_network, save_network, save_topology
from routing.initial import initial_weights
from routing.prisma import write_prisma
from routing.state import inverse_capacity
from routing.traffic import load_traffic, save_traffic, uniform

_CONFIG = b"""\
router = "b"
topology = "fuzz.graphml"
broker = "192.0.2.9:8883"
credentials = "credentials"
key_file = "domain.key"
ospf = "/run/frr/ospfd.vty"
hello_s = 0.5
state = "state"

[router_ids]
a = "10.255.0.1"
b = "10.255.0.2"
c = "10.255.0.3"

[[neighbors]]
router = "a"
interface = "eth0"
local = "10.0.0.2"
remote = "10.0.0.1"

[[neighbors]]
router = "c"
interface = "eth1"
local = "10.0.0.5"
remote = "10.0.0.6"
"""
_TRAFFIC = uniform(NET, 1)


def in_file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a parser of bytes that puts them into a file first, for a reader of files."""

    def parse(data: bytes) -> object:
        # Not write_bytes: opening, truncating and closing a file took longer than most parsers.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, data)
        os.close(descriptor)
        return read(path)

    return parse


def target(name: str, path: Path, read: Callable[[Path], object], *more: bytes) -> Target:
    """Return the target of a reader whose good input lies in `path`."""
    return Target(name, [path.read_bytes(), *more], in_file(path, read), (InputError,))


def _config(path: Path) -> None:
    check_against(load_config(path), NET, path)


def _networks(folder: Path) -> list[Target]:
    """Return a target for each format of networks."""
    found = []
    weights = inverse_capacity(NET)
    for name, file in (("graphml", "n.graphml"), ("gml", "n.gml"), ("sndlib-xml", "n.xml"), ("sndlib-native", "n.txt")):
        save_network(folder / file, NET, _TRAFFIC)
        found.append(target(name, folder / file, load_network))
    save_network(folder / "n.graph", NET, _TRAFFIC, weights)
    found.append(target("repetita-graph", folder / "n.graph", load_network))
    found.append(target("repetita-demands", folder / "n.demands", lambda path: load_traffic(path, NET)))
    for number, written in enumerate(write_prisma(folder / "prisma", NET, _TRAFFIC)):
        own = folder / f"prisma{number}"  # in which only this file is damaged
        write_prisma(own, NET, _TRAFFIC)
        found.append(target(f"prisma-{written.stem}", own / written.name, _of_folder(load_network)))
    return found


def _arrays(folder: Path) -> list[Target]:
    """Return targets for traffic and weights."""
    found = []
    for suffix in ("csv", "npy", "npz"):
        save_traffic(folder / f"t.{suffix}", _TRAFFIC, NET)
        found.append(target(f"traffic-{suffix}", folder / f"t.{suffix}", lambda path: load_traffic(path, NET)))
    weights = inverse_capacity(NET)
    np.save(folder / "w.npy", weights)
    ends = zip(NET.src.tolist(), NET.dst.tolist(), weights.tolist(), strict=True)
    rows = [f"{NET.nodes[src]},{NET.nodes[dst]},{weight}" for src, dst, weight in ends]
    (folder / "w.csv").write_text("\n".join(["src,dst,weight", *rows, ""]))
    for suffix in ("csv", "npy"):
        found.append(target(f"weights-{suffix}", folder / f"w.{suffix}", _weights))
    return found


def _weights(path: Path) -> object:
    return initial_weights(str(path), NET)


def _run(folder: Path) -> list[Target]:
    """Return targets for the files of a run folder, which ``--replay`` reads."""
    weights = inverse_capacity(NET)
    ends = np.stack([NET.src, NET.dst], axis=1)
    write_inputs(
        folder,
        Inputs(NET.nodes, np.zeros((3, 2)), ends, NET.capacity, _TRAFFIC.demand, weights, weights, weights),
    )
    write_summary(folder, _SUMMARY)
    write_manifest(folder, _MANIFEST)
    write_steps(folder, [[2], [0, 3]], [0.5, 0.25])
    row = LinkRow(
        link=0,
        src="a",
        dst="b",
        capacity_bps=1e9,
        weight_live=1,
        weight_after=2,
        utilization_before_predicted=0.5,
        utilization_after_predicted=0.4,
        utilization_after_measured=0.41,
        frames=7,
        bytes=700,
    )
    write_links(folder, [row])
    checks: dict[str, Callable[[Path], object]] = {
        SUMMARY_FILE: read_summary,
        MANIFEST_FILE: read_manifest,
        STEPS_FILE: read_steps,
        LINKS_FILE: read_links,
        INPUTS_FILE: read_inputs,
    }
    with np.load(folder / INPUTS_FILE) as stored:  # a second time without compression, where damage goes deeper
        np.savez(folder / "plain.npz", **dict(stored))
    plain = (folder / "plain.npz").read_bytes()
    more = {INPUTS_FILE: (plain,)}
    return [
        target(f"run-{name}", folder / name, _of_folder(read), *more.get(name, ())) for name, read in checks.items()
    ]


def _of_folder(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: read(path.parent)


_SUMMARY = Summary(
    topology="fuzz",
    fabric="loopback",
    traffic="uniform",
    load=0.9,
    initial="inverse-capacity",
    seed=1,
    routers=3,
    links=4,
    status="committed",
    reason="",
    steps=2,
    best_step=2,
    mlu=Mlu(before=Level(predicted=0.9), after=Level(predicted=0.5, measured=0.51)),
    agreement=Agreement(digest="5e", routers=3),
    ospf=Ospf(costs_changed=2, routes_verified=(6, 6)),
    overhead=Overhead(
        frames_per_link=1.5,
        bytes_per_link=9.0,
        hidden_state_bytes_per_link=8.0,
        sharing_bytes_per_link=1.0,
        control_bytes_per_link=0.0,
        wire_bytes_per_link=None,
    ),
    time_s=Times(bring_up=1.0, episode=0.5, commit=None, total=2.0),
)
_MANIFEST = Manifest(
    versions={"python": "3.11"},
    command=("fuzz",),
    started="now",
    topology="fuzz",
    topology_digest="0f",
    traffic="uniform",
    load=None,
    initial="inverse-capacity",
    seed=1,
    episode=1,
    steps=2,
    opening=1,
    temperature=1.0,
    margin=0.01,
    ecmp=True,
    share="candidate",
    fabric="loopback",
    checkpoint="default",
    checkpoint_hash="ab",
)


def _preset(data: bytes) -> None:
    Preset.from_json(data.decode(errors="replace"))


def targets(folder: Path) -> list[Target]:
    """Return all of them; they write their inputs below `folder`, which exists and is best in memory."""
    config, key = folder / "agent.toml", folder / "domain.key"
    config.write_bytes(_CONFIG)
    key.touch(0o600)
    key.write_bytes(b"k" * 32)
    save_topology(folder / "fuzz.graphml", NET)
    small = PRESETS["default"]
    save_checkpoint(folder / "p.safetensors", small, random_parameters(small, 1), {"temperature": "0.5"})
    return [
        target("agent-toml", config, _config),
        target("domain-key", key, lambda path: load_key(str(path))),
        *_networks(folder),
        *_arrays(folder),
        target("checkpoint", folder / "p.safetensors", load_checkpoint),
        Target("preset", [small.to_json().encode()], _preset, (ValueError,)),
        *_run(folder),
    ]
