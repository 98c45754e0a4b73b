"""NKeys: Ed25519 keys in NATS' text form, with the checksum verified on every read.

Form: base32 without padding of prefix byte(s) + 32 raw bytes + CRC-16/XMODEM, little endian (nats-io/nkeys is the
specification). The nkeys library on the package index skips the checksum of seeds, hence these few lines.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from nacl.signing import SigningKey

from signal_contract.errors import CredsInvalid

_SEED_PREFIX = 18 << 3


class KeyKind(IntEnum):
    """Prefix bytes; the first letter of the text form follows from them."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3

    @property
    def letter(self) -> str:
        return {KeyKind.OPERATOR: "O", KeyKind.ACCOUNT: "A", KeyKind.USER: "U"}[self]


def _encode(raw: bytes) -> str:
    return base64.b32encode(raw + struct.pack("<H", binascii.crc_hqx(raw, 0))).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise CredsInvalid("a key is not valid base32") from error
    if len(raw) < 3 or struct.pack("<H", binascii.crc_hqx(raw[:-2], 0)) != raw[-2:]:
        raise CredsInvalid("a key fails its checksum: a character is missing or changed")
    if _encode(raw[:-2]) != text:  # base32 leaves spare bits in the last character
        raise CredsInvalid("a key is not in its canonical form")
    return raw[:-2]


def public_key_checked(text: str, kind: KeyKind) -> str:
    """Return a public key of this kind, or raise CredsInvalid."""
    raw = _decode(text)
    if len(raw) != 33 or raw[0] != kind:
        raise CredsInvalid(f"not a public {kind.name.lower()} key", hint=f"It starts with {kind.letter}.")
    return text


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key with its secret; repr shows the public half only."""

    kind: KeyKind
    public: str
    _key: SigningKey = field(repr=False)

    @classmethod
    def generate(cls, kind: KeyKind) -> KeyPair:
        return cls._of(kind, SigningKey.generate())

    @classmethod
    def from_seed(cls, seed: str) -> KeyPair:
        """Read a seed (`SU…`, `SA…`, `SO…`); raises CredsInvalid."""
        raw = _decode(seed.strip())
        if len(raw) != 34 or raw[0] & 0xF8 != _SEED_PREFIX:
            raise CredsInvalid("not a seed")
        kind_byte = ((raw[0] & 7) << 5) | ((raw[1] & 0xF8) >> 3)
        try:
            return cls._of(KeyKind(kind_byte), SigningKey(raw[2:]))
        except ValueError as error:
            raise CredsInvalid("a seed of an unknown kind") from error

    @classmethod
    def _of(cls, kind: KeyKind, key: SigningKey) -> KeyPair:
        return cls(kind, _encode(bytes([kind]) + bytes(key.verify_key)), key)

    @property
    def seed(self) -> str:
        """The secret's text form: for a 0600 file and nowhere else."""
        head = bytes([_SEED_PREFIX | (self.kind >> 5), (self.kind & 31) << 3])
        return _encode(head + bytes(self._key))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature
