"""An order is checked against what the router knows; the digest covers all that decides."""

import dataclasses

import msgspec
import numpy as np
import pytest

from agent.control import Start
from agent.order import Order, Refused
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import TrafficMatrix, uniform

RING = Topology.from_links(
    "ring", ["a", "b", "c"], [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)], [1e9, 1e9, 2e9, 2e9, 1e9, 1e9]
)
CHECKPOINT = "0123456789abcdef" * 2
TRAFFIC = uniform(RING, 3)


def start(**changes: object) -> Start:
    message = Start(
        episode=4,
        seed=9,
        steps=5,
        increments=2,
        opening=5,
        patience=3,
        temperature_milli=500,
        share="logits",
        ecmp=False,
        margin_milli=20,
        topology=RING.digest().hex(),
        checkpoint=CHECKPOINT,
        traffic=TRAFFIC.demand.astype("<f8").tobytes(),
        start_weights=np.arange(1, 7, dtype="<u2").tobytes(),
    )
    return msgspec.structs.replace(message, **changes)


def test_an_order_is_what_the_coordinator_said() -> None:
    order = Order.from_message(start(), RING, CHECKPOINT)
    simple = {name: getattr(order, name) for name in Order.__dataclass_fields__ if name not in ("traffic", "start")}
    assert simple == {
        "episode": 4,
        "seed": 9,
        "steps": 5,
        "increments": 2,
        "opening": 5,
        "patience": 3,
        "temperature_milli": 500,
        "share": "logits",
        "ecmp": False,
        "margin_milli": 20,
        "checkpoint": CHECKPOINT,
        "down": (),
        "absent": (),
        "restore": False,
        "ordered": True,
        "watch_s": 0.0,
    }
    np.testing.assert_array_equal(order.traffic.demand, TRAFFIC.demand)
    assert order.start.tolist() == [1, 2, 3, 4, 5, 6]


def demand(**entries: float) -> bytes:
    matrix = TRAFFIC.demand.copy()
    for place, value in entries.items():
        matrix[int(place[1]), int(place[2])] = value
    return matrix.astype("<f8").tobytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"topology": "ff" * 16}, f"the coordinator's topology is ffffffff, mine is {RING.digest().hex()[:8]}"),
        ({"checkpoint": "ff" * 16}, "the coordinator's checkpoint is ffffffff, mine is 01234567"),
        ({"traffic": bytes(71)}, "a traffic matrix of 71 bytes, expected 72"),
        ({"traffic": b""}, "a traffic matrix of 0 bytes, expected 72"),
        ({"start_weights": bytes(14)}, "start weights of 14 bytes, expected 12"),
        ({"start_weights": bytes(12)}, "weight 0 of link a->b, expected 1..65535"),
        ({"traffic": demand(d01=-1.0)}, "demand from node 0 to node 1 is -1"),
        ({"traffic": demand(d12=float("nan"))}, "demand from node 1 to node 2 is nan"),
        ({"traffic": demand(d20=float("inf"))}, "demand from node 2 to node 0 is inf"),
        ({"traffic": demand(d11=1.0)}, "demand from node 1 to node 1 is 1"),
    ],
)
def test_an_order_that_does_not_fit_is_refused_with_the_reason(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Refused) as raised:
        Order.from_message(start(**changes), RING, CHECKPOINT)
    assert str(raised.value).startswith(reason)


def test_the_digest_covers_what_decides_and_nothing_else() -> None:
    order = Order.from_message(start(), RING, CHECKPOINT)
    live = inverse_capacity(RING)
    value = order.digest(RING, live).value
    more = live.copy()
    more[3] += 1
    other_capacity = Topology.from_links("ring", RING.nodes, list(zip(RING.src, RING.dst, strict=True)), 1e9)
    others = [
        order.digest(RING, more),
        order.digest(other_capacity, live),
        *(
            dataclasses.replace(order, **change).digest(RING, live)  # type: ignore[arg-type]
            for change in (
                {"seed": 10},
                {"steps": 6},
                {"increments": 1},
                {"opening": 4},
                {"patience": 0},
                {"temperature_milli": 501},
                {"ecmp": True},
                {"margin_milli": 21},
                {"checkpoint": "f" * 32},
                {"start": order.start + 1},
                {"traffic": TrafficMatrix(TRAFFIC.demand * 1.5, "more")},
            )
        ),
    ]
    assert len({value, *(other.value for other in others)}) == len(others) + 1
    for change in ({"share": "candidate"}, {"episode": 5}):
        assert dataclasses.replace(order, **change).digest(RING, live).value == value  # type: ignore[arg-type]
