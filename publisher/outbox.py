"""The durable queue between the classifier and the broker: SQLite, one synced commit a submit, order kept.

The only module here that knows sqlite3. Several processes may submit; one relay drains (see `relay`). A row is
`pending` until the stream's receipt is in, then `stored`; rows stay, so that publishing again is a duplicate.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from signal_contract.errors import StorageFailed

SCHEMA = 1
_BUSY_TIMEOUT_S = 10.0
_TABLE = (
    """
    CREATE TABLE outbox (
        position     INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id   TEXT NOT NULL UNIQUE,
        subject      TEXT NOT NULL,
        payload      BLOB NOT NULL,
        signature    TEXT NOT NULL,
        submitted_at TEXT NOT NULL,
        state        TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'stored')),
        sequence     INTEGER,
        is_duplicate INTEGER,
        stored_at    TEXT,
        CHECK ((state = 'stored') = (sequence IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX outbox_pending ON outbox (position) WHERE state = 'pending'",
)
# SQLite's word → what to say and do.
_SAID: dict[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk or its quota is full; nothing was half written", "Free disk space, then publish again."),
    "SQLITE_NOTADB": ("it is not an outbox", "Move the file away; the next publish makes a new one."),
    "SQLITE_CORRUPT": (
        "the file is damaged",
        "Restore a backup, or move it away and publish the source again.",
    ),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that its directory exists and belongs to you."),
    "SQLITE_READONLY": ("it cannot be written", "Check the file's owner and mode."),
    "SQLITE_BUSY": ("another process holds it", "Wait for the other publish to end, then run the command again."),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A signal as it goes out: subject, bytes and signature over both."""

    message_id: str
    subject: str
    payload: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submit; not new means that the outbox has known this message id before."""

    message_id: str
    is_new: bool


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


@contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, Timeout) as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        known = next((said for word, said in _SAID.items() if name.startswith(word)), None)
        what, hint = known or (str(error) or error.__class__.__name__, None)
        raise StorageFailed(f"the outbox {path} failed: {what}", hint=hint) from error


class Outbox:
    """One open outbox. Usable from several threads; each call is one transaction."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, max_bytes: int | None = None) -> Self:
        """Open or create it, mode 0600; `max_bytes` bounds the file's size. Raises StorageFailed."""
        with _failures_named(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Two processes that turn a new file into WAL at once would get SQLITE_BUSY in spite of the busy time-out.
            with FileLock(f"{path}.open.lock", timeout=_BUSY_TIMEOUT_S, mode=0o600):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)
                connection = sqlite3.connect(
                    path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
                )
                try:
                    _prepare(path, connection, max_bytes)
                except BaseException:
                    connection.close()
                    raise
        return cls(path, connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _failures_named(self.path), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def submit(self, entry: Entry, *, now: datetime) -> Submitted:
        """Keep one entry; on return it is synced to disk. Raises StorageFailed."""
        return self.submit_many([entry], now=now)[0]

    def submit_many(self, entries: Sequence[Entry], *, now: datetime) -> tuple[Submitted, ...]:
        """Keep entries in their order in one transaction: all of them or, with StorageFailed, none."""
        with self._transaction() as connection:
            return tuple(_insert(connection, entry, now) for entry in entries)

    def pending(self, limit: int) -> tuple[Entry, ...]:
        """The oldest entries without a receipt, in the order of submission."""
        rows = self._rows(
            "SELECT message_id, subject, payload, signature FROM outbox"
            " WHERE state = 'pending' ORDER BY position LIMIT ?",
            limit,
        )
        return tuple(Entry(*row) for row in rows)

    def confirm(self, receipt: Receipt, *, now: datetime) -> None:
        """Note the stream's receipt; the entry is not sent again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE outbox SET state = 'stored', sequence = ?, is_duplicate = ?, stored_at = ?"
                " WHERE message_id = ? AND state = 'pending'",
                (receipt.sequence, int(receipt.is_duplicate), _text(now), receipt.message_id),
            )

    def receipt(self, message_id: str) -> Receipt | None:
        """The receipt of an entry, or None while it waits or when it is not known."""
        rows = self._rows("SELECT sequence, is_duplicate FROM outbox WHERE message_id = ?", message_id)
        if not rows or rows[0][0] is None:
            return None
        return Receipt(message_id, int(rows[0][0]), bool(rows[0][1]))

    def counts(self) -> Counts:
        """How many entries wait and how many are stored."""
        ((pending, total),) = self._rows("SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FROM outbox")
        return Counts(int(pending), int(total) - int(pending))

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with _failures_named(self.path), self._lock:
            return self._connection.execute(query, values).fetchall()


def _insert(connection: sqlite3.Connection, entry: Entry, now: datetime) -> Submitted:
    cursor = connection.execute(
        "INSERT INTO outbox (message_id, subject, payload, signature, submitted_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (message_id) DO NOTHING",
        (entry.message_id, entry.subject, entry.payload, entry.signature, _text(now)),
    )
    return Submitted(entry.message_id, cursor.rowcount == 1)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _prepare(path: Path, connection: sqlite3.Connection, max_bytes: int | None) -> None:
    # FULL syncs the WAL at each commit: what `submit` returned for survives a power cut.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if max_bytes is not None:
        ((page_size,),) = connection.execute("PRAGMA page_size").fetchall()
        connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_size)}")
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version > SCHEMA:
        raise StorageFailed(
            f"the outbox {path} was written by a newer version (schema {version})", hint="Upgrade catalyst-signals."
        )
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLE:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
