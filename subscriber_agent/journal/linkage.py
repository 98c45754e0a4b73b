"""What the running agent notes about its link for `status` in another process: state, changes, place in the stream."""

from __future__ import annotations

from datetime import datetime

import orjson

from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import LinkChange, LinkRow, Progress, instant_to_text, maybe_instant

MAX_CHANGES = 1000
_PROGRESS = "progress"


def write_link(db: Database, state: str, reason: str, at: datetime) -> None:
    """Note the link's state and why; the same state again changes the reason only. The last 1,000 changes are kept."""
    with db.transaction():
        known = db.rows("SELECT state, reason FROM link_state")
        if known == [(state, reason)]:
            return
        if known and known[0][0] == state:
            db.run("UPDATE link_state SET reason = ?", reason)
        else:
            db.run(
                "INSERT OR REPLACE INTO link_state (id, state, since, reason) VALUES (1, ?, ?, ?)",
                state,
                instant_to_text(at),
                reason,
            )
        db.run("INSERT INTO link_changes (state, reason, at) VALUES (?, ?, ?)", state, reason, instant_to_text(at))
        db.run("DELETE FROM link_changes WHERE id <= (SELECT max(id) FROM link_changes) - ?", MAX_CHANGES)


def link_changes(db: Database, limit: int) -> list[LinkChange]:
    """The last changes of the link, newest first."""
    rows = db.rows("SELECT state, reason, at FROM link_changes ORDER BY id DESC LIMIT ?", limit)
    return [LinkChange(state, reason, datetime.fromisoformat(at)) for state, reason, at in rows]


def link_row(db: Database, last_sequence: int) -> LinkRow | None:
    """The link's state, with what was last received; None before the first connection."""
    rows = db.rows("SELECT state, since, reason FROM link_state")
    if not rows:
        return None
    latest = db.rows(
        "SELECT max(at) FROM (SELECT * FROM (SELECT received_at AS at FROM signals ORDER BY id DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT received_at FROM controls ORDER BY id DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT received_at FROM parked ORDER BY id DESC LIMIT 1))"
    )
    state, since, reason = rows[0]
    return LinkRow(state, datetime.fromisoformat(since), reason, last_sequence, maybe_instant(latest[0][0]))


def write_progress(db: Database, position: int, pending: int | None, at: datetime) -> None:
    """Note the durable's ack floor (a stream sequence) and how many messages wait there (None: not known)."""
    text = orjson.dumps({"position": position, "pending": pending, "at": instant_to_text(at)}).decode()
    with db.transaction():
        db.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", _PROGRESS, text)


def last_progress(db: Database) -> Progress | None:
    """What was last measured; None when nothing was."""
    rows = db.rows("SELECT value FROM meta WHERE key = ?", _PROGRESS)
    if not rows:
        return None
    found = orjson.loads(rows[0][0])
    return Progress(found["position"], found["pending"], datetime.fromisoformat(found["at"]))
