"""What an optimisation costs over MQTT, counted at the coordinator, through which all of it passes.

A message counts once for each router that it goes to or comes from: a `Start` that is published once reaches every
router. Its bytes are what was put into the PUBLISH packet, topic and payload (MQTT 3.1.1, 3.3.2.1 and 3.3.3). Not
counted: the packet's fixed header and identifier, acknowledgements, keep-alive, TLS, TCP and IP, the coordinator's own
way to the broker, and what agents say before the first `Start`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class MqttOverhead:
    """Messages and bytes by kind, which is the last word of the topic: start, cancel, status, progress, result.

    From the first `Start` to `end`, over all attempts; what is sent again is counted again.
    """

    messages: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)
    counting: bool = False

    def sent(self, topic: str, payload: bytes, routers: int) -> None:
        """Count a message to so many routers."""
        self.counting |= topic.endswith("/start")
        self._count(topic, payload, routers)

    def received(self, topic: str, payload: bytes) -> None:
        """Count a message of one router."""
        self._count(topic, payload, 1)

    def end(self) -> None:
        """Count nothing more, unless there is another `Start`."""
        self.counting = False

    def _count(self, topic: str, payload: bytes, routers: int) -> None:
        if self.counting:
            kind = topic.rpartition("/")[2]
            self.messages[kind] += routers
            self.octets[kind] += routers * (len(topic.encode()) + len(payload))
