"""The publisher's sign of life every 15 s, and the same state in a file for programs on this machine.

One publisher of an outbox sends them at a time, held by `<outbox>.heartbeat.lock`: two with starts of their own would
refute each other. Another one takes over when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import get_ident
from typing import Any

import orjson
from filelock import FileLock, Timeout

from publisher.circuit import CircuitState
from publisher.relay import Span
from signal_contract.errors import StorageFailed
from signal_contract.heartbeat import ClassifierState, Heartbeat, OutboxState

STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class Health:
    """How the publisher is doing: its way to the stream and why, what waits, how far the stream reaches."""

    state: CircuitState
    reason: str
    waiting: int
    span: Span

    def as_dict(self, at: datetime) -> dict[str, Any]:
        """The content of `state.json`; older than a few heartbeats it says that nobody sends any more."""
        return {
            "at": at.isoformat(),
            "state": self.state.value,
            "reason": self.reason,
            "waiting": self.waiting,
            "first_sequence": self.span.first,
            "last_sequence": self.span.last,
            "pid": os.getpid(),
        }


class Pulse:
    """Numbers the heartbeats of this publisher; `is_ours()` says whether it is the one to send them."""

    def __init__(self, outbox: Path, interval_s: float, clock: Callable[[], datetime]) -> None:
        self._lock = FileLock(f"{outbox}.heartbeat.lock", mode=0o600, thread_local=False)
        self._interval_s = max(1, round(interval_s))
        self._clock = clock
        self._started_at: datetime | None = None
        self._counter = 0

    def is_ours(self) -> bool:
        """Take the lock unless another publisher has it; it is kept until `close`. Raises StorageFailed."""
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise StorageFailed(f"cannot lock {self._lock.lock_file}: {error.strerror or error}") from error
        # Not the start of the process: whoever takes over comes after all that the last sender has sent.
        self._started_at, self._counter = self._clock(), 0
        return True

    def next(self, health: Health, classifier: ClassifierState | None) -> Heartbeat:
        """The next heartbeat; to be asked for only while `is_ours()`."""
        if self._started_at is None:
            raise RuntimeError("another publisher sends the heartbeats")
        self._counter += 1
        return Heartbeat(
            started_at=self._started_at,
            counter=self._counter,
            at=self._clock(),
            interval_s=self._interval_s,
            state=OutboxState(health.state.value),
            waiting=health.waiting,
            first_sequence=health.span.first,
            last_sequence=health.span.last,
            classifier=classifier,
        )

    def close(self) -> None:
        """Let another publisher send them."""
        self._lock.release()


def write_state(path: Path, health: Health, at: datetime) -> None:
    """Replace the state file. Raises StorageFailed."""
    write_whole(path, orjson.dumps(health.as_dict(at)) + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file, mode 0600, as a whole: a reader sees the old or the new one. Raises StorageFailed."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{get_ident()}.tmp")  # two threads may write
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
