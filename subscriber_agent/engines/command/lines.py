"""Lines out of a stream of bytes, and how many of them reach the log. Pure: `now` is an argument, in seconds."""

from __future__ import annotations

import unicodedata

MAX_LINE = 1_000_000


class Lines:
    """Cuts a stream at its newlines. A line longer than `max_bytes` is dropped and comes out as None, once."""

    def __init__(self, max_bytes: int = MAX_LINE) -> None:
        self._max = max_bytes
        self._rest = bytearray()
        self._is_too_long = False

    def fed(self, data: bytes) -> list[bytes | None]:
        """The lines that `data` completes, without their newlines."""
        *ends, rest = data.split(b"\n")
        found = [self._completed(each) for each in ends]
        self._keep(rest)
        return found

    def _completed(self, end: bytes) -> bytes | None:
        self._keep(end)
        line = None if self._is_too_long else bytes(self._rest)
        self._rest.clear()
        self._is_too_long = False
        return line

    def _keep(self, part: bytes) -> None:
        if self._is_too_long or len(self._rest) + len(part) > self._max:
            self._rest.clear()
            self._is_too_long = True
        else:
            self._rest += part


class Flood:
    """Whether lines come faster than anybody could mean: more than `most` in one of the windows of `window_s`."""

    def __init__(self, most: int = 5000, window_s: float = 1.0) -> None:
        self._most = most
        self._window_s = window_s
        self._began_at = 0.0
        self._count = 0

    def is_seen(self, lines: int, now: float) -> bool:
        """Count so many more lines."""
        if now - self._began_at >= self._window_s:
            self._began_at, self._count = now, 0
        self._count += lines
        return self._count > self._most


class Chatter:
    """How much of a program's stderr is passed on: `most` lines in each `window_s`, and how many were left out."""

    def __init__(self, most: int = 20, window_s: float = 10.0, max_characters: int = 500) -> None:
        self._most = most
        self._window_s = window_s
        self._max_characters = max_characters
        self._began_at: float | None = None
        self._count = 0

    def heard(self, line: bytes | None, now: float) -> list[str]:
        """What to log for one more line; nothing when there were too many lately."""
        texts = self._turned(now)
        self._count += 1
        if self._count <= self._most:
            texts.append("(a line that is too long)" if line is None else printable(line, self._max_characters))
        return texts

    def _turned(self, now: float) -> list[str]:
        if self._began_at is not None and now - self._began_at < self._window_s:
            return []
        left_out = max(self._count - self._most, 0)
        self._began_at, self._count = now, 0
        return [f"({left_out} more lines were left out)"] if left_out else []


def printable(line: bytes, max_characters: int = 500) -> str:
    """Text for a log: no control, direction or line characters, so that a program cannot forge or hide log lines."""
    text = line[: 4 * max_characters].decode("utf-8", "replace").rstrip()
    clean = "".join(each if _is_plain(each) else "?" for each in text)
    return clean if len(clean) <= max_characters else clean[:max_characters] + "…"


def _is_plain(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" or character == " "
