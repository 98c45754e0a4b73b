"""The durable queue between the classifier and the broker: SQLite, one synced commit a submit, order kept.

Several processes may submit; one relay drains (see `relay`). A row is
`pending` until the stream's receipt is in, then `stored`; rows stay, so that publishing again is a duplicate.
A damaged file is moved aside and a new one begun with what can still be read and proven; see `Replaced`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson
from filelock import FileLock, Timeout

from publisher.entry import Counts, Entry, Kept, Receipt, Replaced, Submitted
from publisher.outbox_file import BUSY_TIMEOUT_S, carried_over, identity, is_damage, move, prepared
from publisher.schema import ENTRY, PENDING, RECENT, STORED, inserting
from signal_contract.edges import reached
from signal_contract.errors import StorageFailed

_REPLACEMENTS_AT_ONCE = 3
_ROWS_AT_ONCE = 64
_NOWHERE = (-1, -1)

Work = Callable[[sqlite3.Connection], "T"]
T = TypeVar("T")

# SQLite's word → what to say and do.
_SAID: dict[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk or its quota is full; nothing was half written", "Free disk space, then publish again."),
    "SQLITE_IOERR": ("the disk refuses to work, or is full; nothing was half written", "Check the disk and its space."),
    "SQLITE_NOTADB": ("it is not an outbox", "Move the file away; the next publish makes a new one."),
    "SQLITE_CORRUPT": ("the file is damaged", "Move it away and publish the source again."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that its directory exists and belongs to you."),
    "SQLITE_READONLY": ("it cannot be written", "Check the file's owner and mode."),
    "SQLITE_BUSY": ("another process holds it", "Wait for the other publish to end, then run the command again."),
}


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
    """One open outbox. Usable from several threads; each call is one transaction.

    `replaced` tells which damaged files this one has moved aside.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        self.path = path
        self.replaced: list[Replaced] = []
        self.generation = 0  # counts the files that this has worked on: positions are of one file
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        with self._opening():
            self._connection = self._connected()
            self._identity = identity(path)

    @classmethod
    def open(cls, path: Path, *, max_bytes: int | None = None) -> Self:
        """Open or create it, mode 0600; `max_bytes` bounds the file's size. Raises StorageFailed.

        A damaged file is moved aside, and the new one is open; a newer version's file is left alone.
        """
        with _failures_named(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(path, max_bytes=max_bytes)

    def _opening(self) -> FileLock:
        # Two processes that turn a new file into WAL at once would get SQLITE_BUSY in spite of the busy time-out;
        # two that find the same damage must not both move it.
        return FileLock(f"{self.path}.open.lock", timeout=BUSY_TIMEOUT_S, mode=0o600)

    def _connected(self) -> sqlite3.Connection:
        """A sound file and its connection; to be called under the opening lock."""
        try:
            return prepared(self.path, self._max_bytes)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return self._begun_anew(str(error))

    def _begun_anew(self, reason: str) -> sqlite3.Connection:
        kept_as = Path(f"{self.path}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        move(self.path, kept_as)
        try:
            connection = prepared(self.path, self._max_bytes)
            try:
                self.replaced.append(carried_over(kept_as, connection, reason))
            except BaseException:
                connection.close()
                raise
        except BaseException:
            # On a full disk, say: the next one to open it finds the damage, and its signals, again.
            move(kept_as, self.path)
            raise
        return connection

    def close(self) -> None:
        """Close the file; the last one to do so leaves no WAL behind."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Every use of the file ------------------------------------------------------------------------------------

    def _done(self, work: Work[T]) -> T:
        """Run `work` on the file that lies at the path now; after damage once more on the new one."""
        with _failures_named(self.path), self._lock:
            for _ in range(_REPLACEMENTS_AT_ONCE):
                if not self._is_current():
                    self._reopen("")
                try:
                    answer = work(self._connection)
                except sqlite3.DatabaseError as error:
                    if not is_damage(error):
                        raise
                    self._reopen(str(error))
                    continue
                # Another process may have moved the file under our hands: what was committed there is done again.
                if self._is_current():
                    return answer
        raise StorageFailed(f"the outbox {self.path} is damaged again and again", hint="Check the disk.")

    def _is_current(self) -> bool:
        try:
            return identity(self.path) == self._identity
        except FileNotFoundError:
            return False

    def _reopen(self, damage: str) -> None:
        with self._opening():
            self._connection.close()
            self.generation += 1
            is_ours, self._identity = self._is_current(), _NOWHERE  # until it is open again
            if damage and is_ours:
                self._connection = self._begun_anew(damage)
            else:
                self._connection = self._connected()
            self._identity = identity(self.path)

    def _written(self, work: Work[T]) -> T:
        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                answer = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return answer

        return self._done(transaction)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._done(lambda connection: connection.execute(query, values).fetchall())

    # What is kept ---------------------------------------------------------------------------------------------

    def submit(self, entry: Entry, *, now: datetime) -> Submitted:
        """Keep one entry; on return it is synced to disk. Raises StorageFailed."""
        return self.submit_many([entry], now=now)[0]

    def submit_many(self, entries: Sequence[Entry], *, now: datetime) -> tuple[Submitted, ...]:
        """Keep entries in their order in one transaction: all of them or, with StorageFailed, none."""
        return self.write([entries], [], now=now)[0]

    def confirm(self, receipt: Receipt, *, now: datetime) -> None:
        """Note the stream's receipt; the entry is not sent again."""
        self.write([], [receipt], now=now)

    def write(
        self, groups: Sequence[Sequence[Entry]], receipts: Sequence[Receipt], *, now: datetime
    ) -> list[tuple[Submitted, ...]]:
        """Keep groups of entries and receipts in one transaction, all or none; the answer has a part for each group."""
        stored = orjson.dumps([(each.message_id, each.sequence, each.is_duplicate) for each in receipts]).decode()

        def write(connection: sqlite3.Connection) -> list[tuple[Submitted, ...]]:
            if receipts:
                connection.execute(STORED, (_text(now), stored))
            submitted = _inserted(connection, groups, now)
            reached("outbox.uncommitted" if any(groups) else "receipts.uncommitted")
            return submitted

        answer = self._written(write)
        if any(groups):
            reached("outbox.committed")
        return answer

    def pending(self, limit: int, *, after: str = "") -> tuple[Entry, ...]:
        """The oldest entries without a receipt, in the order of submission; only those behind a message id."""
        return tuple(entry for _, entry in self.placed(limit, after=after))

    def placed(self, limit: int, *, after: str = "") -> tuple[tuple[int, Entry], ...]:
        """`pending`, each with its position."""
        return tuple((int(position), Entry(*row)) for position, *row in self._rows(PENDING, after, limit))

    def receipt(self, message_id: str) -> Receipt | None:
        """The receipt of an entry, or None while it waits or when it is not known."""
        rows = self._rows("SELECT sequence, is_duplicate FROM outbox WHERE message_id = ?", message_id)
        if not rows or rows[0][0] is None:
            return None
        return Receipt(message_id, int(rows[0][0]), bool(rows[0][1]))

    def waiting(self) -> int:
        """How many entries have no receipt yet; cheap, also with many stored ones."""
        ((count,),) = self._rows("SELECT count(*) FROM outbox WHERE state = 'pending'")
        return int(count)

    def counts(self) -> Counts:
        """How many entries wait and how many are stored."""
        ((pending, total),) = self._rows("SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FROM outbox")
        return Counts(int(pending), int(total) - int(pending))

    def revisions(self, prefix: str) -> tuple[Kept, ...]:
        """Every revision of the signals whose id begins with `prefix` (hex digits), by signal and revision."""
        rows = self._rows(
            f"SELECT {ENTRY}, submitted_at, sequence FROM outbox"  # noqa: S608
            " WHERE substr(signal_id, 1, ?) = ? ORDER BY signal_id, revision",
            len(prefix),
            prefix,
        )
        return tuple(_kept(row) for row in rows)

    def latest(self, *, since: datetime, limit: int) -> tuple[Kept, ...]:
        """The last revision of each signal submitted at or after `since`, newest first."""
        # SQLite takes the other columns from the row that holds the maximum.
        rows = self._rows(
            f"SELECT {ENTRY}, submitted_at, sequence, max(revision) FROM outbox"  # noqa: S608
            " GROUP BY signal_id HAVING submitted_at >= ? ORDER BY position DESC LIMIT ?",
            _text(since),
            limit,
        )
        return tuple(_kept(row[:-1]) for row in rows)

    def recent(self, *, since: datetime, limit: int) -> tuple[Kept, ...]:
        """What was submitted last, newest first, back to the last row from before `since`; costs what it returns."""
        return tuple(_kept(row) for row in self._rows(RECENT, _text(since), limit))

    def prune(self, *, before: datetime, first_sequence: int) -> int:
        """Drop what was stored before an instant and has left the stream; how many rows.

        What the stream still holds stays known, so that publishing it again is a duplicate. Waiting rows stay.
        """
        return self._written(
            lambda connection: (
                connection.execute(
                    "DELETE FROM outbox WHERE state = 'stored' AND stored_at < ? AND sequence < ?",
                    (_text(before), first_sequence),
                ).rowcount
            )
        )

    def condemn(self, reason: str) -> None:
        """Move the file aside as damaged: it holds something that was never submitted. Raises StorageFailed."""
        with _failures_named(self.path), self._lock:
            self._reopen(reason)


def _inserted(
    connection: sqlite3.Connection, groups: Sequence[Sequence[Entry]], now: datetime
) -> list[tuple[Submitted, ...]]:
    # One statement for many rows: each statement hands the interpreter to other threads and waits to get it back.
    entries, at = [entry for group in groups for entry in group], _text(now)
    new: dict[str, int] = {}
    for start in range(0, len(entries), _ROWS_AT_ONCE):
        rows = entries[start : start + _ROWS_AT_ONCE]
        values = [
            value
            for each in rows
            for value in (each.message_id, each.subject, each.payload, each.signature, each.signed_by, at)
        ]
        new.update(connection.execute(inserting(len(rows)), values).fetchall())
    return [tuple(_submitted(entry, new) for entry in group) for group in groups]


def _submitted(entry: Entry, new: dict[str, int]) -> Submitted:
    position = new.pop(entry.message_id, None)  # the same id again, in the same transaction, is known by then
    return Submitted(entry.message_id, position is not None, position)


def _kept(row: Sequence[Any]) -> Kept:
    *entry, submitted_at, sequence = row
    return Kept(Entry(*entry), datetime.fromisoformat(submitted_at), sequence)


def _text(instant: datetime) -> str:
    # Always with microseconds: these texts are compared.
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
