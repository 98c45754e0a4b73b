"""The server's certificate: from our own CA, made on demand and renewed in time, or the operator's own files.

Makes and reads files; starts nothing. Private keys are 0600 and their mode is checked at use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signal_admin.desk import Desk
from signal_admin.settings import UpSettings
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import ConfigInvalid, CredsInvalid, StorageFailed

CA_LIFE = timedelta(days=3650)
# The longest that browsers and Apple's systems accept; renewed well before.
SERVER_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(minutes=5)  # clocks of friends differ
_ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """The server's certificate as it lies on disk. `ca` is None when the system's authorities vouch for it.

    `names` are host names and addresses; instants are UTC; `fingerprint` is SHA-256 over the DER form, in hex.
    """

    cert: Path
    key: Path
    ca: Path | None
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    is_own: bool

    def as_dict(self) -> dict[str, Any]:
        """What commands show; instants in ISO 8601, UTC."""
        return {
            "names": list(self.names),
            "issuer": "your own CA" if self.is_own else "the operator's own files",
            "cert": str(self.cert),
            "ca": str(self.ca) if self.ca else None,
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
            "fingerprint": self.fingerprint,
        }

    def covers(self, host: str) -> bool:
        """Whether a client that dials exactly this host name or address accepts the certificate."""
        parent = "*." + host.partition(".")[2]
        return host in self.names or (parent in self.names and not _is_address(host))

    def name_for(self, host: str) -> str | None:
        """The name to check for when dialling `host`: None when it is covered, else the certificate's first name."""
        return None if self.covers(host) else self.names[0].replace("*.", "catalyst.", 1)

    def is_due(self, now: datetime) -> bool:
        """Whether it should be renewed: it ends within 30 days."""
        return now >= self.not_after - RENEW_BEFORE


def prepared(desk: Desk, settings: UpSettings, now: datetime, *, renew: bool = False) -> Certificate | None:
    """The certificate to run with, made or renewed where that is ours to do; None without TLS.

    Our own one is made anew when it is due, does not name all hosts, or `renew` asks for it; the CA is kept. Raises
    ConfigInvalid for files that cannot be used, CredsInvalid for a key readable by others, StorageFailed.
    """
    if not settings.has_tls:
        return None
    if settings.cert is not None:
        return _operators_own(settings, now)
    try:
        return _own(desk, _names(settings), now, renew=renew)
    except OSError as error:
        raise StorageFailed(f"cannot write to {desk.tls}: {error.strerror or error}") from error


def _names(settings: UpSettings) -> tuple[str, ...]:
    listened = (settings.host,) if settings.host not in (None, "0.0.0.0", "::") else ()  # noqa: S104  # compared only
    return tuple(dict.fromkeys([*settings.tls_hosts, *(each for each in listened if each), *_ALWAYS]))


def _own(desk: Desk, names: tuple[str, ...], now: datetime, *, renew: bool) -> Certificate:
    ca_path, cert_path, key_path = desk.tls / "ca.pem", desk.tls / "server.pem", desk.tls / "server.key"
    if not ca_path.exists():
        _make_ca(desk, now)
    ca = _load_certificate(ca_path)
    kept = None if renew else _kept(cert_path, key_path, ca_path)
    if kept is not None and not kept.is_due(now) and set(names) <= set(kept.names) and _is_from(cert_path, ca):
        return kept
    _make_server(desk, ca, names, now)
    return _read(cert_path, key_path, ca_path, is_own=True)


def _kept(cert_path: Path, key_path: Path, ca_path: Path) -> Certificate | None:
    # A power cut can leave the new key beside the old certificate: both are made anew then.
    try:
        return _read(cert_path, key_path, ca_path, is_own=True)
    except (ConfigInvalid, CredsInvalid):
        return None


def _is_from(cert_path: Path, ca: x509.Certificate) -> bool:
    try:
        _load_certificate(cert_path).verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _operators_own(settings: UpSettings, now: datetime) -> Certificate:
    if settings.cert is None or settings.key is None:
        raise ConfigInvalid("--cert and --key are needed, both of them")
    found = _read(settings.cert, settings.key, settings.ca, is_own=False)
    if now >= found.not_after or now < found.not_before:
        raise ConfigInvalid(
            f"{settings.cert} is valid from {found.not_before:%Y-%m-%d} to {found.not_after:%Y-%m-%d} only",
            hint="Renew it, or check this machine's clock.",
        )
    if settings.ca is not None:
        _load_certificate(settings.ca)
    missing = [host for host in settings.tls_hosts if not found.covers(host)]
    if missing:
        raise ConfigInvalid(f"{settings.cert} does not name {', '.join(missing)}, but {', '.join(found.names)}")
    return found


def _read(cert_path: Path, key_path: Path, ca: Path | None, *, is_own: bool) -> Certificate:
    certificate, key = _load_certificate(cert_path), _load_key(key_path)
    if key.public_key() != certificate.public_key():
        raise ConfigInvalid(f"{key_path} is not the key of {cert_path}")
    names = _names_of(certificate)
    if not names:
        raise ConfigInvalid(f"{cert_path} names no host (it has no subject alternative name)")
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Certificate(cert_path, key_path, ca, names, start, end, fingerprint, is_own)


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = (str(each) for each in found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a PEM certificate"
        raise ConfigInvalid(f"the certificate {path} cannot be used: {reason}") from error


def _load_key(path: Path) -> PrivateKeyTypes:
    text = read_secret(path, what="TLS key")
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigInvalid(f"{path} is not a private key in PEM form without a passphrase") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(path, pem.decode("ascii"))


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_secret(path, certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime, life: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + life)
    )


def _make_ca(desk: Desk, now: datetime) -> None:
    """Make the authority: ECDSA P-256, 10 years. The key is written first: a certificate without one is of no use."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own each time: two authorities of one name would confuse every verifier.
    name = _subject(f"catalyst-signals CA {x509.random_serial_number() % 0xFFFFFFFF:08x}")
    certificate = (
        _builder(name, name, now, CA_LIFE)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(desk.tls / "ca.key", key)
    _write_certificate(desk.tls / "ca.pem", certificate)


def _make_server(desk: Desk, ca: x509.Certificate, names: Sequence[str], now: datetime) -> None:
    """Make the server's key and certificate: ECDSA P-256, 397 days at most, never longer than the CA."""
    ca_key = _load_key(desk.tls / "ca.key")
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey) or ca_key.public_key() != ca.public_key():
        raise ConfigInvalid(f"{desk.tls / 'ca.key'} is not the key of ca.pem", hint="Restore both from a backup.")
    life = min(SERVER_LIFE, ca.not_valid_after_utc - now)
    if life <= timedelta(0):
        raise ConfigInvalid(
            f"the CA {desk.tls / 'ca.pem'} has expired", hint="Remove the tls folder; friends then need the new CA."
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject(names[0][:64]), ca.subject, now, life)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_key(desk.tls / "server.key", key)
    _write_certificate(desk.tls / "server.pem", certificate)
