"""The values of the outbox: what goes out, what came back, and what became of a damaged file. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from signal_contract.codec import decode, encode
from signal_contract.errors import CatalystError, OutboxReplaced
from signal_contract.model import Signal
from signal_contract.signing import Signer, Verifier


@dataclass(frozen=True, slots=True)
class Entry:
    """A signal as it goes out: subject, bytes, signature over both, and the public key that it was made with.

    `signed_by` is empty for what an older version has submitted.
    """

    message_id: str
    subject: str
    payload: bytes
    signature: str
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submit; not new means that the outbox has known this message id before.

    `position` is where it stands in the outbox when it is new; positions rise, with gaps.
    """

    message_id: str
    is_new: bool
    position: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The stream holds the message at `sequence`; a duplicate was stored there by an earlier attempt."""

    message_id: str
    sequence: int
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Counts:
    pending: int
    stored: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as the outbox keeps it; `sequence` is None while it waits for the stream."""

    entry: Entry
    submitted_at: datetime
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Replaced:
    """A damaged outbox was moved to `kept_as` and a new one begun with `salvaged` of its rows.

    `pending` of the salvaged ones still wait to be sent; `dropped` could be read but are not what was submitted.
    """

    kept_as: Path
    reason: str
    salvaged: int
    pending: int
    dropped: int

    @property
    def error(self) -> OutboxReplaced:
        """What to tell people and supervisors."""
        lost = f", {self.dropped} could not be trusted and were left out" if self.dropped else ""
        return OutboxReplaced(
            f"the outbox was damaged ({self.reason}) and is kept as {self.kept_as}; a new one was begun with"
            f" {self.salvaged} of its signals, {self.pending} of them waiting{lost}"
        )


def entry_from(signal: Signal, signer: Signer) -> Entry:
    """The signal as it goes out: on its own subject, in its canonical bytes, signed over both."""
    payload = encode(signal)
    signature = signer.sign(signal.subject, payload)
    return Entry(signal.message_id, signal.subject, payload, signature, signer.public_key)


def is_intact(entry: Entry) -> bool:
    """Whether the entry is what was once submitted: the signature fits, and so do the ids in the payload.

    The relay signs anew what it sends, so a flipped bit on the disk would go out as a genuine signal.
    """
    try:
        Verifier.from_text(entry.signed_by).check(entry.subject, entry.payload, entry.signature)
        signal = decode(entry.payload)
    except CatalystError:
        return False
    return (signal.message_id, signal.subject) == (entry.message_id, entry.subject)
