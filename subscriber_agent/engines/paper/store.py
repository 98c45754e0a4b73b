"""The paper account's file, the one module of the engine that knows sqlite3: what is in it survives kill -9.

A turn is one commit with one fsync. The file belongs to one process; others may read it beside that one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Self

from signal_contract.errors import NotFound, StorageFailed
from subscriber_agent.accounting.book import Fill, book_from
from subscriber_agent.engines.paper.rows import (
    FILL,
    ORDER,
    Row,
    fill_from,
    fill_row,
    instant,
    instant_text,
    order_from,
    order_row,
)
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Mark, Order, Standing
from subscriber_agent.risk.decision import text_of

STORE_FILE = "paper.sqlite3"
SCHEMA_USER_VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_KEPT = "The file was left as it is. "

# `asked` and `quantity` are shares wanted and filled, `entry_id` is what a leg belongs to, rowid the order of arrival.
_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE orders (order_id TEXT PRIMARY KEY, entry_id TEXT NOT NULL, plan BLOB NOT NULL, asked TEXT NOT NULL,"
    " state TEXT NOT NULL, quantity TEXT NOT NULL, price TEXT, detail TEXT NOT NULL, at TEXT NOT NULL, due_at TEXT)",
    "CREATE INDEX orders_working ON orders (state) WHERE state IN ('ACCEPTED', 'PARTLY_FILLED')",
    "CREATE INDEX orders_legs ON orders (entry_id) WHERE entry_id <> ''",
    "CREATE TABLE fills (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, ticker TEXT NOT NULL, side TEXT NOT NULL,"
    " leg TEXT NOT NULL, quantity TEXT NOT NULL, price TEXT NOT NULL, at TEXT NOT NULL, stop_price TEXT,"
    " target_price TEXT, catalyst TEXT NOT NULL, sector TEXT)",
    "CREATE TABLE marks (ticker TEXT PRIMARY KEY, price TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID",
)
_START_CASH = "start_cash_usd"
_CLEAN = "is_clean"

Rows = Callable[..., list[Row]]
Fresh = Callable[[], tuple[Decimal, Turn]]


class PaperStore:
    """The open file. Each call belongs on the disk's thread, one after the other."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
        self._connection = connection
        self._read_only = read_only
        self._seen = 0
        self.path = path
        self.commits = 0  # each is one fsync
        self.start_cash_usd = Decimal(0)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, fresh: Fresh | None = None) -> Self:
        """Open the file; only its owner makes it, at mode 0600, and checks it after an unclean stop.

        `fresh` says what a new account begins with: its cash in USD, and what it takes over. Raises NotFound (to be
        read only, and not there yet) or StorageFailed.
        """
        with _mapped(path):
            if read_only and not path.exists():
                raise _nothing_yet(path)
            if not read_only:
                _create_private(path)
            store = cls(connected(path, read_only=read_only), path, read_only=read_only)
            try:
                store._prepare(fresh)
            except BaseException:
                store._connection.close()
                raise
        return store

    def _prepare(self, fresh: Fresh | None) -> None:
        version = int(self.rows("PRAGMA user_version")[0][0])
        if version > SCHEMA_USER_VERSION:
            raise StorageFailed(
                f"{self.path} was written by a newer version of subscriber-agent",
                hint=_KEPT + "Upgrade catalyst-signals on this machine.",
            )
        if self._read_only:
            if version == 0:
                raise _nothing_yet(self.path)
        else:
            self._own(version, fresh)
        self.start_cash_usd = Decimal(self._meta(_START_CASH) or 0)
        self._seen = self._version_of_data()

    def _own(self, version: int, fresh: Fresh | None) -> None:
        self.rows("PRAGMA journal_mode = WAL")
        self.rows("PRAGMA synchronous = FULL")
        if version == 0:
            # All of it in one transaction: a kill in between leaves nothing, and the next start begins again.
            cash, inherited = (
                (Decimal(0), Turn(Standing(book_from((), start_cash=Decimal(0))))) if fresh is None else fresh()
            )
            with self._transaction():
                for statement in _VERSION_1:
                    self.rows(statement)
                self._set_meta(_START_CASH, text_of(cash))
                self._keep(inherited)
                self.rows(f"PRAGMA user_version = {SCHEMA_USER_VERSION}")
        elif self._meta(_CLEAN) == "0":
            self._check()
        with self._transaction():
            self._set_meta(_CLEAN, "0")

    def _check(self) -> None:
        answer = self.rows("PRAGMA integrity_check(1)")
        if answer != [("ok",)]:
            raise StorageFailed(
                f"{self.path} is damaged: {answer[0][0]}",
                hint=_KEPT + "Restore it from a copy, or move it away to begin a new paper account.",
            )

    def close(self) -> None:
        """Close; the owner notes that the stop was clean."""
        with _mapped(self.path):
            try:
                if not self._read_only:
                    with self._transaction():
                        self._set_meta(_CLEAN, "1")
            finally:
                self._connection.close()

    # Reading ----------------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """The account as the file has it: every fill folded, every ticker at its latest price, what works."""
        with _mapped(self.path), _reading(self._connection):
            self._seen = self._version_of_data()
            marks = {row[0]: Mark(Decimal(row[1]), instant(row[2])) for row in self.rows("SELECT * FROM marks")}
            working = "SELECT {} FROM orders WHERE state IN ('ACCEPTED', 'PARTLY_FILLED') ORDER BY rowid"
            orders = [order_from(row) for row in self.rows(working.format(ORDER))]
            prices = {ticker: mark.price for ticker, mark in marks.items()}
            book = book_from(self.fills(), start_cash=self.start_cash_usd, marks=prices)
        return Standing(book, marks, {each.order_id: each for each in orders})

    def is_changed_elsewhere(self) -> bool:
        """Whether another connection wrote since the last `standing` or `write`."""
        with _mapped(self.path):
            return self._version_of_data() != self._seen

    def order(self, order_id: str) -> Order | None:
        """An order or a leg as it is now; None: it was never seen, the file is complete."""
        with _mapped(self.path):
            rows = self.rows(f"SELECT {ORDER} FROM orders WHERE order_id = ?", order_id)  # noqa: S608
            return order_from(rows[0]) if rows else None

    def legs(self, entry_id: str) -> tuple[Order, ...]:
        """The stop and the target of an entry, the stop first."""
        query = f"SELECT {ORDER} FROM orders WHERE entry_id = ? AND entry_id <> '' ORDER BY rowid"  # noqa: S608
        with _mapped(self.path):
            return tuple(order_from(row) for row in self.rows(query, entry_id))

    def fills(self) -> list[Fill]:
        """All executions, oldest first."""
        with _mapped(self.path):
            return [fill_from(row) for row in self.rows(f"SELECT {FILL} FROM fills ORDER BY id")]  # noqa: S608

    # Writing ----------------------------------------------------------------------------------------------------

    def write(self, turn: Turn) -> bool:
        """Write a turn in one commit, on disk when this returns; False and nothing written if the file had changed."""
        with _mapped(self.path), self._transaction():
            if self._version_of_data() != self._seen:
                return False
            self._keep(turn)
        return True

    def _keep(self, turn: Turn) -> None:
        self._many(
            f"INSERT INTO orders ({ORDER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"  # noqa: S608
            " asked = excluded.asked, state = excluded.state, quantity = excluded.quantity, price = excluded.price,"
            " detail = excluded.detail, due_at = excluded.due_at",
            (order_row(each) for each in turn.changed.values()),
        )
        self._many(
            f"INSERT INTO fills ({FILL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (fill_row(each) for each in turn.fills),
        )
        self._many(
            "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET price = excluded.price, at = excluded.at",
            ((ticker, str(mark.price), instant_text(mark.at)) for ticker, mark in turn.marked.items()),
        )

    def _many(self, statement: str, rows: Iterable[Row]) -> None:
        self._connection.executemany(statement, rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
            self.commits += 1
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return all its rows; raises StorageFailed."""
        with _mapped(self.path):
            return self._connection.execute(statement, values).fetchall()

    def _version_of_data(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _meta(self, key: str) -> str | None:
        rows = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def _set_meta(self, key: str, value: str) -> None:
        self.rows("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)


def connected(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection that begins no transactions by itself."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Rows]:
    """Questions to somebody else's file, all about one moment. Raises StorageFailed."""
    with _mapped(path), contextlib.closing(connected(path, read_only=True)) as connection, _reading(connection):
        yield lambda statement, *values: connection.execute(statement, values).fetchall()


@contextlib.contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _storage_failed(path, error) from error
    except (ArithmeticError, KeyError, ValueError) as error:
        raise StorageFailed(f"{path} holds what cannot be read: {error}", hint=_KEPT + "Restore a copy.") from error


def _storage_failed(path: Path, error: Exception) -> StorageFailed:
    text = str(error)
    if "is full" in text or getattr(error, "errno", None) == 28:
        return StorageFailed(f"no space left for {path}", hint=_KEPT + "Free disk space and start again.")
    if "not a database" in text or "malformed" in text:
        return StorageFailed(f"{path} is damaged: {text}", hint=_KEPT + "Restore it from a copy, or move it away.")
    if "locked" in text:
        return StorageFailed(f"{path} is held by another process", hint="Stop the other one, or try again.")
    return StorageFailed(f"{path}: {text}", hint=_KEPT + "Check the file's directory and rights.")


def _nothing_yet(path: Path) -> NotFound:
    return NotFound(f"there is no paper account at {path}", hint="Start `subscriber-agent run` first.")


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, so that it is never readable by others; its -wal and -shm follow its mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix":
        path.chmod(0o600)
