"""The announcement of the publisher's next key: the old key names its successor, in the stream, ordered with signals.

From the announcement's sequence on the next key counts and the old one does not; an agent follows the chain from the
key in its config. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

import orjson
from pydantic import AfterValidator, ValidationError, model_validator

from signal_contract.codec import violations_text
from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.model import Instant, Wire
from signal_contract.signing import Verifier
from signal_contract.subject import CONTROL_ALL

ANNOUNCE_SUBJECT = f"{CONTROL_ALL}.key"
_MAX_BYTES = 4096


def _key(value: str) -> str:
    try:
        return Verifier.from_text(value).public_key
    except InputError as error:
        raise ValueError(error.message) from None


_PublicKey = Annotated[str, AfterValidator(_key)]


class Announcement(Wire):
    """`next_key` takes over from `old_key`; `not_before` is when that was decided, the sequence decides when it counts.

    Both keys in the form `ed25519:<base64url>`.
    """

    schema_version: Literal[1] = 1
    next_key: _PublicKey
    not_before: Instant
    old_key: _PublicKey

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if self.next_key == self.old_key:
            raise ValueError("the next key is the old one")
        return self

    @property
    def message_id(self) -> str:
        """Nats-Msg-Id: announcing the same step twice stores it once."""
        return "key." + hashlib.sha256(f"{self.old_key}\x1f{self.next_key}".encode()).hexdigest()[:32]


def announcement_bytes(announcement: Announcement) -> bytes:
    """Canonical JSON in field order; goes out on `ANNOUNCE_SUBJECT`, signed by the old key."""
    return orjson.dumps(announcement.model_dump(mode="json"))


def read_announcement(payload: bytes, pinned: Verifier) -> Announcement:
    """Read what came on `ANNOUNCE_SUBJECT`, after `pinned.check(subject, payload, signature)` has let it through.

    Raises InputError when it is malformed, SignatureInvalid when it is not the pinned key that names its successor.
    """
    if len(payload) > _MAX_BYTES:
        raise InputError(f"an announcement of {len(payload)} bytes is over the limit of {_MAX_BYTES}")
    try:
        announcement = Announcement.model_validate_json(payload)
    except ValidationError as error:
        raise InputError(f"this is not an announcement of a key: {violations_text(error)}") from error
    if announcement.old_key != pinned.public_key:
        raise SignatureInvalid("the announcement speaks for another key than the pinned one")
    return announcement
