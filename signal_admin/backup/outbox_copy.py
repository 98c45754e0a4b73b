"""The publisher's outbox as a whole file while it is in use, by SQLite's own backup; and what it says was confirmed.

Knows sqlite3 and the outbox's columns, nothing else. Neither creates nor repairs a file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from signal_contract.errors import StorageFailed

_BUSY_TIMEOUT_S = 10.0
_PAGES_AT_ONCE = 4096
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One receipt: the stream is said to hold this message id at this sequence."""

    message_id: str
    sequence: int


def _opened(path: Path) -> sqlite3.Connection:
    # mode=ro still sees what only the write-ahead log holds.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one instant, 0600, without a write-ahead log. Raises StorageFailed."""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(_opened(source)) as connection, closing(sqlite3.connect(target)) as copy:
            connection.backup(copy, pages=_PAGES_AT_ONCE)
            # One file, whatever the original uses: opening it again turns the log on again.
            copy.execute("PRAGMA journal_mode = DELETE")
            ((verdict,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"{source} cannot be copied: {error}") from error
    if verdict != "ok":
        raise StorageFailed(f"{source} is damaged: {verdict}", hint="The next `catalyst publish` moves it aside.")


def waiting_count(path: Path) -> int:
    """How many entries have no receipt yet; 0 without an outbox. Raises StorageFailed."""
    try:
        with closing(_opened(path)) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM outbox WHERE state = 'pending'").fetchall()
    except (sqlite3.Error, OSError) as error:
        if not path.exists():
            return 0
        raise StorageFailed(f"the outbox {path} cannot be read: {error}") from error
    return int(count)


def confirmed(path: Path) -> Iterator[Confirmed]:
    """Every receipt, in the order of submission; nothing without an outbox. Raises StorageFailed."""
    if not path.exists():
        return
    query = "SELECT message_id, sequence FROM outbox WHERE state = 'stored' ORDER BY position"
    try:
        with closing(_opened(path)) as connection:
            rows = connection.execute(query)
            while batch := rows.fetchmany(_ROWS_AT_ONCE):
                yield from (Confirmed(str(message_id), int(sequence)) for message_id, sequence in batch)
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"the outbox {path} cannot be read: {error}") from error
