"""One identity, one agent on this machine: the lock on its data directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from signal_contract.errors import AlreadyRunning, StorageFailed

LOCK_FILE = "agent.lock"


@contextmanager
def held(data: Path, user: str, *, wait_s: float = 0) -> Iterator[None]:
    """Hold this identity: two agents on one durable would split its signals between them.

    `wait_s`: whoever only looks at the lock, or asks the engine, has it for a moment. Makes the directory where it is
    missing. Raises AlreadyRunning or StorageFailed.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(data / LOCK_FILE, mode=0o600)
        lock.acquire(timeout=wait_s)
    except filelock.Timeout as error:
        raise AlreadyRunning(f"another agent runs as {user} with {data}") from error
    except OSError as error:
        raise StorageFailed(f"cannot use {data}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
