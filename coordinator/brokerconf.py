"""Configuration of mosquitto (2.0) for a domain, as text: TLS, a certificate from everybody, rules for every client.

A client is who its certificate says: ``coordinator``, or ``agents/<router>`` (no router's name has a slash). Its name
is its MQTT client identifier as well, whatever it asks for, so no client can push another's connection out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from agent.broker import BrokerAddress
from agent.control import Topics
from routing.topology import Topology

COORDINATOR = "coordinator"
CONF_FILE, RULES_FILE = "mosquitto.conf", "rules"
SERVER_CERTIFICATE, SERVER_KEY = "server.crt", "server.key"

_ROOM = 4 << 20  # bytes for the trace of an episode with a hundred thousand steps
_SPARE_CONNECTIONS = 16  # those that break are counted until the broker notices

_CONF = """\
# Broker of the domain {domain}, made by python -m coordinator broker. Run: mosquitto -c {folder}/{conf}
# or, with Debian's service, put it into /etc/mosquitto/conf.d/.
{user}listener {port} {host}
cafile {folder}/ca.crt
certfile {folder}/{certificate}
keyfile {folder}/{key}
tls_version tlsv1.2
# Who has no certificate of this authority is not let in; the name in it is the user's, and the client's identifier.
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {folder}/{rules}
max_connections {connections}
# Statuses and results are retained, and sent again by the agents after a restart: nothing need be on disk.
persistence false
# The largest message is an order with its traffic matrix.
message_size_limit {message}
max_packet_size {packet}
max_queued_messages 10000
max_queued_bytes {queued}
"""


def agent_name(router: str) -> str:
    """Return the name under which a router's agent is known to the broker."""
    return f"agents/{router}"


def largest_message(topology: Topology) -> int:
    """Return how many bytes of payload the broker should take: a `Start`, or the longest trace in a `Result`."""
    return 8 * topology.num_nodes**2 + 2 * topology.num_links + _ROOM


def mosquitto_conf(topology: Topology, domain: str, listen: BrokerAddress, folder: PurePath, user: str = "") -> str:
    """Return mosquitto's configuration.

    Parameters
    ----------
    topology : the agents' network
    domain : of the agents
    listen : address and port on which it listens
    folder : where certificates and rules will lie when it runs
    user : whom a mosquitto that root starts becomes; empty: mosquitto's own default
    """
    message = largest_message(topology)
    return _CONF.format(
        domain=domain,
        folder=folder,
        conf=CONF_FILE,
        user=f"user {user}\n" if user else "",
        port=listen.port,
        host=listen.host,
        certificate=SERVER_CERTIFICATE,
        key=SERVER_KEY,
        rules=RULES_FILE,
        connections=topology.num_nodes + 1 + _SPARE_CONNECTIONS,
        message=message,
        packet=message + 1024,
        queued=8 * message,
    )


def rules(routers: Sequence[str], domain: str) -> str:
    """Return mosquitto's access rules; what they do not name is refused."""
    topics = Topics(domain)
    lines = [
        f"# Access rules of the domain {domain}: who may publish (write) and hear (read) what; nobody else anything."
    ]
    lines += ["", f"user {COORDINATOR}"]
    lines += [f"topic write {topic}" for topic in (topics.start, topics.cancel)]
    lines += [f"topic read {topic}" for topic in (topics.all_status, topics.all_results, topics.all_progress)]
    for router in routers:
        own = (topics.status(router), topics.result(router), topics.progress(router))
        lines += ["", f"user {agent_name(router)}"]
        lines += [f"topic write {topic}" for topic in own]
        lines += [f"topic read {topic}" for topic in (topics.start, topics.cancel)]
    return "\n".join(lines) + "\n"
