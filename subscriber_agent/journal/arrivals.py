"""Where an arrived message goes: signals, controls, parked or, for a redelivery, nowhere.

Knows statements; the caller holds the transaction.
"""

from __future__ import annotations

import hashlib

from signal_contract.errors import NotFound, SignatureInvalid
from signal_contract.model import Signal
from subscriber_agent.journal.controls import keep_control
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import Arrival, SetAside, instant_to_text
from subscriber_agent.risk.decision import text_of

REVISION_CONFLICT = "REVISION_CONFLICT"
SIGNATURE_INVALID = SignatureInvalid.code

NEW, DUPLICATE = "new", "duplicate"


def record_one(db: Database, arrival: Arrival) -> str | SetAside:
    """Keep one message; NEW, DUPLICATE for a redelivery, or why it was parked."""
    digest = hashlib.sha256(arrival.subject.encode() + b"\n" + arrival.payload).digest()[:16]
    if not db.run("INSERT OR IGNORE INTO seen VALUES (?, ?)", arrival.stream_seq, digest):
        return DUPLICATE
    aside = _kept(db, arrival)
    if aside is None:
        return NEW
    db.run(
        "INSERT INTO parked (stream_seq, subject, payload, received_at, code, detail, signature)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        arrival.stream_seq,
        arrival.subject,
        arrival.payload,
        instant_to_text(arrival.received_at),
        aside.code,
        aside.detail,
        arrival.signature,
    )
    return aside


def unpark_one(db: Database, number: int, arrival: Arrival) -> SetAside | None:
    """Try a parked message again, as `arrival` reads it today. None: it left the parked ones and counts from now on.

    Otherwise it stays, with today's reason. Raises NotFound.
    """
    aside = _kept(db, arrival)
    if aside is None:
        changed = db.run("DELETE FROM parked WHERE id = ?", number)
    else:
        changed = db.run("UPDATE parked SET code = ?, detail = ? WHERE id = ?", aside.code, aside.detail, number)
    if not changed:
        raise NotFound(f"there is no parked message {number}", hint="`subscriber-agent parked list` shows them.")
    return aside


def _kept(db: Database, arrival: Arrival) -> SetAside | None:
    """Keep what a message carries; else the reason why it must be parked, and nothing is changed."""
    if arrival.code is not None:
        return SetAside(arrival.stream_seq, arrival.code, arrival.detail)
    if arrival.control is not None:
        first = keep_control(db, arrival.control, arrival.stream_seq, arrival.received_at)
        return None if first is None else _replayed(arrival, first)
    return None if arrival.signal is None else _signal_kept(db, arrival, arrival.signal)


def _replayed(arrival: Arrival, first: int) -> SetAside:
    return SetAside(arrival.stream_seq, SIGNATURE_INVALID, f"replayed: the same message came at {first}")


def _signal_kept(db: Database, arrival: Arrival, signal: Signal) -> SetAside | None:
    key = (signal.signal_id, signal.revision)
    has_spent = db.recalled(("spent",), "has_spent", lambda: bool(db.rows("SELECT 1 FROM spent LIMIT 1")))
    if has_spent and db.rows("SELECT 1 FROM spent WHERE signal_id = ? AND revision = ?", *key):
        detail = f"replayed: {signal.message_id} came before, and was removed since for its age"
        return SetAside(arrival.stream_seq, SIGNATURE_INVALID, detail)
    if _insert_signal(db, arrival, signal):
        return None
    payload, stream_seq = db.rows("SELECT payload, stream_seq FROM signals WHERE signal_id = ? AND revision = ?", *key)[
        0
    ]
    if payload == arrival.payload:
        return _replayed(arrival, stream_seq)
    detail = f"differs from the first {signal.message_id}; that one stands"
    return SetAside(arrival.stream_seq, REVISION_CONFLICT, detail)


def _insert_signal(db: Database, arrival: Arrival, signal: Signal) -> int:
    return db.run(
        "INSERT OR IGNORE INTO signals (stream_seq, signal_id, revision, event, action, ticker, catalyst,"
        " confidence, subject, payload, published_at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        arrival.stream_seq,
        signal.signal_id,
        signal.revision,
        signal.event.value,
        signal.action.value,
        signal.ticker,
        signal.catalyst,
        text_of(signal.confidence),
        arrival.subject,
        arrival.payload,
        instant_to_text(signal.published_at),
        instant_to_text(arrival.received_at),
    )
