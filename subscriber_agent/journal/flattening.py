"""The command to close every position: given beside the agent, carried out by it, once. Also keeps the circuit breaker.

Knows statements; the caller holds the transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from signal_contract.errors import StorageFailed
from subscriber_agent.journal.database import Database, noted
from subscriber_agent.journal.rows import FlattenRequest, instant_to_text, maybe_instant
from subscriber_agent.risk.breaker import Breaker


def ask_to_flatten(db: Database, reason: str, at: datetime) -> FlattenRequest:
    """Leave the command; one that still waits stands, and is returned."""
    waiting = waiting_flatten(db)
    if waiting is not None:
        return waiting
    db.run("INSERT INTO flattens (reason, at) VALUES (?, ?)", reason, instant_to_text(at))
    number = int(db.rows("SELECT max(number) FROM flattens")[0][0])
    return FlattenRequest(number, reason, at)


def waiting_flatten(db: Database) -> FlattenRequest | None:
    """The command that is not carried out yet; None when there is none."""
    rows = db.rows("SELECT number, reason, at FROM flattens WHERE done_at IS NULL ORDER BY number LIMIT 1")
    return FlattenRequest(rows[0][0], rows[0][1], datetime.fromisoformat(rows[0][2])) if rows else None


def finish_flatten(db: Database, at: datetime) -> None:
    """Note that the command was carried out at `at`."""
    db.run("UPDATE flattens SET done_at = ? WHERE done_at IS NULL", instant_to_text(at))


def last_flatten(db: Database) -> tuple[FlattenRequest, datetime | None] | None:
    """The latest command and when it was carried out (None: not yet); None when there was none."""
    rows = db.rows("SELECT number, reason, at, done_at FROM flattens ORDER BY number DESC LIMIT 1")
    if not rows:
        return None
    number, reason, at, done_at = rows[0]
    return FlattenRequest(number, reason, datetime.fromisoformat(at)), maybe_instant(done_at)


def kept_breaker(db: Database, engine: str) -> Breaker:
    """An engine's circuit breaker as it was last kept. Raises StorageFailed when it cannot be read."""
    key = _breaker_key(engine)

    def read() -> Breaker:
        rows = db.rows("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            return Breaker()
        try:
            found: dict[str, Any] = orjson.loads(rows[0][0])
            return Breaker(
                int(found["failures"]), maybe_instant(found["failed_at"]), maybe_instant(found["probing_since"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageFailed(f"{db.path}: the note of the engine's failures cannot be read") from error

    return db.recalled((noted(key),), key, read)


def keep_breaker(db: Database, engine: str, breaker: Breaker) -> None:
    """Write an engine's circuit breaker down; another engine starts with a closed one."""
    document = {
        "failures": breaker.failures,
        "failed_at": None if breaker.failed_at is None else instant_to_text(breaker.failed_at),
        "probing_since": None if breaker.probing_since is None else instant_to_text(breaker.probing_since),
    }
    text = orjson.dumps(document).decode()
    db.run(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", _breaker_key(engine), text
    )


def _breaker_key(engine: str) -> str:
    return f"breaker:{engine}"
