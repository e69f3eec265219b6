"""Certificates for a broker and its clients: a certificate authority of our own, elliptic curve P-256, PEM.

The name of a client (its common name) is what the broker's access rules go by. Extensions follow RFC 5280, 4.2: who
may sign, what a key is for, and identifiers of subject and issuer, which strict verifiers insist on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MAX_NAME = 64  # bytes of a common name (RFC 5280, ub-common-name)
_CLOCKS = timedelta(hours=1)  # by which clocks may differ


# What `cryptography` raises for what it cannot read, beside ValueError: a key with a password, one of a kind that it
# does not know, a certificate that is no X.509 of today.
_UNREADABLE = (
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@contextmanager
def _readable() -> Iterator[None]:
    """Make a ValueError of all that is raised for what cannot be read."""
    try:
        yield
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates.

    Parameters
    ----------
    identity : its own certificate and key, see `new_authority`
    now : the time, with its zone
    days : how long what it signs is good

    Raises
    ------
    ValueError : certificate or key cannot be read, or they do not belong together
    """

    def __init__(self, identity: Identity, *, now: datetime, days: int) -> None:
        with _readable():
            self._certificate = x509.load_pem_x509_certificate(identity.certificate)
            key = serialization.load_pem_private_key(identity.key, password=None)
            certified = self._certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is on no elliptic curve")
        if key.public_key() != certified:
            raise ValueError("the authority's certificate is of another key")
        self._key = key
        self._now = now
        self._days = days

    def server(self, hosts: Sequence[str]) -> Identity:
        """Return the identity of a server that is reached under these names and addresses."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._sign("broker", ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, name: str) -> Identity:
        """Return the identity of a client; ValueError for a name of more than 64 bytes."""
        return self._sign(name, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _sign(self, name: str, purpose: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(name, self._certificate.subject, key, self._now, self._days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return _identity(builder.sign(self._key, hashes.SHA256()), key)


def new_authority(name: str, *, now: datetime, days: int) -> Identity:
    """Return a fresh certificate authority that signs for servers and clients, and for no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(name, subject, key, now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    return _identity(builder.sign(key, hashes.SHA256()), key)


def hosts_of(certificate: bytes) -> list[str]:
    """Return the names and addresses that a server's certificate (PEM) is for; ValueError if it is none."""
    try:
        with _readable():
            extensions = x509.load_pem_x509_certificate(certificate).extensions
            names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise ValueError("a certificate without names") from error
    return [str(name.value) for name in names]


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    if len(name.encode()) > MAX_NAME:
        raise ValueError(f"a common name of {len(name.encode())} bytes, expected at most {MAX_NAME}")
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _identity(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(certificate.public_bytes(pem), private)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())
