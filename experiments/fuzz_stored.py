"""What comes as files beside `fuzz_files`: demands, topohub's networks, credentials, what work and commits left."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from agent import lastcommit
from agent.control import encode
from agent.credentials import CA_FILE, CERTIFICATE_FILE, KEY_FILE, load_credentials
from agent.events import CommitBegun
from agent.lastcommit import LastCommit
from agent.statefile import FILE, StateFile
from coordinator.certificates import Authority, Identity, hosts_of
from coordinator.request import make_request
from coordinator.settlement import settle
from experiments.faults_journal import Journal as FaultsJournal
from experiments.faults_trial import Trial
from experiments.fuzz_files import in_file, target
from experiments.fuzz_network import NET, Target
from experiments.quality_journal import NAME as RESULTS
from experiments.quality_journal import Journal as QualityJournal
from routing.complete import complete
from routing.draft import Assumptions
from routing.errors import InputError
from routing.formats import load_demands, save_network
from routing.initial import initial_weights
from routing.prisma import write_prisma
from routing.topohub import parse_topohub
from routing.traffic import uniform
from trainer.args import Args
from trainer.resume import NAME as STATE
from trainer.resume import arguments, write_state

_TRAFFIC = uniform(NET, 1)
_TOPOHUB = {
    "graph": {"name": "fuzz", "demands": {"0": {"1": 3.5, "2": 2}, "1": {"2": 1e3}}},
    "nodes": [{"id": 0, "name": "a", "pos": [1.5, 2]}, {"id": 1, "name": "b", "pos": None}, {"id": "2", "name": "c"}],
    "edges": [{"source": 0, "target": 1, "dist": 3.0}, {"source": 1, "target": 2}],
}
_SETTINGS = {"steps": 3}
_LONG_AGO, _LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)


def _demands(folder: Path) -> list[Target]:
    """Return a target for each format of demands that is read beside a network."""

    def read(path: Path) -> object:
        return load_demands(path, NET)

    found = []
    for name, file in (("sndlib-xml", "m.xml"), ("sndlib-native", "m.txt")):
        save_network(folder / file, NET, _TRAFFIC)
        found.append(target(f"demands-{name}", folder / file, read))
    return [*found, target("demands-prisma", write_prisma(folder / "demands", NET, _TRAFFIC)[-1], read)]


def _topohub(data: bytes) -> None:
    assume = Assumptions()
    complete(parse_topohub(data, "fuzz/net", assume), assume, Path("fuzz"))


def _journals(folder: Path) -> list[Target]:
    """Return targets for the files with which ``--resume`` goes on."""
    faults = folder / "trials.jsonl"
    hashes = {"default": "1" * 32}
    record = {
        "topology": "nsfnet",
        "traffic": "uniform",
        "matrix": 3,
        "method": "greedy",
        "mlu": 0.5,
        "trace": [[1, 2]],
    }

    def of_faults(path: Path) -> None:
        with FaultsJournal(path, True, ""):
            pass

    def of_quality(path: Path) -> None:
        with QualityJournal(path.parent, True, _SETTINGS, hashes):
            pass

    with FaultsJournal(faults, False, "") as trials:
        trials.add(Trial("crash", 3, detection_s=0.5, outcomes={"kept": 2}))
    with QualityJournal(folder, False, _SETTINGS, hashes) as results:
        results.add(record)
    return [target("journal-faults", faults, of_faults), target("journal-quality", folder / RESULTS, of_quality)]


def _certificate(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *hosts: str) -> x509.Certificate:
    """Return a certificate that is its own authority's, always the same bytes."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzz")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, _LONG_AGO, _LATE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    return builder.sign(key, None)


def _armoured(kind: str, data: bytes) -> bytes:
    """Return PEM, also of what was damaged below its armour."""
    if data.startswith(b"-----"):
        return data
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (kind.encode(), base64.encodebytes(data), kind.encode())


_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER


def _both(certificate: x509.Certificate) -> list[bytes]:
    return [certificate.public_bytes(_PEM), certificate.public_bytes(_DER)]


def _key(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> list[bytes]:
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return [key.private_bytes(_PEM, kind, plain), key.private_bytes(_DER, kind, plain)]


def _credentials(folder: Path) -> list[Target]:
    """Return a target for each file of a client's credentials; no key of it is anybody's."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"fuzz" * 8)
    certificate = _certificate(key)
    good = {CA_FILE: _both(certificate), CERTIFICATE_FILE: _both(certificate), KEY_FILE: _key(key)}
    kinds = {CA_FILE: "CERTIFICATE", CERTIFICATE_FILE: "CERTIFICATE", KEY_FILE: "PRIVATE KEY"}

    def damaged_one(damaged: str) -> Target:
        own = folder / damaged  # in which only this file is damaged
        own.mkdir()
        for name, contents in good.items():
            (own / name).touch(0o600)
            (own / name).write_bytes(contents[0])
        read = in_file(own / damaged, lambda _: load_credentials(own))
        name = f"credentials-{damaged}"
        return Target(name, good[damaged], lambda data: read(_armoured(kinds[damaged], data)), (InputError,))

    return [damaged_one(name) for name in good]


def _authority() -> list[Target]:
    """Return targets for what ``python -m coordinator broker`` finds in its folder; it takes ValueError for damage."""
    key = ec.derive_private_key(0x66757A7A, ec.SECP256R1())
    certificate = _both(_certificate(key))
    private = _key(key)[0]
    server = _certificate(ed25519.Ed25519PrivateKey.from_private_bytes(b"host" * 8), "broker.example.net", "192.0.2.1")

    def made(identity: Identity) -> None:
        Authority(identity, now=_LONG_AGO, days=1)

    def of_key(data: bytes) -> None:
        made(Identity(certificate[0], _armoured("PRIVATE KEY", data)))

    def of_certificate(data: bytes) -> None:
        made(Identity(_armoured("CERTIFICATE", data), private))

    def of_server(data: bytes) -> None:
        hosts_of(_armoured("CERTIFICATE", data))

    return [
        Target("authority-key", _key(key), of_key, (ValueError,)),
        Target("authority-certificate", certificate, of_certificate, (ValueError,)),
        Target("server-certificate", _both(server), of_server, (ValueError,)),
    ]


class _Ignored(Exception):
    """A note was not believed, which its reader says to a log only."""


def _last_commit(folder: Path) -> Target:
    """Return the target for what an agent has left to its next process; b"!" before it: with a digest that is right."""
    own = folder / "state"
    own.mkdir()
    old = initial_weights("inverse-capacity", NET)
    LastCommit(StateFile(str(own)), "a", NET).begun(CommitBegun(7, 2, old, 2 * old))
    note = (own / FILE).read_bytes()
    start = make_request(NET, _TRAFFIC, old, checkpoint="1" * 32, steps=2, seed=1).start

    def read(_: Path) -> None:
        said = logging.getLogger(LastCommit.__module__)
        said.disabled, before = True, said.disabled
        try:
            last = LastCommit(StateFile(str(own)), "a", NET)
            result = last.recall(old)
            if result is None:
                raise _Ignored
            settle(result.episode, [result])
            encode(result)
            last.superseded(start)
        finally:
            said.disabled = before

    write = in_file(own / FILE, read)

    def parse(data: bytes) -> None:
        write(lastcommit._check(data[1:]) + data[1:] if data.startswith(b"!") else data)

    payload = note[lastcommit._CHECK_BYTES :]
    return Target("last-commit", [note, b"!" + payload, b"!" + payload], parse, (_Ignored,))


def _training(folder: Path) -> Target:
    """Return the target for the state with which a training run goes on."""
    state = {"parameters": {"skip": torch.arange(4.0)}, "iteration": 3}
    write_state(folder, Args(data=Path("data"), minutes=1.5), state)
    return target("training-state", folder / STATE, lambda path: arguments(["--resume", str(path.parent)]))


def targets(folder: Path) -> list[Target]:
    """Return all of them; they write their inputs below `folder`, which exists and is best in memory."""
    own = folder / "stored"
    own.mkdir()
    return [
        *_demands(own),
        Target("topohub", [msgspec.json.encode(_TOPOHUB)], _topohub, (InputError,)),
        *_journals(own),
        *_credentials(own),
        *_authority(),
        _last_commit(own),
        _training(own),
    ]
