"""The one module of the agent that knows sqlite3: opens the file, runs statements, puts errors into our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from signal_contract.edges import reached
from signal_contract.errors import NotFound, StorageFailed
from subscriber_agent.journal.chained import CHAINED_SINCE, chain_old_decisions
from subscriber_agent.journal.schema import MIGRATIONS, SCHEMA_USER_VERSION

_BUSY_TIMEOUT_S = 5.0
_KEPT = "The file was left as it is. "

Row = tuple[Any, ...]


class Database:
    """A connection behind a lock: the worker's disk thread and its event loop may both use it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, is_owner: bool) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0
        self._is_owner = is_owner
        self._edges: list[str] = []
        self.commits = 0  # each is one fsync
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
                    chain_old_decisions(self.rows, self.run)
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
            self.run("INSERT INTO meta VALUES ('is_clean', ?) ON CONFLICT DO UPDATE SET value = excluded.value", value)

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
        with self._lock, _mapped(self.path):
            return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, *values: object) -> int:
        """Run a statement and return how many rows it changed; raises StorageFailed."""
        with self._lock, _mapped(self.path):
            return self._connection.execute(statement, values).rowcount

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside the block see one moment, whatever the owner writes meanwhile."""
        with self._lock, _mapped(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk (fsync) when the block ends; nested blocks join the outer one."""
        with self._lock, _mapped(self.path):
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._edges.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1
            self.commits += 1
            self._pass_edges()

    def after_commit(self, edge: str) -> None:
        """Name a crash point that is reached once the transaction of now is on disk, whoever opened it."""
        self._edges.append(edge)

    def _pass_edges(self) -> None:
        edges, self._edges = self._edges, []
        for each in edges:
            reached(each)


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
