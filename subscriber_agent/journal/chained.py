"""The decision log's part of the journal: adds a row to the hash chain, reads it back, chains what an old log holds.

Knows statements and hashes; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from subscriber_agent.chain import Break, BreakKind, ChainRow, Head, row_hash

CHAINED_SINCE = 2
_HEAD = "decision_head"
_COLUMNS = "number, stream_seq, config_hash, body, prev_hash, hash, signal_id, revision, verdict, code"
_PAGE = 1000

Rows = Callable[..., list[tuple[Any, ...]]]
Run = Callable[..., int]


def chain_head(rows: Rows) -> Head:
    """Where the log says that it ends. Raises ValueError when its note cannot be read."""
    found = rows("SELECT value FROM meta WHERE key = ?", _HEAD)
    return Head.from_text(found[0][0] if found else None)


def append(
    rows: Rows,
    run: Run,
    *,
    signal_id: str,
    revision: int,
    verdict: str,
    code: str | None,
    body: bytes,
    config_hash: str,
    decided_at: str,
) -> bool:
    """Add a decision to the chain; False, and no change, when this revision has one."""
    if rows("SELECT 1 FROM decisions WHERE signal_id = ? AND revision = ?", signal_id, revision):
        return False
    head = chain_head(rows)
    # A row that somebody put behind the end must not keep a decision from being written; `first_break` names it.
    number = max(head.number, int(rows("SELECT coalesce(max(number), 0) FROM decisions")[0][0])) + 1
    found = rows("SELECT stream_seq FROM signals WHERE signal_id = ? AND revision = ?", signal_id, revision)
    stream_seq = int(found[0][0]) if found else 0
    digest = row_hash(head.hash, number, stream_seq, config_hash, body)
    run(
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        number,
        stream_seq,
        signal_id,
        revision,
        verdict,
        code,
        body,
        config_hash,
        decided_at,
        head.hash,
        digest,
    )
    run(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        _HEAD,
        Head(number, digest).text,
    )
    return True


def chain_old_decisions(rows: Rows, run: Run) -> None:
    """Chain the decisions of a journal from before there was a chain, in the order they were written."""
    after = 0
    while page := rows(
        "SELECT rowid, signal_id, revision, verdict, code, body, config_hash, decided_at FROM decisions_1"
        " WHERE rowid > ? ORDER BY rowid LIMIT ?",
        after,
        _PAGE,
    ):
        for rowid, signal_id, revision, verdict, code, body, config_hash, decided_at in page:
            append(
                rows,
                run,
                signal_id=signal_id,
                revision=revision,
                verdict=verdict,
                code=code,
                body=body,
                config_hash=config_hash,
                decided_at=decided_at,
            )
            after = rowid
    run("DROP TABLE decisions_1")


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
    columns = dict(zip(("signal_id", "revision", "verdict", "code"), row[6:], strict=True))
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
