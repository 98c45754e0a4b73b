"""The one module of the agent that knows sqlite3: opens the file, runs statements, puts errors into our words."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from signal_contract.edges import reached
from signal_contract.errors import NotFound, StorageFailed
from subscriber_agent.journal.chained import CHAINED_SINCE, chain_old_decisions
from subscriber_agent.journal.schema import MIGRATIONS, SCHEMA_USER_VERSION

_BUSY_TIMEOUT_S = 5.0
_KEPT = "The file was left as it is. "

# What is written again with every signal would forget all of `meta` each time: there each key counts for itself.
_BY_KEY = "meta"
_NOTE = "INSERT INTO meta VALUES (?, ?)"
# As the journal spells them. Whatever is spelt otherwise (`UPDATE OR IGNORE`, `main.fills`) might be misread: it is
# not told at all, and all is forgotten.
_WRITES = re.compile(r"\s*(?:INSERT(?: OR [A-Z]+)? INTO|UPDATE|DELETE FROM) ([a-z_0-9]+)(?![\w.])")
# Far more than there are questions of this kind; a fault, and no growth, if there ever were more.
_MOST_REMEMBERED = 512

# Writing the log back into the file takes some 10 ms: `checkpoint` does it when nothing waits, and at the latest after
# so many commits, some 4 MB. Beyond 16 MB the next commit does.
_LOG_COMMITS, _LOG_PAGES = 32, 4096

Row = tuple[Any, ...]
_Answer = TypeVar("_Answer")


class Database:
    """A connection behind a lock: the worker's disk thread and its event loop may both use it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, is_owner: bool) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0
        self._is_owner = is_owner
        self._edges: list[str] = []
        self._memory: dict[Hashable, tuple[tuple[int, ...], Any]] = {}
        self._written: defaultdict[str, int] = defaultdict(int)
        self._epoch = self._version_elsewhere = 0
        # The thread that is inside a transaction; 0 is none.
        self._inside = 0
        self._nested = contextlib.nullcontext()
        self.commits = self._tidied_at = 0  # each is one fsync
        self.path = path

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, is_owner: bool = True) -> Self:
        """Open the file; only its owner creates it, migrates it and checks it after an unclean stop.

        Raises NotFound (not there, and not ours to create) or StorageFailed.
        """
        if (read_only or not is_owner) and not path.exists():
            raise NotFound(f"nothing received yet: {path} does not exist", hint="Start `subscriber-agent run` first.")
        with _mapped(path):
            if not read_only and is_owner:
                _create_private(path)
            connection = _connect(path, read_only=read_only)
            database = cls(connection, path, is_owner=is_owner and not read_only)
            try:
                database._prepare(read_only=read_only)
            except BaseException:
                connection.close()
                raise
        return database

    def _prepare(self, *, read_only: bool) -> None:
        version = self.version()
        if version > SCHEMA_USER_VERSION:
            raise StorageFailed(
                f"{self.path} was written by a newer version of subscriber-agent",
                hint=_KEPT + "Upgrade catalyst-signals on this machine.",
            )
        if version == 0 and (read_only or not self._is_owner):
            raise _nothing_yet(self.path)
        if read_only:
            self.check_is_current()
            return
        self.rows("PRAGMA journal_mode = WAL")
        self.rows("PRAGMA synchronous = FULL")
        self.rows(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if self._is_owner:
            self._migrate(version)
            self._check_after_unclean_stop()

    def version(self) -> int:
        """Which of the MIGRATIONS the file has seen; 0 is an empty file."""
        return int(self.rows("PRAGMA user_version")[0][0])

    def check_is_current(self) -> None:
        """Raise NotFound for a file of an earlier version, which lacks tables; a guest may still set a latch there."""
        if self.version() < SCHEMA_USER_VERSION:
            raise NotFound(
                f"{self.path} was written by an earlier version",
                hint="Start `subscriber-agent run` once: it takes over what is there.",
            )

    def _migrate(self, version: int) -> None:
        for step, script in enumerate(MIGRATIONS[version:], start=version + 1):
            with self.transaction():
                for statement in script.split(";"):
                    if statement.strip():
                        self.run(statement)
                if step == CHAINED_SINCE:
                    chain_old_decisions(self)
                self.run(f"PRAGMA user_version = {step}")

    def _check_after_unclean_stop(self) -> None:
        if self.rows("SELECT value FROM meta WHERE key = 'is_clean'") == [("0",)]:
            answer = self.rows("PRAGMA integrity_check(1)")
            if answer != [("ok",)]:
                raise StorageFailed(
                    f"{self.path} is damaged: {answer[0][0]}",
                    hint=_KEPT + "Move it away to start with an empty one; the wire delivers again what was not acked.",
                )
        self._mark_clean("0")

    def _mark_clean(self, value: str) -> None:
        with self.transaction():
            self.run(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", "is_clean", value
            )

    def close(self) -> None:
        """Close; the owner notes that the stop was clean."""
        with self._lock, _mapped(self.path):
            try:
                if self._is_owner:
                    self._mark_clean("1")
            finally:
                self._connection.close()

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Run a statement and return all its rows; raises StorageFailed."""
        # Not `with _mapped`: a generator for each of dozens of statements a signal costs more than most of them.
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except (sqlite3.Error, OSError) as error:
                raise _storage_failed(self.path, error) from error

    def run(self, statement: str, *values: object) -> int:
        """Run a statement and return how many rows it changed; raises StorageFailed."""
        with self._lock:
            try:
                changed = self._connection.execute(statement, values).rowcount
            except (sqlite3.Error, OSError) as error:
                raise _storage_failed(self.path, error) from error
            table = _table_written(statement)
            if table == _BY_KEY:
                table = noted(str(values[0]))
            if table:
                self._written[table] += 1
            else:
                self._epoch += 1
            return changed

    def run_all(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """Run a statement once for each row of values, in their order; how many rows changed. Raises StorageFailed."""
        with self._lock:
            try:
                changed = self._connection.executemany(statement, rows).rowcount if rows else 0
            except (sqlite3.Error, OSError) as error:
                raise _storage_failed(self.path, error) from error
            table = _table_written(statement)
            if table and table != _BY_KEY:
                self._written[table] += 1
            else:
                self._epoch += 1
            return changed

    def recalled(self, tables: Sequence[str], key: Hashable, read: Callable[[], _Answer]) -> _Answer:
        """What `read` answered last for `key`, as long as nothing was written to `tables`: by us or anybody else.

        `read` may ask nothing but these tables (`noted(key)` for one note in `meta`), and its answer must not be
        changed by whoever gets it. Inside a transaction it sees what that wrote; a rollback forgets everything.
        """
        with self._lock:
            if not self._depth:
                self._look_elsewhere()
            stamp = self._stamp(tables)
            found = self._memory.get(key)
            if found is not None and found[0] == stamp:
                answer: _Answer = found[1]
                return answer
            answer = read()
            if len(self._memory) >= _MOST_REMEMBERED:
                self._memory.clear()
            self._memory[key] = (stamp, answer)
            return answer

    def remember(self, tables: Sequence[str], key: Hashable, answer: object) -> None:
        """Say what `recalled` would read now, after a write of one's own; inside a transaction."""
        self._memory[key] = (self._stamp(tables), answer)

    def _stamp(self, tables: Sequence[str]) -> tuple[int, ...]:
        written = self._written
        return (self._epoch, *[written[table] for table in tables])

    def _look_elsewhere(self) -> None:
        """Forget everything when another connection has written: a halt by a command, an approval."""
        version = int(self.rows("PRAGMA data_version")[0][0])
        if version != self._version_elsewhere:
            self._version_elsewhere = version
            self._epoch += 1

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside the block see one moment, whatever the owner writes meanwhile."""
        with self._lock, _mapped(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All or nothing, on disk (fsync) when the block ends; nested blocks join the outer one."""
        # Whoever is inside holds the lock: for anybody else the depth is 0, or about to be.
        return self._nested if self._inside == threading.get_ident() else self._outermost()

    @contextlib.contextmanager
    def _outermost(self) -> Iterator[None]:
        with self._lock, _mapped(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth, self._inside = 1, threading.get_ident()
            changes = self._connection.total_changes
            try:
                # From here on nobody else can write.
                self._look_elsewhere()
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._edges.clear()
                self._epoch += 1
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = self._inside = 0
            # One that has changed nothing costs no fsync.
            self.commits += self._connection.total_changes != changes
            self._pass_edges()

    def checkpoint(self) -> None:
        """Write what the log holds back into the file, as far as nobody reads from it."""
        self.rows("PRAGMA wal_checkpoint(PASSIVE)")
        self._tidied_at = self.commits

    @property
    def is_log_long(self) -> bool:
        """Whether `checkpoint` is due, even though somebody may be waiting."""
        return self.commits - self._tidied_at >= _LOG_COMMITS

    def after_commit(self, edge: str) -> None:
        """Name a crash point that is reached once the transaction of now is on disk, whoever opened it."""
        self._edges.append(edge)

    def _pass_edges(self) -> None:
        edges, self._edges = self._edges, []
        for each in edges:
            reached(each)


@functools.lru_cache(256)
def _table_written(statement: str) -> str:
    """The table that a statement writes to; empty when it cannot be told, and then all that was read is forgotten."""
    found = _WRITES.match(statement)
    if found is None or (found[1] == _BY_KEY and not statement.startswith(_NOTE)):
        return ""
    return found[1]


def noted(key: str) -> str:
    """How one note of `meta` is named among the tables of `Database.recalled`."""
    return f"{_BY_KEY}:{key}"


def _nothing_yet(path: Path) -> NotFound:
    return NotFound(f"nothing received yet: there is no journal at {path}", hint="Start `subscriber-agent run` first.")


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, so that it is never readable by others; its -wal and -shm follow its mode."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix":
        path.chmod(0o600)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _storage_failed(path, error) from error


def _storage_failed(path: Path, error: Exception) -> StorageFailed:
    text = str(error)
    if "is full" in text or getattr(error, "errno", None) == 28:
        return StorageFailed(f"no space left for {path}", hint=_KEPT + "Free disk space and start again.")
    if "not a database" in text or "malformed" in text:
        return StorageFailed(
            f"{path} is not a journal or is damaged: {text}",
            hint=_KEPT + "Move it away to start with an empty one; the wire delivers again what was not acked.",
        )
    if "locked" in text:
        return StorageFailed(f"{path} is held by another process", hint="Stop the other one, or try again.")
    return StorageFailed(f"{path}: {text}", hint=_KEPT + "Check the file's directory and rights.")


def texts(values: Sequence[object | None]) -> list[str | None]:
    """Numbers as text, as they are kept."""
    return [None if value is None else str(value) for value in values]
