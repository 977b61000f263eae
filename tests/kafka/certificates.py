"""An authority and what it signed: for a broker, for a client, and one that is out of date."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Files in PEM. `broker` and `expired` hold key and certificate in one, as Kafka wants them."""

    authority: Path
    broker: Path
    expired: Path
    client: Path
    client_key: Path


def make(folder: Path) -> Certificates:
    """Write certificates for 127.0.0.1 and localhost into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    soon = now + timedelta(days=30)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _sign("vagus-tests", root_key, None, root_key, (now - timedelta(days=90), soon))

    def signed(name: str, since: datetime, until: datetime) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        made = _sign(name, key, root, root_key, (since, until))
        return _pem(key), made.public_bytes(serialization.Encoding.PEM)

    def write(name: str, *parts: bytes) -> Path:
        path = folder / name
        path.write_bytes(b"".join(parts))
        return path

    yesterday = now - timedelta(days=1)
    client_key, client = signed("client", yesterday, soon)
    return Certificates(
        authority=write("ca.pem", root.public_bytes(serialization.Encoding.PEM)),
        broker=write("broker.pem", *signed("localhost", yesterday, soon)),
        expired=write("expired.pem", *signed("localhost", now - timedelta(days=60), yesterday)),
        client=write("client.pem", client),
        client_key=write("client.key", client_key),
    )


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime, datetime],
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
