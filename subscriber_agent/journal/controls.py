"""The operator's words in the journal: keeps each once, and lets the latest of its scope move that scope's latch.

Knows statements; what a word does to a latch is `control_state`'s. The caller holds the transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from signal_contract.control import Control, Verb
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import ControlRow, instant_to_text
from subscriber_agent.receiving.control_state import Line, Scope, Word, line_from, scope_of, stricter
from subscriber_agent.risk.market import TradingState

_COLUMNS = "stream_seq, control_id, scope, verb, reason, issued_at, received_at"


def keep_control(db: Database, control: Control, stream_seq: int, received_at: datetime) -> int | None:
    """Keep a control message, and set its scope's latch when it is the newest word there.

    None when it was kept; else the sequence at which the same control id came first, and nothing is changed.
    """
    known = db.rows("SELECT stream_seq FROM controls WHERE control_id = ?", control.control_id)
    if known:
        return int(known[0][0])
    scope = scope_of(control)
    word = Word(stream_seq, control.issued_at, control.verb)
    line = _line(db, scope).after(word)
    db.run(
        f"INSERT INTO controls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        stream_seq,
        control.control_id,
        scope.value,
        control.verb.value,
        control.reason,
        instant_to_text(control.issued_at),
        instant_to_text(received_at),
    )
    if line.words and line.words[-1] is word:
        set_latch(db, scope.latch, line.now.value, control.reason, control.issued_at)
    db.after_commit("control.recorded")
    return None


def set_latch(db: Database, name: str, value: str, reason: str, at: datetime) -> None:
    """Set a trading state; it stays over restarts until it is set again."""
    with db.transaction():
        db.run(
            "INSERT INTO latches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET value = excluded.value, reason = excluded.reason, at = excluded.at",
            name,
            value,
            reason,
            instant_to_text(at),
        )


def operator_state_at(db: Database, stream_seq: int) -> TradingState:
    """The stricter of both scopes as they stood just before that place in the stream."""
    lines = db.recalled(("controls",), "lines", lambda: tuple(_line(db, scope) for scope in Scope))
    return stricter(*[line.at(stream_seq) for line in lines])


def latest_controls(db: Database, limit: int) -> list[ControlRow]:
    """The operator's last words, newest received first."""
    rows = db.rows(f"SELECT {_COLUMNS} FROM controls ORDER BY id DESC LIMIT ?", limit)  # noqa: S608
    return [_control_row(row) for row in rows]


def _line(db: Database, scope: Scope) -> Line:
    rows = db.rows(
        "SELECT stream_seq, issued_at, verb FROM controls WHERE scope = ? AND verb <> 'notice' ORDER BY id", scope.value
    )
    return line_from(Word(seq, datetime.fromisoformat(at), Verb(verb)) for seq, at, verb in rows)


def _control_row(row: tuple[Any, ...]) -> ControlRow:
    seq, control_id, scope, verb, reason, issued_at, received_at = row
    at, received = datetime.fromisoformat(issued_at), datetime.fromisoformat(received_at)
    return ControlRow(seq, control_id, scope, Verb(verb), reason, at, received)
