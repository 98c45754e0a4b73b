"""What waits for the friend's word: asked by the agent, answered beside it, decided again once.

Knows statements; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import ApprovalRow, ApprovalState, Stored, instant_to_text, maybe_instant
from subscriber_agent.journal.shapes import stored_from
from subscriber_agent.risk.decision import OrderPlan

_COLUMNS = "signal_id, revision, plan, state, asked_at, expires_at, answered_at"
# More than any friend answers in the hours for which an order can still be open.
_REMEMBERED = 1000


def ask(
    db: Database, signal_id: str, revision: int, plan: OrderPlan, expires_at: datetime, at: datetime
) -> ApprovalRow:
    """Put a planned order before the friend; what was asked before stays as it is. Returns what is there."""
    db.run(
        f"INSERT OR IGNORE INTO approvals ({_COLUMNS}) VALUES (?, ?, ?, 'waiting', ?, ?, NULL)",  # noqa: S608
        signal_id,
        revision,
        orjson.dumps(plan.as_dict()),
        instant_to_text(at),
        instant_to_text(expires_at),
    )
    return one(db, signal_id, revision)


def one(db: Database, signal_id: str, revision: int) -> ApprovalRow:
    """What was asked about a revision. Raises NotFound."""
    rows = db.rows(f"SELECT {_COLUMNS} FROM approvals WHERE signal_id = ? AND revision = ?", signal_id, revision)  # noqa: S608
    if not rows:
        raise NotFound(
            f"nothing waits for your word on signal {signal_id} revision {revision}",
            hint="`subscriber-agent approvals --all` shows what was asked.",
        )
    return _row(rows[0])


def answer(db: Database, signal_id: str, revision: int, *, approved: bool, at: datetime) -> ApprovalRow:
    """Give the friend's word, once and in time. Raises NotFound; Conflict with the reason why it comes too late."""
    asked = one(db, signal_id, revision)
    _check_is_open(asked, at)
    state = ApprovalState.APPROVED if approved else ApprovalState.REJECTED
    _set(db, [asked], state, at)
    return one(db, signal_id, revision)


def _check_is_open(asked: ApprovalRow, at: datetime) -> None:
    name = f"signal {asked.signal_id[:8]} revision {asked.revision}"
    if asked.state is ApprovalState.EXPIRED or (asked.state is ApprovalState.WAITING and at >= asked.expires_at):
        raise Conflict(
            f"{name} expired at {asked.expires_at.isoformat(timespec='seconds')}",
            hint="Nothing is ordered for it. `subscriber-agent approvals` shows what still waits.",
        )
    if asked.state is not ApprovalState.WAITING:
        word = "rejected" if asked.state is ApprovalState.REJECTED else "approved"
        when = "" if asked.answered_at is None else f" at {asked.answered_at.isoformat(timespec='seconds')}"
        raise Conflict(
            f"{name} was {word} already{when}",
            hint="An answer is final. `subscriber-agent explain` shows what became of it.",
        )


def finish(db: Database, signal_id: str, revision: int) -> None:
    """Note that an approved signal was decided again."""
    db.run(
        "UPDATE approvals SET state = 'done' WHERE signal_id = ? AND revision = ? AND state = 'approved'",
        signal_id,
        revision,
    )


def expire(db: Database, now: datetime) -> list[ApprovalRow]:
    """Close what nobody answered in time; returns it, the first asked first."""
    due = [
        _row(row)
        for row in db.rows(
            f"SELECT {_COLUMNS} FROM approvals WHERE state = 'waiting' AND expires_at <= ? ORDER BY asked_at",  # noqa: S608
            instant_to_text(now),
        )
    ]
    _set(db, due, ApprovalState.EXPIRED, now)
    return [one(db, each.signal_id, each.revision) for each in due]


def listed(db: Database, state: str | None, limit: int) -> list[ApprovalRow]:
    """What was asked, newest first; optionally only what is in one state."""
    rows = db.rows(
        f"SELECT {_COLUMNS} FROM approvals WHERE ?1 IS NULL OR state = ?1 ORDER BY asked_at DESC, rowid DESC LIMIT ?2",  # noqa: S608
        state,
        limit,
    )
    return [_row(row) for row in rows]


def said_yes(db: Database) -> frozenset[tuple[str, int]]:
    """The revisions that the friend approved, decided again or not; of very many the latest."""
    rows = db.rows(
        "SELECT signal_id, revision FROM approvals WHERE state IN ('approved', 'done') ORDER BY asked_at DESC LIMIT ?",
        _REMEMBERED,
    )
    return frozenset((str(signal_id), int(revision)) for signal_id, revision in rows)


def due(db: Database) -> list[Stored]:
    """The approved signals that were not decided again yet, in the order in which they were asked about."""
    rows = db.rows(
        "SELECT s.stream_seq, s.subject, s.payload, s.received_at FROM approvals a JOIN signals s"
        " USING (signal_id, revision) WHERE a.state = 'approved' ORDER BY a.asked_at, a.rowid"
    )
    return [stored_from(row) for row in rows]


def _set(db: Database, rows: Iterable[ApprovalRow], state: ApprovalState, at: datetime) -> None:
    for each in rows:
        db.run(
            "UPDATE approvals SET state = ?, answered_at = ? WHERE signal_id = ? AND revision = ?",
            state.value,
            instant_to_text(at),
            each.signal_id,
            each.revision,
        )


def _row(row: tuple[Any, ...]) -> ApprovalRow:
    signal_id, revision, plan, state, asked_at, expires_at, answered_at = row
    try:
        planned = OrderPlan.from_dict(orjson.loads(plan))
    except (KeyError, ValueError) as error:
        raise StorageFailed(f"the plan that waits for {signal_id} cannot be read: {error}") from error
    asked, expires = datetime.fromisoformat(asked_at), datetime.fromisoformat(expires_at)
    return ApprovalRow(signal_id, revision, planned, ApprovalState(state), asked, expires, maybe_instant(answered_at))
