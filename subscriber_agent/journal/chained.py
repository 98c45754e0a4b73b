"""The decision log's part of the journal: adds a row to the hash chain, reads it back, chains what an old log holds.

Knows statements and hashes; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import orjson

from subscriber_agent.chain import Break, BreakKind, ChainRow, Head, row_hash

if TYPE_CHECKING:
    from subscriber_agent.journal.database import Database

CHAINED_SINCE = 2
_HEAD, _ANCHOR = "decision_head", "decision_anchor"
_END = ("meta:" + _HEAD, "decisions")
_SAID = ("signal_id", "revision", "verdict", "code", "attempt")
# The first attempt is not told in the row's document, as it was before there were others.
_COLUMNS = f"number, stream_seq, config_hash, body, prev_hash, hash, {', '.join(_SAID[:4])}, nullif(attempt, 1)"
_OLD = ("signal_id", "revision", "verdict", "code", "body", "config_hash", "decided_at")
_THIS = "signal_id = ? AND revision = ?"
_PAGE = 1000

Rows = Callable[..., list[tuple[Any, ...]]]
Run = Callable[..., int]


def chain_head(rows: Rows) -> Head:
    """Where the log says that it ends. Raises ValueError when its note cannot be read."""
    found = rows("SELECT value FROM meta WHERE key = ?", _HEAD)
    return Head.from_text(found[0][0] if found else None)


def chain_anchor(rows: Rows) -> Head:
    """The last row that was removed for its age: the first of the rest follows on it. Raises ValueError."""
    found = rows("SELECT value FROM meta WHERE key = ?", _ANCHOR)
    return Head.from_text(found[0][0] if found else None)


def write_anchor(run: Run, anchor: Head) -> None:
    """Note the last row that is about to be removed."""
    _note(run, _ANCHOR, anchor)


def _note(run: Run, key: str, head: Head) -> None:
    run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, head.text)


def append(db: Database, decision: dict[str, Any], stream_seq: int | None = None) -> bool:
    """Add a decision, its columns by name, to the chain; False, and no change, when there is one on this attempt.

    `stream_seq` is its signal's, None to look it up.
    """
    head, last = _end(db)
    if stream_seq is None:
        stream_seq = _stream_seq(db.rows, decision)
    row = _row_after(head, last + 1, stream_seq, decision)
    # Its number is free: what stands against it is another decision on this attempt.
    if not db.run(_insert("INSERT OR IGNORE INTO", row), *row.values()):
        return False
    _end_at(db, Head(last + 1, row["hash"]))
    return True


def append_all(db: Database, decisions: Sequence[dict[str, Any]], stream_seqs: Sequence[int]) -> list[bool]:
    """Add first attempts, no two on the same revision, to the chain in their order; False for each that has one.

    `stream_seqs` are their signals', at the same places.
    """
    known = _first_attempts(db.rows, [each["signal_id"] for each in decisions])
    is_new = [(each["signal_id"], each["revision"]) not in known for each in decisions]
    head, number = _end(db)
    rows: list[dict[str, Any]] = []
    for decision, stream_seq in zip(compress(decisions, is_new), compress(stream_seqs, is_new), strict=True):
        number += 1
        rows.append(_row_after(head, number, stream_seq, decision))
        head = Head(number, rows[-1]["hash"])
    if rows:
        db.run_all(_insert("INSERT INTO", rows[0]), [tuple(each.values()) for each in rows])
        _end_at(db, head)
    return is_new


def _first_attempts(rows: Rows, signal_ids: Sequence[str]) -> set[tuple[str, int]]:
    found = rows(
        "SELECT signal_id, revision FROM decisions WHERE attempt = 1 AND signal_id IN (SELECT value FROM json_each(?))",
        orjson.dumps(signal_ids).decode(),
    )
    return {(signal_id, revision) for signal_id, revision in found}


def _end(db: Database) -> tuple[Head, int]:
    """The end of the chain, and the highest number that is taken."""
    head, last = db.recalled(_END, _HEAD, lambda: (chain_head(db.rows), _last_number(db.rows)))
    # A row that somebody put behind the end must not keep a decision from being written; `first_break` names it.
    return head, max(head.number, last)


def _end_at(db: Database, head: Head) -> None:
    _note(db.run, _HEAD, head)
    db.remember(_END, _HEAD, (head, head.number))


def _row_after(head: Head, number: int, stream_seq: int, decision: dict[str, Any]) -> dict[str, Any]:
    digest = row_hash(head.hash, number, stream_seq, decision["config_hash"], decision["body"])
    return {**decision, "number": number, "stream_seq": stream_seq, "prev_hash": head.hash, "hash": digest}


def _insert(verb: str, row: dict[str, Any]) -> str:
    return f"{verb} decisions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"


def _stream_seq(rows: Rows, decision: dict[str, Any]) -> int:
    found = rows(f"SELECT stream_seq FROM signals WHERE {_THIS}", decision["signal_id"], decision["revision"])  # noqa: S608
    return int(found[0][0]) if found else 0


def _last_number(rows: Rows) -> int:
    return int(rows("SELECT coalesce(max(number), 0) FROM decisions")[0][0])


def chain_old_decisions(db: Database) -> None:
    """Chain the decisions of a journal from before there was a chain, in the order they were written."""
    after = 0
    while page := db.rows(
        f"SELECT rowid, {', '.join(_OLD)} FROM decisions_1 WHERE rowid > ? ORDER BY rowid LIMIT ?",  # noqa: S608
        after,
        _PAGE,
    ):
        for rowid, *values in page:
            append(db, dict(zip(_OLD, values, strict=True)))
            after = rowid
    db.run("DROP TABLE decisions_1")


def chain_rows(rows: Rows, *, after: int = -(2**63)) -> Iterator[ChainRow]:
    """The log in the order of its numbers, from behind `after` on; read in pages, each a look of its own."""
    while page := rows(f"SELECT {_COLUMNS} FROM decisions WHERE number > ? ORDER BY number LIMIT ?", after, _PAGE):  # noqa: S608
        for row in page:
            yield _chain_row(row)
        after = page[-1][0]


def latest_rows(rows: Rows, limit: int) -> list[ChainRow]:
    """The last `limit` rows, oldest first."""
    found = rows(f"SELECT {_COLUMNS} FROM decisions ORDER BY number DESC LIMIT ?", limit)  # noqa: S608
    return [_chain_row(row) for row in reversed(found)]


def _chain_row(row: tuple[Any, ...]) -> ChainRow:
    columns = dict(zip(_SAID, row[6:], strict=True))
    # A body that was overwritten with text is changed, not a reason to fall over.
    body = row[3] if isinstance(row[3], bytes) else str(row[3]).encode()
    return ChainRow(row[0], row[1], row[2], body, row[4], row[5], columns)


def forgotten(rows: Rows) -> Break | None:
    """A signal that is marked as decided although the log has no decision on it; the earliest one."""
    found = rows(
        "SELECT s.signal_id, s.revision, s.stream_seq FROM signals s LEFT JOIN decisions d USING (signal_id, revision)"
        " WHERE s.is_decided = 1 AND d.number IS NULL ORDER BY s.id LIMIT 1"
    )
    if not found:
        return None
    signal_id, revision, stream_seq = found[0]
    text = f"signal {signal_id} revision {revision} (stream sequence {stream_seq}) was decided, and no row says how"
    return Break(0, BreakKind.UNDECIDED, text)
