"""The outbox as the metrics read it: on a connection that can only read, which repairs and moves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from signal_contract.errors import StorageFailed

_BUSY_TIMEOUT_S = 2.0
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Depth:
    """How many signals wait and how many the stream has; `oldest` is when the first of those that wait was given."""

    waiting: int
    stored: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """One signal that the stream has taken: its place in the outbox, its bytes, and both instants."""

    position: int
    payload: bytes
    submitted_at: datetime
    stored_at: datetime
    is_duplicate: bool


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
        try:
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"the outbox {path} cannot be read: {error}") from error


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file lies there: a damaged outbox is replaced, and its positions begin anew. None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def depth(path: Path) -> Depth:
    """How full it is. Raises StorageFailed."""
    with _reading(path) as connection:
        ((waiting, total, oldest),) = connection.execute(
            "SELECT count(*) FILTER (WHERE state = 'pending'), count(*),"
            " min(submitted_at) FILTER (WHERE state = 'pending') FROM outbox"
        ).fetchall()
    return Depth(int(waiting), int(total) - int(waiting), None if oldest is None else datetime.fromisoformat(oldest))


def last_delivered(path: Path) -> int:
    """The position of the last signal that the stream has taken; 0 before the first. Raises StorageFailed."""
    with _reading(path) as connection:
        ((position,),) = connection.execute(
            "SELECT coalesce(max(position), 0) FROM outbox WHERE state = 'stored'"
        ).fetchall()
    return int(position)


def delivered(path: Path, after: int) -> list[Delivered]:
    """What the stream has taken behind a position, in order, a thousand at most. Raises StorageFailed."""
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT position, payload, submitted_at, stored_at, is_duplicate FROM outbox"
            " WHERE state = 'stored' AND stored_at IS NOT NULL AND position > ? ORDER BY position LIMIT ?",
            (after, _AT_ONCE),
        ).fetchall()
    return [_delivered(row) for row in rows]


def _delivered(row: tuple[Any, ...]) -> Delivered:
    position, payload, submitted_at, stored_at, is_duplicate = row
    return Delivered(
        int(position),
        bytes(payload),
        datetime.fromisoformat(submitted_at),
        datetime.fromisoformat(stored_at),
        bool(is_duplicate),
    )
