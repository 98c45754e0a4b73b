"""Where past signals come from: a file of wire lines, or the journal. Streams; a bad line is named, never fatal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from signal_contract.codec import MAX_PAYLOAD_BYTES, decode
from signal_contract.errors import InputError, NotFound, StorageFailed
from signal_contract.model import Signal
from subscriber_agent.journal.past import PastSignals
from subscriber_agent.replay.wire import Past

NAMED_LINES = 20
_BOM = b"\xef\xbb\xbf"
# Outside these years a day's arithmetic could leave the calendar, and nobody traded on such a signal.
_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no signal or quote, and why."""

    line: int
    problem: str

    def as_dict(self) -> dict[str, object]:
        return {"line": self.line, "problem": self.problem}


class BadLines:
    """Counts every bad line and keeps the first few by name: a wrong file must not fill the memory."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[BadLine] = []

    def add(self, line: int, problem: str) -> None:
        """Note one line with its problem."""
        self.count += 1
        if len(self.first) < NAMED_LINES:
            self.first.append(BadLine(line, problem))


class Source(Protocol):
    """Past signals, once through. `done` of `total` is for a progress bar only (bytes or signals)."""

    bad: BadLines

    @property
    def total(self) -> int: ...

    @property
    def done(self) -> int: ...

    def __iter__(self) -> Iterator[Past]: ...

    def close(self) -> None: ...


class SignalFile:
    """A JSONL file of signals in the wire schema, in the order of their publication."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises NotFound, or StorageFailed when it cannot be read."""
        self._file, self.total = opened(path)
        self.done = 0
        self.bad = BadLines()

    def __iter__(self) -> Iterator[Past]:
        for line, text in _lines(self._file, self.bad):
            self.done = self._file.tell()
            found = signal_or_problem(text)
            if isinstance(found, Signal):
                yield Past(line, found)
            else:
                self.bad.add(line, found)

    def close(self) -> None:
        self._file.close()


class JournalSignals:
    """The signals of this agent's journal since an instant (None: all), in stream order."""

    def __init__(self, path: Path, since: datetime | None) -> None:
        """Open the journal read-only. Raises NotFound before the agent's first run, StorageFailed."""
        self._past = PastSignals(path, since)
        self.total = len(self._past)
        self.done = 0
        self.bad = BadLines()

    def __iter__(self) -> Iterator[Past]:
        for number, payload in self._past:
            self.done += 1
            found = signal_or_problem(payload)
            if isinstance(found, Signal):
                yield Past(number, found)
            else:
                self.bad.add(number, found)

    def close(self) -> None:
        self._past.close()


def opened(path: Path) -> tuple[BinaryIO, int]:
    """A file for reading, with its size in bytes. Raises NotFound or StorageFailed."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror}", hint="Check its rights.") from error
    return file, path.stat().st_size


def signal_or_problem(payload: bytes) -> Signal | str:
    """Read one line of wire JSON; what is wrong with it, as text, when it is not a signal of these centuries."""
    try:
        signal = decode(payload)
    except InputError as error:
        return error.message
    if not _FIRST <= signal.published_at < _LAST:
        return "published_at lies outside the years 1990 to 2199"
    return signal


def _lines(file: BinaryIO, bad: BadLines) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank; one that is too long is noted and skipped without holding it in memory."""
    line = 0
    while text := file.readline(MAX_PAYLOAD_BYTES + 2):
        line += 1
        if len(text) > MAX_PAYLOAD_BYTES and not text.endswith(b"\n"):
            while (rest := file.readline(MAX_PAYLOAD_BYTES)) and not rest.endswith(b"\n"):
                pass
            bad.add(line, f"is longer than a signal can be, {MAX_PAYLOAD_BYTES} bytes")
            continue
        text = text.removeprefix(_BOM).strip() if line == 1 else text.strip()
        if text:
            yield line, text
