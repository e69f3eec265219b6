"""What counts as the cost of an optimisation over MQTT."""

from coordinator.overhead import MqttOverhead


def test_bytes_are_topic_and_payload_once_for_each_router() -> None:
    overhead = MqttOverhead()
    overhead.sent("lockstep/é/start", b"12345", routers=17)
    overhead.received("lockstep/é/agents/r1/status", b"123")
    overhead.received("lockstep/é/agents/r2/status", b"")
    assert overhead.messages == {"start": 17, "status": 2}
    assert overhead.octets == {"start": 17 * (17 + 5), "status": 28 + 3 + 28}


def test_it_begins_with_the_first_start_and_stops_at_the_end() -> None:
    overhead = MqttOverhead()
    overhead.received("d/agents/a/status", b"online")
    overhead.sent("d/cancel", b"of an earlier one", routers=2)
    assert not overhead.messages and not overhead.octets
    overhead.sent("d/start", b"", routers=2)
    overhead.received("d/agents/a/result", b"aborted")
    overhead.sent("d/start", b"", routers=2)
    overhead.received("d/agents/a/result", b"kept")
    overhead.end()
    overhead.received("d/agents/a/status", b"late")
    assert overhead.messages == {"start": 4, "result": 2}
    assert overhead.octets == {"start": 28, "result": 2 * 17 + 7 + 4}


def test_nobody_there_costs_nothing() -> None:
    overhead = MqttOverhead()
    overhead.sent("d/start", b"1234", routers=0)
    assert overhead.octets.total() == overhead.messages.total() == 0
