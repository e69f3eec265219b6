"""One router's agent: sans-IO protocol, and thin adapters to UDP, MQTT and OSPF."""
