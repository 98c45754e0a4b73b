"""Reports to the operator that wait in the journal until they were sent. Bounded: the oldest make room."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic import ValidationError

from signal_contract.errors import StorageFailed
from signal_contract.feedback import Feedback, feedback_bytes
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import instant_to_text

MAX_WAITING = 10_000
DROPPED = "feedback_dropped"


def add_reports(db: Database, reports: Iterable[Feedback]) -> None:
    """Add reports behind those that wait; beyond MAX_WAITING the oldest are dropped. Joins the caller's transaction."""
    with db.transaction():
        rows = [(each.feedback_id, each.kind.value, feedback_bytes(each), instant_to_text(each.at)) for each in reports]
        if db.run_all("INSERT OR IGNORE INTO feedback (id, kind, body, created_at) VALUES (?, ?, ?, ?)", rows):
            _make_room(db)


def _make_room(db: Database) -> None:
    # Their numbers rise one by one: counting them all with every report would cost the more the more wait.
    ((first, last),) = db.rows("SELECT (SELECT min(number) FROM feedback), (SELECT max(number) FROM feedback)")
    if last - first < MAX_WAITING or (excess := waiting_count(db) - MAX_WAITING) <= 0:
        return
    db.run("DELETE FROM feedback WHERE number IN (SELECT number FROM feedback ORDER BY number LIMIT ?)", excess)
    db.run(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + excluded.value",
        DROPPED,
        str(excess),
    )


def waiting_reports(db: Database, limit: int, skipping: Collection[str]) -> list[Feedback]:
    """The reports that wait, oldest first, but for those of the kinds in `skipping`. Raises StorageFailed."""
    marks = ", ".join("?" * len(skipping))
    rows = db.rows(
        f"SELECT body FROM feedback WHERE kind NOT IN ({marks}) ORDER BY number LIMIT ?",  # noqa: S608
        *skipping,
        limit,
    )
    try:
        return [Feedback.model_validate_json(row[0]) for row in rows]
    except ValidationError as error:
        raise StorageFailed(f"{db.path}: a report to the operator cannot be read") from error


def remove_reports(db: Database, ids: Iterable[str]) -> None:
    """Forget reports that the server has stored."""
    with db.transaction():
        db.run_all("DELETE FROM feedback WHERE id = ?", [(each,) for each in ids])


def waiting_count(db: Database) -> int:
    """How many reports wait."""
    return int(db.rows("SELECT count(*) FROM feedback")[0][0])
