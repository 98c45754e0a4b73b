"""What is followed: one file, or every *.jsonl file of a directory, also those that appear later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from publisher.intake.follow import Batch, Tail, place_path, readable_checked
from signal_contract.creds import write_secret
from signal_contract.errors import AlreadyRunning, StorageFailed

# A dropped file often ends without a newline: after so long without a change its last line is taken as it is.
_SETTLED_S = 2.0


class Watched:
    """The tails of a file or directory. One process at a time follows the same one.

    What was there before the first start is skipped unless `from_start`; what came while nobody followed is not.
    """

    def __init__(
        self, path: Path, memory: Path, *, from_start: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path.absolute()
        self._memory = memory
        self._clock = clock
        self._from_start = from_start
        self._is_folder = self._path.is_dir()
        readable_checked(self._path)
        self._tails: dict[Path, Tail] = {}
        self._changed: dict[Path, tuple[int, float]] = {}
        self._mark = place_path(memory, self._path).with_suffix(".seen")
        self._lock = FileLock(self._mark.with_suffix(".lock"), timeout=0, mode=0o600, thread_local=False)

    def __enter__(self) -> Watched:
        self._memory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise AlreadyRunning(f"{self._path} is followed by another process", hint="Stop the other one.") from error
        is_first = not self._mark.exists()
        for path in self._paths():
            self._follow(path, from_end=is_first and not self._from_start)
        # From now on whatever has no place is new, and read from its beginning.
        self._remembered_start()
        return self

    def __exit__(self, *_: object) -> None:
        for tail in self._tails.values():
            tail.close()
        self._lock.release()

    def next(self) -> Iterator[tuple[Tail, Batch]]:
        """What is new in each file: up to 64 lines a file. Raises InputError or StorageFailed."""
        for path in self._paths():
            if path not in self._tails:
                self._follow(path, from_end=False)
        for path, tail in list(self._tails.items()):
            batch = tail.next(is_settled=self._is_folder and self._is_settled(path, tail))
            if batch.lines or batch.turn:
                yield tail, batch
            elif self._is_folder and not path.exists():
                self._tails.pop(path).close()

    def _paths(self) -> list[Path]:
        return sorted(self._path.glob("*.jsonl")) if self._is_folder else [self._path]

    def _follow(self, path: Path, *, from_end: bool) -> None:
        memory = place_path(self._memory, path)
        tail = Tail(path, memory, from_start=self._from_start, from_end=from_end and path.exists())
        if from_end and path.exists():
            # Opened once, so that the place is known before the first line of ours comes.
            tail.remember(tail.begin())
        self._tails[path] = tail

    def _remembered_start(self) -> None:
        try:
            write_secret(self._mark, f"{self._path}\n")
        except OSError as error:
            raise StorageFailed(f"{self._mark} cannot be written: {error.strerror or error}") from error

    def _is_settled(self, path: Path, tail: Tail) -> bool:
        behind, now = tail.behind, self._clock()
        if self._changed.get(path, (-1, 0.0))[0] != behind:
            self._changed[path] = (behind, now)
        return now - self._changed[path][1] >= _SETTLED_S
