"""The decision log as a hash chain: each row names the one before it, so that a changed log shows. Pure.

It holds against mistakes, repairs by hand and second thoughts. Whoever can write the whole file and knows this module
can make the chain anew; a head that was noted elsewhere (`audit verify` shows it) holds against that too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: how many rows it has, and the hash of the last one."""

    number: int = 0
    hash: str = GENESIS

    @classmethod
    def from_text(cls, text: str | None) -> Head:
        """Read what `text` made; None is the empty chain. Raises ValueError for anything else."""
        if text is None:
            return cls()
        number, _, digest = text.partition(" ")
        return cls(int(number), digest)

    @property
    def text(self) -> str:
        return f"{self.number} {self.hash}"


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A decision as it stands in the log. `columns` repeat parts of `body` for searching, and must agree with it."""

    number: int
    stream_seq: int
    config_hash: str
    body: bytes
    prev_hash: str
    hash: str
    columns: Mapping[str, Any] = field(default_factory=dict)


class BreakKind(StrEnum):
    """MISSING: rows are gone before this one; CHANGED: the row is not what was written; MISPLACED: it stands where
    another one was written (moved or inserted); UNDECIDED: a signal is marked as decided, and no row says how.
    """

    MISSING = "missing"
    CHANGED = "changed"
    MISPLACED = "misplaced"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Break:
    """The first row that does not hold: its number in the log, and what is wrong with it."""

    number: int
    kind: BreakKind
    detail: str


def row_hash(prev_hash: str, number: int, stream_seq: int, config_hash: str, body: bytes) -> str:
    """SHA-256 in hex over all that a row says. Each part is preceded by its length: no two rows share their bytes."""
    parts = (prev_hash.encode(), str(number).encode(), str(stream_seq).encode(), config_hash.encode(), body)
    return hashlib.sha256(b"".join([len(part).to_bytes(8, "big") + part for part in parts])).hexdigest()


def first_break(rows: Iterable[ChainRow], head: Head, anchor: Head = Head()) -> Break | None:
    """The first row, in the order of their numbers, that breaks the chain; None when all of it holds up to `head`.

    `anchor` is the last row that was removed for its age: the chain is checked from behind it on.
    """
    last = anchor
    for row in rows:
        found = _break_at(row, last)
        if found is not None:
            return found
        last = Head(row.number, row.hash)
    if last.number < head.number:
        return Break(last.number + 1, BreakKind.MISSING, f"the log should end at row {head.number}")
    if last != head:
        at = head.number + 1 if last.number > head.number else last.number
        return Break(at, BreakKind.MISPLACED, "the log's own note of its end says otherwise")
    return None


def _break_at(row: ChainRow, last: Head) -> Break | None:
    if row.number > last.number + 1:
        until = f" to {row.number - 1}" if row.number > last.number + 2 else ""
        return Break(last.number + 1, BreakKind.MISSING, f"row {last.number + 1}{until} is gone")
    if row.number <= last.number:
        return Break(row.number, BreakKind.MISPLACED, f"row {row.number} was never written at this place")
    if row_hash(row.prev_hash, row.number, row.stream_seq, row.config_hash, row.body) != row.hash:
        return Break(row.number, BreakKind.CHANGED, f"row {row.number} is not what was written")
    if row.prev_hash != last.hash:
        return Break(row.number, BreakKind.MISPLACED, f"row {row.number} does not follow on row {last.number}")
    wrong = [name for name, value in row.columns.items() if value != _said(row.body, name)]
    if wrong:
        return Break(row.number, BreakKind.CHANGED, f"row {row.number}: {', '.join(wrong)} is not what was written")
    return None


def _said(body: bytes, name: str) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document.get(name) if isinstance(document, dict) else None
