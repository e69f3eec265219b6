"""What the tests of several formats share: random networks with traffic, and files with something broken in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from test_routing_topology import networks

from routing.errors import InputError
from routing.formats import load_network
from routing.topology import Topology
from routing.traffic import TrafficMatrix

# Inserted at random places: what means something in one format or another.
FRAGMENTS = [
    *(
        b"<",
        b"&x;",
        b"</link>",
        b'"',
        b"[",
        b"]",
        b"(",
        b")",
        b"nan",
        b"inf",
        b"1e999",
        b"-1",
        b"0",
        b"\n",
        b"\n\n",
        b"#",
    ),
    *(b"NODES 3", b"node [", b" source 7", b"99999999999999999999", b"\x00", b"\xff", b"Kbps", b"UNLIMITED"),
]


@st.composite
def with_traffic(draw: st.DrawFn) -> tuple[Topology, TrafficMatrix]:
    topology = draw(networks())
    n = topology.num_nodes
    rates = draw(st.lists(st.just(0.0) | st.floats(1e-3, 1e15), min_size=n * n, max_size=n * n))
    demand = np.array(rates).reshape(n, n)
    np.fill_diagonal(demand, 0.0)
    return topology, TrafficMatrix(demand)


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """Random bytes, or `whole` with one to three places cut out, changed or filled with something."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=100))
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, len(whole))), draw(st.integers(0, 30))
        inserted = draw(st.binary(max_size=4) | st.sampled_from(FRAGMENTS))
        whole = whole[:start] + inserted + whole[start + length :]
    return whole


def gives_a_network_or_an_input_error(files: dict[str, bytes], name: str, demands: str | None = None) -> None:
    """Load `name` after writing `files`; an error must be of one line and name a file that was written."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (Path(folder) / file).write_bytes(content)
        try:
            network = load_network(Path(folder) / name, demands and Path(folder) / demands)
        except InputError as error:
            assert error.path is not None
            assert Path(error.path).parent in (Path(folder), Path(folder).parent)
            assert "\n" not in str(error)
        else:
            assert network.topology.num_nodes >= 2
            assert network.traffic is None or network.traffic.num_nodes == network.topology.num_nodes
