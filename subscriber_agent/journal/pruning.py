"""Removes what is old and can never be delivered again. Orders, fills, latches, answers and the operator's words stay.

    goes                     when older than `before`, and …
    ───────────────────────  ─────────────────────────────────────────────────────────────────────────
    a signal, its decisions  decided; gone from the stream; no open order or approval; in the chain's head part
    what was seen            below every sequence that the stream, or a younger message, still has
    a parked message         nothing else: that it was seen stays known

Decisions go from the front of their chain only; the last one that went is the anchor that the rest holds on to. Of
each signal its id and revision stay, so that a copy of it is known for one.
"""

from __future__ import annotations

from datetime import datetime

from subscriber_agent.chain import Head
from subscriber_agent.journal.chained import write_anchor
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import Pruned, instant_to_text

# The first decision that must stay: it is young, or its signal is still in the stream, undecided in part, or ordered.
_FIRST_KEPT = """
SELECT d.number FROM decisions d LEFT JOIN signals s USING (signal_id, revision)
WHERE d.decided_at >= ?1 OR s.received_at >= ?1 OR s.stream_seq >= ?2 OR EXISTS (
  SELECT 1 FROM intents i WHERE i.signal_id = d.signal_id
  AND (i.state IS NULL OR i.state IN ('UNKNOWN', 'ACCEPTED', 'PARTLY_FILLED'))
) OR EXISTS (
  SELECT 1 FROM protections p JOIN intents i ON i.order_id = p.entry_id
  WHERE i.signal_id = d.signal_id AND p.state <> 'CLOSED'
) OR EXISTS (
  SELECT 1 FROM approvals a WHERE a.signal_id = d.signal_id AND a.revision = d.revision
  AND a.state IN ('waiting', 'approved')
) ORDER BY d.number LIMIT 1
"""
_SIGNALS = (
    "FROM signals WHERE is_decided = 1 AND received_at < ?1 AND stream_seq < ?2 AND EXISTS ("
    "SELECT 1 FROM decisions d WHERE d.signal_id = signals.signal_id AND d.revision = signals.revision"
    " GROUP BY d.signal_id HAVING max(d.number) < ?3)"
)
_YOUNGEST = (
    "SELECT min(seq) FROM (SELECT min(stream_seq) AS seq FROM signals WHERE received_at >= ?1 OR is_decided = 0"
    " UNION ALL SELECT min(stream_seq) FROM parked WHERE received_at >= ?1"
    " UNION ALL SELECT min(stream_seq) FROM controls WHERE received_at >= ?1)"
)


def prune(db: Database, *, before: datetime, first_sequence: int | None, dry_run: bool) -> Pruned:
    """Remove in one commit what the table above names, or with `dry_run` only count it.

    `first_sequence` is the stream's; None, not known, keeps everything but parked messages.
    """
    at = instant_to_text(before)
    with db.transaction():
        parked = _gone(db, "FROM parked WHERE received_at < ?1", at, dry_run=dry_run)
        if first_sequence is None:
            return Pruned(0, 0, parked, 0)
        seen_to = min(first_sequence, _smallest(db, _YOUNGEST, at, otherwise=first_sequence))
        seen = _gone(db, "FROM seen WHERE stream_seq < ?1", seen_to, dry_run=dry_run)
        first_kept = _smallest(db, _FIRST_KEPT, at, first_sequence, otherwise=2**62)
        chosen = (at, first_sequence, first_kept)
        if not dry_run:
            db.run(f"INSERT OR IGNORE INTO spent SELECT signal_id, revision, event {_SIGNALS}", *chosen)
        signals = _gone(db, _SIGNALS, *chosen, dry_run=dry_run)
        return Pruned(signals, _decisions_gone(db, first_kept, dry_run=dry_run), parked, seen)


def _decisions_gone(db: Database, first_kept: int, *, dry_run: bool) -> int:
    last = db.rows("SELECT number, hash FROM decisions WHERE number < ? ORDER BY number DESC LIMIT 1", first_kept)
    if last and not dry_run:
        write_anchor(db.run, Head(*last[0]))
    return _gone(db, "FROM decisions WHERE number < ?1", first_kept, dry_run=dry_run)


def _gone(db: Database, what: str, *values: object, dry_run: bool) -> int:
    """Remove the rows that `what` names, or count them."""
    if dry_run:
        return int(db.rows(f"SELECT count(*) {what}", *values)[0][0])
    return db.run(f"DELETE {what}", *values)


def _smallest(db: Database, statement: str, *values: object, otherwise: int) -> int:
    found = db.rows(statement, *values)
    return int(found[0][0]) if found and found[0][0] is not None else otherwise
