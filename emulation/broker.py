"""The MQTT broker of a run: mosquitto on a unix socket in the run's folder, else amqtt on the loopback device.

A unix socket crosses network namespaces, so agents in any of them reach it without a route. Other users cannot:
connecting takes write permission, which only its owner has. (amqtt's port is open to all users of the machine.)
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from agent.broker import MAX_UNIX_PATH, BrokerAddress, parse_broker
from emulation.namespaces import die_with_parent
from emulation.processes import EmulationError
from routing.errors import InputError

READY_S = 15.0  # amqtt needs 1-2 s on a quiet machine, mosquitto 20 ms
STOP_S = 5.0
_POLL_S = 0.01
_ATTEMPTS = 3

# Debian puts it where an ordinary user's PATH does not look.
_PLACES = os.pathsep.join(["/usr/sbin", "/usr/local/sbin", "/sbin"])

# max_queued_messages: the default of 1000 is less than the steps of a large network, should the coordinator be slow.
_MOSQUITTO = """\
listener 0 {socket}
user {user}
allow_anonymous true
persistence false
max_queued_messages 10000
log_dest stderr
log_type error
log_type warning
log_type notice
"""
_AMQTT = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
_AMQTT_PROGRAM = "from amqtt.scripts.broker_script import main; main()"


class BrokerFailed(EmulationError):
    """The broker did not start; the message holds the end of its log."""


def find_mosquitto() -> str | None:
    """Return the path of the mosquitto broker, or None if it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_PLACES)


class Broker:
    """A broker as a child process, for the time of a `with` block.

    Parameters
    ----------
    folder : where its configuration, socket and log go; exists
    kind : `mosquitto`, `amqtt`, or empty: the former if it is installed

    Attributes
    ----------
    address : where clients find it, once started
    process : the child

    Raises
    ------
    BrokerFailed : it does not get ready
    InputError : there is no broker of this kind
    """

    address: BrokerAddress
    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, kind: str = "") -> None:
        mosquitto = find_mosquitto() if kind != "amqtt" else None
        if kind == "mosquitto" and mosquitto is None:
            raise InputError("mosquitto is not installed, expected Debian's package of that name")
        self.kind = "mosquitto" if mosquitto else "amqtt"
        self._mosquitto = mosquitto
        self._folder = folder.resolve()
        self._private: Path | None = None
        self._socket = self._folder / "broker.sock"
        self._log = self._folder / "broker.log"

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        for attempt in range(_ATTEMPTS):
            command = self._configure()
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches the run, which still needs the broker to end
                    preexec_fn=die_with_parent,
                )
            try:
                self._wait()
                return
            except BaseException as error:
                self.stop()
                # Another program may have taken amqtt's port since it was chosen.
                if not (isinstance(error, BrokerFailed) and self.kind == "amqtt" and attempt + 1 < _ATTEMPTS):
                    raise

    def stop(self) -> None:
        """End it, by force if need be; its socket goes too."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._socket.unlink(missing_ok=True)
        if self._private is not None:
            self._private.rmdir()
            self._private, self._socket = None, self._folder / "broker.sock"

    def _configure(self) -> list[str]:
        """Write the configuration, set the address and return the command."""
        path = self._folder / f"{self.kind}.conf"
        if self._mosquitto:
            self._socket.unlink(missing_ok=True)  # of one that was killed
            if len(os.fsencode(self._socket)) > MAX_UNIX_PATH:
                self._private = Path(tempfile.mkdtemp(prefix="lockstep-"))
                self._socket = self._private / "broker.sock"
            self.address = parse_broker(f"unix:{self._socket}")
            # As root it would become user mosquitto before it binds, and may not write to the run's folder then.
            user = pwd.getpwuid(os.geteuid()).pw_name
            path.write_text(_MOSQUITTO.format(socket=self._socket, user=user), encoding="utf-8")
            return [self._mosquitto, "-c", str(path)]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = BrokerAddress(host="127.0.0.1", port=port)
        path.write_text(_AMQTT.format(port=port), encoding="utf-8")
        return [sys.executable, "-c", _AMQTT_PROGRAM, "-c", str(path)]

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_S
        while not self._accepts():
            if self.process.poll() is not None or time.monotonic() >= deadline:
                state = "ended" if self.process.poll() is not None else f"is not ready after {READY_S:g} s"
                last = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                raise BrokerFailed(f"{self.kind} {state}: {' | '.join(last) or 'it said nothing'} ({self._log})")
            time.sleep(_POLL_S)

    def _accepts(self) -> bool:
        """Whether a connection to it can be opened."""
        unix = bool(self.address.path)
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client:
            try:
                client.connect(self.address.path if unix else (self.address.host, self.address.port))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        if unix:
            self._socket.chmod(0o600)  # mosquitto lets the group in
        return True
