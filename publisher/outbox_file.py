"""The outbox's file: opened, brought up to date and checked; a damaged one is moved aside and salvaged.

Beside the outbox the only module here that knows sqlite3 (and the metrics, which read).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from publisher.entry import Entry, Replaced, is_intact
from publisher.schema import CARRIED, MIGRATIONS, SCHEMA
from signal_contract.errors import StorageFailed

BUSY_TIMEOUT_S = 10.0
# quick_check reads about 1 GB/s: a file this small is checked at every open, a larger one after an unclean stop.
_ALWAYS_CHECKED_BYTES = 64 * 1024 * 1024
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class Damaged(sqlite3.DatabaseError):
    """The file's structure is wrong, although SQLite has not stumbled over it."""


def is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, Damaged) or str(getattr(error, "sqlite_errorname", "")).startswith(_DAMAGE)


def identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def prepared(path: Path, max_bytes: int | None) -> sqlite3.Connection:
    # Never opened and closed by hand when it exists: that would drop the locks of SQLite's other connections here.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.stat().st_size == 0:  # SQLite would take it for a new one and drop the log
            raise Damaged("it is empty") from None
    path.chmod(0o600)
    was_clean = not Path(f"{path}-wal").exists()
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        # FULL syncs the WAL at each commit: what `submit` returned for survives a power cut.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if max_bytes is not None:
            ((page_size,),) = connection.execute("PRAGMA page_size").fetchall()
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_size)}")
        _migrate(path, connection)
        if not was_clean or path.stat().st_size <= _ALWAYS_CHECKED_BYTES:
            _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(path: Path, connection: sqlite3.Connection) -> None:
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version > SCHEMA:
        raise StorageFailed(
            f"the outbox {path} was written by a newer version (schema {version})", hint="Upgrade catalyst-signals."
        )
    if version == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in (each for step in MIGRATIONS[version:] for each in step):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != [("ok",)]:
        raise Damaged("; ".join(str(row[0]) for row in found).replace("\n", " ")[:200])
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchall():
        raise Damaged("its table is gone")


def move(path: Path, target: Path) -> None:
    # The log first: beside a new file it would be deleted, and it may hold the newest signals.
    for suffix in ("-wal", "-shm", ""):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")


def carried_over(kept_as: Path, connection: sqlite3.Connection, reason: str) -> Replaced:
    """Put into the new file what the damaged one still holds and can prove; best effort."""
    salvaged = pending = dropped = 0
    connection.execute("BEGIN IMMEDIATE")
    for row in _readable(kept_as):
        entry, state = Entry(*row[:5]), row[6]
        try:
            if not is_intact(entry):
                raise ValueError("not what was submitted")
            connection.execute(f"INSERT INTO outbox ({CARRIED}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        except (ValueError, AttributeError, TypeError, sqlite3.IntegrityError):
            dropped += 1
            continue
        salvaged += 1
        pending += state == "pending"
    connection.execute("COMMIT")
    return Replaced(kept_as, reason, salvaged, pending, dropped)


def _readable(kept_as: Path) -> list[tuple[Any, ...]]:
    """All rows that can be read, from both ends towards the damage, in the order of submission."""
    found: dict[int, tuple[Any, ...]] = {}
    with contextlib.suppress(sqlite3.Error):
        # Read-only, so that closing it does not fold the log in: the evidence stays as it is.
        connection = sqlite3.connect(f"{kept_as.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        try:
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.Error):
                    query = f"SELECT position, {CARRIED} FROM outbox NOT INDEXED ORDER BY position {order}"  # noqa: S608
                    for position, *row in connection.execute(query):
                        found[position] = tuple(row)
        finally:
            connection.close()
    return [found[position] for position in sorted(found)]
