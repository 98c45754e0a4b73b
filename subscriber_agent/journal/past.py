"""The journal's signals of the past, in stream order, for a replay beside a running agent. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import instant_to_text

_PAGE = 500


class PastSignals:
    """Signals published at or after `since` (None: all), as `(stream sequence, wire bytes)`.

    What arrives later is not part of it: two passes over one journal see the same signals. Close it after use.
    """

    def __init__(self, path: Path, since: datetime | None = None) -> None:
        """Open the journal read-only. Raises NotFound before the agent's first run, StorageFailed."""
        self._db = Database.open(path, read_only=True)
        try:
            rows = self._db.rows(
                "SELECT id FROM signals WHERE ?1 IS NULL OR published_at >= ?1 ORDER BY stream_seq, id",
                None if since is None else instant_to_text(since),
            )
        except BaseException:
            self._db.close()
            raise
        # The numbers only, 8 bytes each: no index gives the order, and sorting anew for each page would be quadratic.
        self._ids: list[int] = [row[0] for row in rows]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for start in range(0, len(self._ids), _PAGE):
            page = self._ids[start : start + _PAGE]
            marks = ", ".join("?" * len(page))
            rows = self._db.rows(f"SELECT id, stream_seq, payload FROM signals WHERE id IN ({marks})", *page)  # noqa: S608
            found = {row[0]: (row[1], row[2]) for row in rows}
            yield from (found[each] for each in page)

    def close(self) -> None:
        """Close the file; the agent that owns it is not disturbed."""
        self._db.close()
