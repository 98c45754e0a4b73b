"""Ed25519 over subject + payload (RFC 8032, by libsodium): what makes a message the publisher's own.

The subject is part of what is signed, so a message copied to another subject is refused. Agents pin the public key.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from signal_contract.errors import InputError, SignatureInvalid

SIGNATURE_HEADER = "Catalyst-Signature"
MESSAGE_ID_HEADER = "Nats-Msg-Id"
_DOMAIN = b"catalyst-signals/v1\n"
_PREFIX = "ed25519:"
_SECRET_PREFIX = "ed25519-seed:"  # noqa: S105  # a format prefix, not a secret


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _from_b64url(text: str, prefix: str) -> bytes:
    encoded = text.removeprefix(prefix)
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    if not text.startswith(prefix) or len(raw) != 32:
        raise ValueError("wrong prefix or length")
    return raw


def _signed_bytes(subject: str, payload: bytes) -> bytes:
    # The subject's length comes first: (subject, payload) is recovered from the bytes in one way only.
    name = subject.encode()
    return _DOMAIN + len(name).to_bytes(4, "big") + name + payload


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks messages against one pinned public key."""

    public_key: str
    _key: VerifyKey = field(repr=False)

    @classmethod
    def from_text(cls, public_key: str) -> Verifier:
        """Read `ed25519:<base64url>`; raises InputError."""
        try:
            return cls(public_key, VerifyKey(_from_b64url(public_key, _PREFIX)))
        except (ValueError, TypeError, binascii.Error) as error:
            raise InputError(
                "the publisher key is not of the form ed25519:<43 characters>",
                hint="Copy it from the starter config that the operator sent.",
            ) from error

    def check(self, subject: str, payload: bytes, signature: str | None) -> None:
        """Return when the signature fits subject and payload; raise SignatureInvalid otherwise."""
        if not signature:
            raise SignatureInvalid("the message is not signed")
        try:
            raw = base64.b64decode(signature, validate=True)
            self._key.verify(_signed_bytes(subject, payload), raw)
        except (CryptoError, ValueError, TypeError) as error:
            raise SignatureInvalid("the signature does not fit the subject, the payload or the pinned key") from error


@dataclass(frozen=True, slots=True)
class Signer:
    """Holds the publisher's secret key; its repr shows the public half only."""

    public_key: str
    _key: SigningKey = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        return cls.from_seed(bytes(SigningKey.generate()))

    @classmethod
    def from_seed(cls, seed: bytes) -> Signer:
        """A key from its 32-byte seed; raises InputError."""
        if len(seed) != 32:
            raise InputError("a signing seed is 32 bytes")
        key = SigningKey(seed)
        return cls(_PREFIX + _b64url(bytes(key.verify_key)), key)

    @classmethod
    def from_secret_text(cls, text: str) -> Signer:
        """Read `ed25519-seed:<base64url>`, the form of the secret's file; raises InputError."""
        try:
            return cls.from_seed(_from_b64url(text.strip(), _SECRET_PREFIX))
        except (ValueError, TypeError, binascii.Error) as error:
            raise InputError("the signing seed is not of the form ed25519-seed:<43 characters>") from error

    @property
    def secret_text(self) -> str:
        """The secret in text form: to be written to a 0600 file and nowhere else."""
        return _SECRET_PREFIX + _b64url(bytes(self._key))

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.public_key, self._key.verify_key)

    def sign(self, subject: str, payload: bytes) -> str:
        """Base64 signature for the Catalyst-Signature header."""
        return base64.b64encode(self._key.sign(_signed_bytes(subject, payload)).signature).decode()
