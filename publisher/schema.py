"""The outbox's table, as SQL texts. Knows no database."""

from __future__ import annotations

_DERIVED = (
    "ALTER TABLE outbox ADD COLUMN signed_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE outbox ADD COLUMN signal_id TEXT"
    " GENERATED ALWAYS AS (substr(message_id, 1, instr(message_id, '.') - 1)) VIRTUAL",
    "ALTER TABLE outbox ADD COLUMN revision INTEGER"
    " GENERATED ALWAYS AS (CAST(substr(message_id, instr(message_id, '.') + 1) AS INTEGER)) VIRTUAL",
    "CREATE INDEX outbox_signal ON outbox (signal_id, revision)",
)
_TABLE = (
    """
    CREATE TABLE outbox (
        position     INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id   TEXT NOT NULL UNIQUE,
        subject      TEXT NOT NULL,
        payload      BLOB NOT NULL,
        signature    TEXT NOT NULL,
        submitted_at TEXT NOT NULL,
        state        TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'stored')),
        sequence     INTEGER,
        is_duplicate INTEGER,
        stored_at    TEXT,
        CHECK ((state = 'stored') = (sequence IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX outbox_pending ON outbox (position) WHERE state = 'pending'",
)
# From schema version n to n + 1.
MIGRATIONS = (_TABLE, _DERIVED)
SCHEMA = len(MIGRATIONS)

# An entry's columns, and everything that is carried over into a new file.
ENTRY = "message_id, subject, payload, signature, signed_by"
CARRIED = f"{ENTRY}, submitted_at, state, sequence, is_duplicate, stored_at"

# Walks back over positions, which rise with time, so it needs no index. After the clock was set back it stops early:
# that lets a signal pass which would have been merged or capped.
RECENT = (
    f"SELECT {ENTRY}, submitted_at, sequence FROM outbox WHERE position >"  # noqa: S608
    " ifnull((SELECT position FROM outbox WHERE submitted_at < ? ORDER BY position DESC LIMIT 1), 0)"
    " ORDER BY position DESC LIMIT ?"
)

# The first receipt counts. The second value is a JSON array of [message id, sequence, whether it is a duplicate].
STORED = (
    "UPDATE outbox SET state = 'stored', stored_at = ?, sequence = json_extract(told.value, '$[1]'),"
    " is_duplicate = json_extract(told.value, '$[2]')"
    " FROM json_each(?) AS told WHERE message_id = json_extract(told.value, '$[0]') AND state = 'pending'"
)

# Behind a message id that is not known (any more): from the beginning.
PENDING = (
    f"SELECT position, {ENTRY} FROM outbox WHERE state = 'pending' AND position >"  # noqa: S608
    " ifnull((SELECT position FROM outbox WHERE message_id = ?), 0) ORDER BY position LIMIT ?"
)


def inserting(rows: int) -> str:
    """The statement that keeps so many entries and returns message id and position of those that were not known."""
    values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)
    return (
        f"INSERT INTO outbox ({ENTRY}, submitted_at) VALUES {values}"  # noqa: S608
        " ON CONFLICT (message_id) DO NOTHING RETURNING message_id, position"
    )
