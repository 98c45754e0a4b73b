"""What was posted to a receiver that never reports: one line before each post, one after, on disk before anything goes.

refused                 it was not posted at all, for a reason of ours
intent                  it may have gone out: without an answer after it, nobody can say, and that stays UNKNOWN
answer                  received, refused, or unknown
cancelled, triggered    legs of an entry that are assumed to have ended
settled                 a person looked at the broker and says what became of an UNKNOWN order

The file is only ever appended to. A line cut off by a kill had not been synced, so nothing had gone out for it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from signal_contract.errors import StorageFailed

SENT_FILE = "webhook_sent.jsonl"


class SentLog:
    """One writer, the engine; `settle` may come from another process, so `news()` is read again and again.

    `read_to` is how far the engine has taken the file in, in bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self.read_to = 0

    def open(self) -> None:
        """Make the file, mode 0600, and heal its end. Raises StorageFailed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            self._heal()
            _sync_folder(self.path.parent)
        except OSError as error:
            raise _failed(self.path, error) from error
        self.read_to = 0

    def close(self) -> None:
        """Let go of the file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def news(self) -> tuple[list[dict[str, Any]], int]:
        """The records after `read_to`, oldest first, and where they end. Raises StorageFailed."""
        try:
            if self.path.stat().st_size == self.read_to:
                return [], self.read_to
            with self.path.open("rb") as file:
                file.seek(self.read_to)
                content = file.read()
        except OSError as error:
            raise _failed(self.path, error) from error
        whole = content[: content.rfind(b"\n") + 1]
        return [_record(self.path, line) for line in whole.splitlines()], self.read_to + len(whole)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line and wait until it is on disk. Raises StorageFailed: then nothing may be posted."""
        if self._handle is None:
            raise StorageFailed(f"{self.path} is not open")
        _append(self.path, self._handle, record)

    def _heal(self) -> None:
        """Cut off a last line that a kill left unfinished."""
        if self._handle is None:
            return
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end != len(content):
            os.ftruncate(self._handle, end)
            os.fsync(self._handle)


def settle(path: Path, record: Mapping[str, Any]) -> None:
    """Add what a person found at the broker; the engine reads it the next time it is asked. Raises StorageFailed."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        _append(path, handle, record)
    finally:
        os.close(handle)


def _append(path: Path, handle: int, record: Mapping[str, Any]) -> None:
    line = orjson.dumps(record) + b"\n"
    try:
        if os.write(handle, line) != len(line):
            raise OSError("the line was written in part only")
        os.fsync(handle)
    except OSError as error:
        raise _failed(path, error) from error


def _record(path: Path, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise StorageFailed(
            f"{path} holds a line that is none of ours", hint="Restore it from a backup: it says what was ordered."
        )
    return record


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot, and does not need to
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"{path} cannot be used: {error.strerror or error}")
