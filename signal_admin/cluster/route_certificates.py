"""Certificates for the lines between nodes on different machines: an authority of their own, one certificate a node.

Each node shows its certificate to the others, so a machine without one cannot join. Keys are 0600 and are made here;
the authority's key stays with the operator and never goes to a node.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import ConfigInvalid, StorageFailed

CA_LIFE, NODE_LIFE = timedelta(days=3650), timedelta(days=825)
_BACKDATED = timedelta(minutes=5)


def authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The routes' authority in a folder, made when it is missing. Raises CredsInvalid, ConfigInvalid, StorageFailed."""
    cert_path, key_path = folder / "routes-ca.pem", folder / "routes-ca.key"
    if not key_path.exists():
        _make_authority(cert_path, key_path, now)
    try:
        key = serialization.load_pem_private_key(read_secret(key_path, what="routes' key").encode(), password=None)
        certificate = x509.load_pem_x509_certificate(cert_path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigInvalid(f"{cert_path} and its key cannot be used", hint="Restore both from a backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigInvalid(f"{key_path} is not the key of {cert_path.name}", hint="Restore both from a backup.")
    return certificate, key


def _make_authority(cert_path: Path, key_path: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"catalyst-signals routes {x509.random_serial_number() % 0xFFFFFFFF:08x}")
    certificate = (
        _builder(name, name, now, CA_LIFE)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _key_pem(key))
    _write(cert_path, certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def node_certificate(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, host: str, now: datetime
) -> tuple[str, str]:
    """A fresh key and certificate (PEM both) for one node, good for both ends of a line; `host` is what others dial."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_name(host[:64]), ca.subject, now, min(NODE_LIFE, ca.not_valid_after_utc - now))
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime, life: timedelta) -> x509.CertificateBuilder:
    start = now - _BACKDATED
    numbered = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return numbered.subject_name(subject).issuer_name(issuer).not_valid_before(start).not_valid_after(start + life)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode("ascii")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, text)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
