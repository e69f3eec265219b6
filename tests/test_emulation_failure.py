"""What --fail and --fail-router name, and how a failure and the agents' computing are told."""

import os
import time

import numpy as np
import pytest

from emulation.failure import parse_failure
from emulation.outcome import computing_words, failure_words
from emulation.records import Computing, Outage
from emulation.spawn import processor_time
from routing.errors import InputError
from routing.formats import load_topology
from routing.topology import Topology

GBN = load_topology("gbn")


@pytest.mark.parametrize("name", ["Hannover-Frankfurt", "Frankfurt->Hannover", "Frankfurt-Hannover"])
def test_a_link_fails_in_both_directions(name: str) -> None:
    failure = parse_failure(GBN, f"{name}@40", None, 150)
    assert failure is not None and failure.step == 40 and failure.router is None
    assert {GBN.link_name(link) for link in failure.links.tolist()} == {"Hannover->Frankfurt", "Frankfurt->Hannover"}


def test_names_may_have_hyphens() -> None:
    links = [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)]
    topology = Topology.from_links("t", ("a-b", "c", "b-c"), links, 1.0)
    failure = parse_failure(topology, "a-b-c@0", None, 5)
    assert failure is not None
    assert {topology.link_name(link) for link in failure.links.tolist()} == {"a-b->c", "c->a-b"}


def test_a_router_fails_with_all_its_links() -> None:
    failure = parse_failure(GBN, None, "Leipzig@0", 150)
    assert failure is not None and failure.router == GBN.nodes.index("Leipzig")
    expected = np.flatnonzero((GBN.src == failure.router) | (GBN.dst == failure.router))
    np.testing.assert_array_equal(failure.links, expected)


def test_nothing_fails_unless_asked() -> None:
    assert parse_failure(GBN, None, None, 150) is None


@pytest.mark.parametrize(
    ("link", "router", "said"),
    [
        ("Hannover-Frankfurt", None, "expected A-B@STEP with a step of 0..150"),
        ("Hannover-Frankfurt@151", None, "0..150"),
        ("Hannover-Frankfurt@-1", None, "0..150"),
        ("Hannover-Ulm@1", None, "no link 'Hannover-Ulm'"),
        ("Hannover@1", None, "no link 'Hannover'"),
        (None, "Paris@1", "no router 'Paris'"),
        (None, "Hannover@x", "ROUTER@STEP"),
        ("Hannover-Frankfurt@1", "Hannover@1", "expected one of them"),
    ],
)
def test_bad_input_says_what_was_expected(link: str | None, router: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_failure(GBN, link, router, 150)


def test_a_failure_must_leave_the_network_in_one_part() -> None:
    line = Topology.from_links("line", ("a", "b", "c"), [(0, 1), (1, 0), (1, 2), (2, 1)], 1.0)
    for link, router in (("a-b@1", None), (None, "b@1")):
        with pytest.raises(InputError, match="fall apart"):
            parse_failure(line, link, router, 5)
    assert parse_failure(line, None, "c@1", 5) is not None


def outage(**changes: object) -> Outage:
    values: dict[str, object] = {
        "what": "link A-B", "step": 7, "happened": True, "rerouted_s": 0.0764, "episode_ended_s": 1.5,
        "committed_s": 4.25, "packets_sent": 20_000, "packets_lost": 500, "packets_dropped": 450, "mlu_unchanged": 1.25,
    }  # fmt: skip
    return Outage(**(values | changes))  # type: ignore[arg-type]


def test_the_words_say_times_and_losses() -> None:
    words = failure_words(outage())
    assert words == (
        "link A-B after step 7, rerouted after 76 ms, 500 of 20,000 packets lost (2.50%; 450 in full queues), "
        "MLU 1.250 by the old costs, episode over after 1.50 s, new costs after 4.25 s"
    )
    assert "no new costs" in failure_words(outage(committed_s=None))
    assert failure_words(outage(happened=False)).endswith("did not fail: the episode ended before step 7")


def test_what_agents_computed_is_told() -> None:
    computing = Computing(cpu_s_mean=0.5, cpu_s_busiest=1.0, cores=2, share=0.8, memory_bytes=12e6, rounds_per_s=1234.0)
    assert computing_words(computing) == (
        "0.50 s of a core each (busiest 1.00 s), together 80% of 2 cores, 12.0 MB each, 1,234 rounds per second"
    )


def test_processor_time_is_that_of_the_process() -> None:
    before, began = processor_time(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert processor_time(os.getpid()) - before >= 0.08  # in ticks of 10 ms
