"""Reads a journal through without changing it: whether its structure is whole."""

from __future__ import annotations

from pathlib import Path

from subscriber_agent.journal.database import Database

# Reading through more than this takes longer than the doctor has (about 1 GB a second).
LARGEST_READ_BYTES = 2 << 30


def first_damage(path: Path) -> str | None:
    """What is wrong with the file's structure, None when nothing is. Blocks; beside a running agent it only reads.

    Raises NotFound for one that is not there yet, StorageFailed for one that cannot be opened.
    """
    database = Database.open(path, read_only=True, is_owner=False)
    try:
        answer = database.rows("PRAGMA quick_check(1)")
    finally:
        database.close()
    return None if answer == [("ok",)] else str(answer[0][0])
