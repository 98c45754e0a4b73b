"""Reads a growing file line by line, through rotation and truncation, and remembers its place.

Only whole lines are handed over; a last line without its newline waits. The rules of going on are in `following`.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

import orjson

from publisher.following import Candidate, Place, Turn, later_than, line_digest, place_bytes, place_from, route_from
from publisher.intake.lines import MAX_LINE_BYTES, Line
from publisher.intake.outcome import Draft, Outcome, RefusalCode, Refused
from publisher.intake.record import Intake
from signal_contract.creds import write_secret
from signal_contract.errors import InputError, StorageFailed

_BATCH = 64
_PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in their order, the place after them, and a turn that was met beside them.

    Line numbers count within the current file, from where this process began.
    """

    lines: tuple[Line, ...]
    place: Place | None
    turn: Turn | None = None


class Tail:
    """One followed file: `next()` gives what is there now, `remember()` keeps the place across restarts.

    Without a remembered place it begins at the end (`from_end`) or at the beginning; `from_start` forgets the place.
    """

    def __init__(self, path: Path, memory: Path, *, from_start: bool = False, from_end: bool = False) -> None:
        self.path = path
        self._memory = memory
        self._file: FileIO | None = None
        self._waiting: list[Path] = []
        self._older: set[int] = set()
        self._place = None if from_start else self._remembered()
        self._is_resumed = self._place is None
        self._at_end = from_end and self._place is None
        self._turn: Turn | None = None
        self._number = 0

    def close(self) -> None:
        """Close the file; the place stays remembered."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def next(self, *, is_settled: bool = False) -> Batch:
        """Up to 64 whole lines that are there now. Raises InputError or StorageFailed.

        With `is_settled` a last line without newline is taken too when it is a whole JSON object.
        """
        try:
            self._resumed()
            lines: list[Line] = []
            if self._opened():
                self._check()
                lines = self._lines(is_settled=is_settled)
                if not lines and self._is_left():
                    lines = self._rest()
                    if self._is_at_end():
                        self._leave()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        turn, self._turn = self._turn, None
        return Batch(tuple(lines), self._place, turn)

    def begin(self) -> Place | None:
        """Open the file; the place where reading begins, None when it is not there yet. Raises InputError."""
        try:
            self._resumed()
            self._opened()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        return self._place

    def remember(self, place: Place | None) -> None:
        """Write the place down, after what lies before it is safe. Raises StorageFailed."""
        if place is None:
            return
        try:
            write_secret(self._memory, place_bytes(place, str(self.path)).decode(errors="replace"))
        except OSError as error:
            raise StorageFailed(f"{self._memory} cannot be written: {error.strerror or error}") from error

    @property
    def behind(self) -> int:
        """How many bytes of the open file are not taken yet."""
        return 0 if self._file is None or self._place is None else _size(self._file) - self._place.offset

    @property
    def _current(self) -> tuple[FileIO, Place]:
        if self._file is None or self._place is None:
            raise RuntimeError("no file is open")
        return self._file, self._place

    # Where to read --------------------------------------------------------------------------------------------

    def _remembered(self) -> Place | None:
        try:
            return place_from(self._memory.read_bytes(), str(self._memory))
        except FileNotFoundError:
            return None

    def _resumed(self) -> None:
        """Once, at the beginning: find the file of the remembered place again."""
        if self._is_resumed or self._place is None:
            return
        route = route_from(self._place, _candidate(self.path), self._rotated())
        if route.names:
            self._is_resumed = True
            self._turn = route.turn
            self._waiting = [Path(name) for name in route.names[1:]]
            self._open(Path(route.names[0]), route.offset)

    def _rotated(self) -> list[Candidate]:
        names = sorted(self.path.parent.glob(f"{_escaped(self.path.name)}?*"))
        found = (_candidate(each) for each in names if not each.name.endswith(_PACKED))
        return [each for each in found if each is not None]

    def _opened(self) -> bool:
        if self._file is None and self._is_resumed:
            with contextlib.suppress(FileNotFoundError):
                self._open(self._waiting.pop(0) if self._waiting else self.path, 0)
        return self._file is not None

    def _open(self, path: Path, offset: int) -> None:
        file = path.open("rb", buffering=0)  # a buffer would hold what a truncation has removed
        inode = os.fstat(file.fileno()).st_ino
        place = Place(inode)
        if offset and self._place is not None:
            place = replace(self._place, inode=inode)
        elif self._at_end:
            place = _end_of(file, inode)
        self._at_end = False
        self._file, self._place, self._number = file, place, 0
        self._older = {each.inode for each in self._rotated()}
        if place.offset and not _fits(file, place):
            self._begin_anew()

    def _check(self) -> None:
        """Begin at the beginning when the file was truncated, also when it has grown past the place since."""
        file, place = self._current
        size = _size(file)
        if size < place.offset or (size > place.offset and not _fits(file, place)):
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._turn = Turn.TRUNCATED
        self._place, self._number = Place(self._current[1].inode), 0

    def _is_left(self) -> bool:
        """Whether the writer has moved on: another file lies at the path, or was rotated too, with something in it."""
        if self._waiting:
            return True
        file, place = self._current
        current = _candidate(self.path)
        if current is not None and current.inode == place.inode:
            return False
        own = os.fstat(file.fileno())
        left = Candidate(str(self.path), own.st_ino, own.st_size, own.st_mtime_ns)
        # Only the next one: by the time it is read the others may have been renamed.
        self._waiting = [Path(each.name) for each in later_than(left, self._rotated(), older=self._older)[:1]]
        return bool(self._waiting) or (current is not None and current.size > 0)

    def _is_at_end(self) -> bool:
        file, place = self._current
        return place.offset >= _size(file)

    def _leave(self) -> None:
        self.close()
        self._turn = self._turn or Turn.ROTATED

    # Lines ----------------------------------------------------------------------------------------------------

    def _lines(self, *, is_settled: bool) -> list[Line]:
        file, place = self._current
        block = _block(file, place.offset)
        lines: list[Line] = []
        taken = 0
        while len(lines) < _BATCH and (end := block.find(b"\n", taken) + 1):
            lines += self._taken(block[taken:end])
            taken = end
        rest = block[taken:]
        if not taken and len(rest) > MAX_LINE_BYTES:
            return self._skipped(rest)
        if not lines and is_settled and len(rest) <= MAX_LINE_BYTES and _is_object(rest):
            return self._taken(rest)
        return lines

    def _skipped(self, begun: bytes) -> list[Line]:
        """Go to the end of an endless line; nothing while it has none."""
        file, place = self._current
        end = place.offset + len(begun)
        while block := _block(file, end):
            found = block.find(b"\n") + 1
            end += found or len(block)
            if found:
                self._place, self._number = Place(place.inode, end), self._number + 1
                reason = f"a line of {end - place.offset} bytes is over the limit of {MAX_LINE_BYTES}"
                return [Line(self._number, Refused(RefusalCode.LINE_TOO_LONG, reason), end - place.offset)]
        return []

    def _rest(self) -> list[Line]:
        """What the writer wrote at last, also without a newline; the intake says what that is worth."""
        file, place = self._current
        lines = self._lines(is_settled=False)
        return lines or self._taken(_block(file, place.offset))

    def _taken(self, raw: bytes) -> list[Line]:
        _, place = self._current
        if not raw:
            return []
        end, self._number = place.offset + len(raw), self._number + 1
        self._place = Place(place.inode, end, place.offset, line_digest(raw))
        content = raw.strip()
        return [Line(self._number, content, len(raw))] if content else []


def outcome_of(line: Line, intake: Intake) -> Outcome:
    """What becomes of a followed line; lines of an older `events.jsonl` are read as accepted items. Never raises."""
    if isinstance(line.content, Refused):
        return line.content
    event = _accepted_from_event(line.content)
    if event is None:
        return intake.outcome(line.content)
    outcome = intake.outcome(event)
    if not isinstance(outcome, Draft):
        return outcome
    # Its `ts` is the news time. When it was classified is not in it, and cannot have been earlier.
    signal = outcome.signal
    news = signal.news.model_copy(update={"published_at": signal.classified_at})
    return Draft(signal.model_copy(update={"news": news, "meta": {**signal.meta, "shape": "events"}}))


def _accepted_from_event(content: bytes) -> bytes | None:
    try:
        record = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None  # the intake says what is wrong with it
    is_event = isinstance(record, dict) and "cls" in record and "accepted" not in record and "news_item" not in record
    return orjson.dumps({**record, "accepted": True}) if is_event else None


def place_path(memory: Path, path: Path) -> Path:
    """Where the place of a followed file is kept: `<memory>/<hash of its path>.json`."""
    return memory / f"{line_digest(os.fsencode(path.absolute()))}.json"


def readable_checked(path: Path) -> None:
    """Return when a file may be followed, also one that is not there yet. Raises InputError, with a way out."""
    if not path.parent.is_dir():
        raise InputError(f"there is no directory {path.parent}", hint="Check the path.")
    if path.exists() and not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied")


def _candidate(path: Path) -> Candidate | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Candidate(str(path), found.st_ino, found.st_size, found.st_mtime_ns)


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


def _block(file: FileIO, offset: int) -> bytes:
    """One byte more than a line may have, or what there is."""
    file.seek(offset)
    return file.read(MAX_LINE_BYTES + 1)


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _fits(file: FileIO, place: Place) -> bool:
    """Whether the line before the place is the one that was taken."""
    if not place.digest:
        return True
    file.seek(place.line_at)
    return line_digest(file.read(place.offset - place.line_at)) == place.digest


def _end_of(file: FileIO, inode: int) -> Place:
    """The place after the last whole line."""
    size = _size(file)
    start = max(0, size - 2 * MAX_LINE_BYTES)
    file.seek(start)
    tail = file.read(size - start)
    end = tail.rfind(b"\n") + 1
    begin = tail.rfind(b"\n", 0, end - 1) + 1 if end else 0
    return Place(inode, start + end, start + begin, line_digest(tail[begin:end])) if end else Place(inode)


def _is_object(raw: bytes) -> bool:
    # No beginning of a JSON object is itself one: this line is whole.
    try:
        return isinstance(orjson.loads(raw), dict)
    except orjson.JSONDecodeError:
        return False
