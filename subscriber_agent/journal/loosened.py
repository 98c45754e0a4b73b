"""What let more through, as a hash chain of its own beside the decisions: config changes, resumes, resets, approvals.

Never pruned. Knows statements and hashes; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from subscriber_agent.chain import Break, ChainRow, Head, first_break, row_hash
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import Loosening, instant_to_text

CONFIG_CHANGED = "config_changed"
_HEAD = "loosened_head"
_COLUMNS = "number, type, at, config_hash, body, hash"
_PAGE = 1000


def write(db: Database, body: Mapping[str, Any], config_hash: str, at: datetime) -> None:
    """Add a document to the chain; its `type` says what happened, `config_hash` under which config from now on."""
    head = loosened_head(db)
    # A row that somebody put behind the end must not keep this one from being written; `loosened_break` names it.
    number = max(head.number, int(db.rows("SELECT coalesce(max(number), 0) FROM loosened")[0][0])) + 1
    document = orjson.dumps(body)
    digest = row_hash(head.hash, number, 0, config_hash, document)
    db.run(
        "INSERT INTO loosened VALUES (?, ?, ?, ?, ?, ?, ?)",
        number,
        str(body["type"]),
        config_hash,
        document,
        instant_to_text(at),
        head.hash,
        digest,
    )
    db.run(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        _HEAD,
        Head(number, digest).text,
    )


def loosened_head(db: Database) -> Head:
    """Where the chain says that it ends. Raises ValueError when its note cannot be read."""
    found = db.rows("SELECT value FROM meta WHERE key = ?", _HEAD)
    return Head.from_text(found[0][0] if found else None)


def loosened_break(db: Database) -> Break | None:
    """The first row that does not hold; None when all of it does. Raises ValueError like `loosened_head`."""
    return first_break(_chain(db), loosened_head(db))


def _chain(db: Database) -> Iterator[ChainRow]:
    after = -(2**63)
    while page := db.rows(
        "SELECT number, config_hash, body, prev_hash, hash, type FROM loosened WHERE number > ? ORDER BY number"
        " LIMIT ?",
        after,
        _PAGE,
    ):
        for number, config_hash, body, prev_hash, digest, kind in page:
            document = body if isinstance(body, bytes) else str(body).encode()
            yield ChainRow(number, 0, config_hash, document, prev_hash, digest, {"type": kind})
        after = page[-1][0]


def latest(db: Database, limit: int, kind: str | None = None) -> list[Loosening]:
    """The last rows, newest first; optionally of one type."""
    rows = db.rows(
        f"SELECT {_COLUMNS} FROM loosened WHERE ?1 IS NULL OR type = ?1 ORDER BY number DESC LIMIT ?2",  # noqa: S608
        kind,
        limit,
    )
    return [
        Loosening(number, what, datetime.fromisoformat(at), config_hash, _document(body), digest)
        for number, what, at, config_hash, body, digest in rows
    ]


def _document(body: Any) -> Mapping[str, Any]:
    # A damaged row is shown as far as it can be read; `audit verify` says what is wrong with it.
    try:
        found = orjson.loads(body)
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def last_config_hash(db: Database) -> str | None:
    """The hash of the config that counted last: by its journaled change, else by the last decision; None: neither."""
    changed = db.rows("SELECT config_hash FROM loosened WHERE type = ? ORDER BY number DESC LIMIT 1", CONFIG_CHANGED)
    found = changed or db.rows("SELECT config_hash FROM decisions WHERE config_hash <> '' ORDER BY number DESC LIMIT 1")
    return str(found[0][0]) if found else None
