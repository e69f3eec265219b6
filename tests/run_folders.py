"""Synthetic run folders for the tests of the report: a small network, made-up numbers."""

from pathlib import Path

import numpy as np

from emulation import records, results
from emulation.inputs import Inputs, write_inputs

CITIES = ("Lisboa", "Paris", "Zürich", "Wien", "Kraków")
PLACES = ((-9.1, 38.7), (2.35, 48.86), (8.54, 47.37), (16.37, 48.21), (19.94, 50.06))
PAIRS = ((0, 1), (1, 2), (2, 3), (3, 4), (1, 4), (0, 2))


def make_run(folder: Path, *, measured: bool = True, status: records.Status = "committed", steps: int = 20) -> None:
    """Write the five files of a plausible run on five routers and twelve links."""
    rng = np.random.default_rng(7)
    links = np.array(sorted(PAIRS + tuple((b, a) for a, b in PAIRS)), dtype=np.int32)
    before, after = rng.uniform(0.05, 0.8, len(links)), rng.uniform(0.05, 0.6, len(links))
    before[3], after[5] = 1.08, 0.64
    live = np.full(len(links), 10)
    best = live + (rng.uniform(size=len(links)) > 0.6) * rng.integers(1, 9, len(links))
    traffic = rng.uniform(1e5, 1e6, (5, 5)) * (1 - np.eye(5))
    write_inputs(
        folder,
        Inputs(CITIES, np.array(PLACES), links, np.full(len(links), 1e7), traffic, live, live, best.astype(np.int64)),
    )
    noise = rng.normal(0, 0.005, (2, len(links)))
    results.write_links(
        folder,
        [
            records.LinkRow(
                link=n,
                src=CITIES[a],
                dst=CITIES[b],
                capacity_bps=1e7,
                weight_live=int(live[n]),
                weight_after=int(best[n]),
                utilization_before_predicted=float(before[n]),
                utilization_before_measured=float(abs(before[n] + noise[0, n])) if measured else None,
                utilization_after_predicted=float(after[n]),
                utilization_after_measured=float(abs(after[n] + noise[1, n])) if measured else None,
                frames=1300 + n,
                bytes=90_000 + 10 * n,
                hidden_state_bytes=80_000,
                sharing_bytes=9_000 + 10 * n,
                control_bytes=1_000,
                wire_bytes=150_000,
                kernel_frames=1300 + n if measured else None,
                kernel_bytes=150_000 if measured else None,
            )
            for n, (a, b) in enumerate(links.tolist())
        ],
    )
    mlu = 1.08 - 0.44 * np.linspace(0, 1, steps) ** 0.5
    results.write_steps(folder, rng.integers(0, len(links), (steps, 1)).tolist(), mlu.tolist())
    results.write_summary(folder, make_summary(measured=measured, status=status, steps=steps))
    results.write_manifest(folder, make_manifest(steps))


def make_summary(*, measured: bool = True, status: records.Status = "committed", steps: int = 20) -> records.Summary:
    """Return an outcome that fits `make_run`."""
    return records.Summary(
        topology="alps",
        fabric="mininet" if measured else "loopback",
        traffic="gravity",
        load=0.9,
        initial="inverse-capacity",
        seed=1,
        routers=5,
        links=12,
        status=status,
        reason="best MLU 0.640 is 40.7 % below the live one",
        steps=steps,
        best_step=steps,
        mlu=records.Mlu(
            before=records.Level(predicted=1.08, measured=1.074 if measured else None),
            after=records.Level(predicted=0.64, measured=0.645 if measured else None),
            start=records.Level(predicted=1.08),
        ),
        agreement=records.Agreement(digest="5e" * 16, routers=5),
        ospf=records.Ospf(
            costs_changed=4, lsdb_verified=measured or None, routes_verified=(20, 20) if measured else None
        ),
        overhead=records.Overhead(
            frames_per_link=1305.5,
            bytes_per_link=90_055.0,
            hidden_state_bytes_per_link=80_000.0,
            sharing_bytes_per_link=9_055.0,
            control_bytes_per_link=1_000.0,
            wire_bytes_per_link=150_000.0,
            mqtt_bytes_per_router=2_912.0,
            mqtt_start_bytes_per_router=2_345.0,
            mqtt_messages_per_router=5.4,
        ),
        time_s=records.Times(bring_up=3.2, episode=1.5, commit=0.4, total=23.5),
    )


def make_manifest(steps: int = 20) -> records.Manifest:
    """Return the manifest of `make_run`."""
    return records.Manifest(
        versions={"lockstep": "0.1.0", "python": "3.11.2"},
        command=("emulation/run.py", "alps", "--traffic", "gravity"),
        started="2025-11-20T12:00:00+00:00",
        topology="alps",
        topology_digest="0f" * 16,
        traffic="gravity",
        load=0.9,
        initial="inverse-capacity",
        seed=1,
        episode=0,
        steps=steps,
        opening=1,
        temperature=1.0,
        margin=0.01,
        ecmp=True,
        share="candidate",
        fabric="mininet",
        checkpoint="default",
        checkpoint_hash="ab" * 32,
    )
