"""What an answer is printed on: plain lines and tables as Rich draws them, without loading it; else Rich itself.

Rich takes a tenth of a short command. It is left out where it has nothing to decide: text of ordinary characters that
fits, on a terminal or in a pipe that nothing says anything unusual about. A test compares both.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_COLUMNS = 160
# One column wide each, and nothing that moves the cursor; in a paragraph also line ends.
_ORDINARY = r"\x20-\x7e\xa1-\xac\xae-\xff–—…→≤≥"
_CELL, _PARAGRAPH = re.compile(rf"[{_ORDINARY}]*"), re.compile(rf"[{_ORDINARY}\n]*")
_STYLES = {"bold": "\x1b[1m", "italic": "\x1b[3m"}
_END = "\x1b[0m"
# With one of these Rich draws otherwise than the stream asks for; and it knows terminals that take no styles.
_OTHERWISE = ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
_PLAIN_TERMINALS = ("dumb", "unknown")


class Page:
    """As much of Rich's console as answers need. Whatever else is asked of it, Rich's own console does."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._rich: Console | None = None
        self._is_terminal = stream.isatty()
        self._columns = _columns(stream, is_terminal=self._is_terminal)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._console(), name)

    def _console(self) -> Console:
        if self._rich is None:
            from signal_contract.cli.answer import console

            self._rich = console(self._stream)
        return self._rich

    def print(self, *what: Any, markup: bool | None = None, style: str | None = None, **more: Any) -> None:
        """`Console.print`: a text, or what Rich can draw. `style` is of a whole line."""
        text = what[0] if what else ""
        # Without a word about markup Rich would look for it.
        if more or len(what) > 1 or (what and markup is not False) or not self._takes(text, style):
            self._console().print(*what, markup=markup, style=style, **more)
            return
        self._write(self._styled(text, style) + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
        """A table without frames, its heads bold; a `>` before a head sets its column right. False: it is for Rich."""
        heads, is_right = [each.removeprefix(">") for each in columns], [each.startswith(">") for each in columns]
        if self._columns is None or not all(_CELL.fullmatch(cell) for row in (heads, *rows) for cell in row):
            return False
        widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
        if 0 in widths or sum(widths) + 2 * (len(widths) - 1) > self._columns:
            return False
        lines = [self._head(_laid(heads, widths, is_right))]
        lines += ["  ".join(_laid(row, widths, is_right)) for row in rows]
        self._write("".join(f"{line}\n" for line in lines))
        return True

    def _head(self, cells: list[str]) -> str:
        """As Rich styles it: each cell, and each of the two blanks between two."""
        between = self._styled(" ", "bold") * 2
        return between.join(self._styled(cell, "bold") for cell in cells)

    def _takes(self, text: Any, style: str | None) -> bool:
        if not isinstance(text, str) or self._columns is None or not _PARAGRAPH.fullmatch(text):
            return False
        if self._is_terminal and any(len(line) > self._columns for line in text.split("\n")):
            return False
        return style is None or (style in _STYLES and bool(text) and "\n" not in text)

    def _styled(self, text: str, style: str | None) -> str:
        return text if style is None or not self._is_terminal else f"{_STYLES[style]}{text}{_END}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _columns(stream: IO[str], *, is_terminal: bool) -> int | None:
    """How wide a line may be; None where only Rich can tell."""
    is_utf8 = (getattr(stream, "encoding", None) or "").lower() == "utf-8"
    if os.name != "posix" or not is_utf8 or any(name in os.environ for name in _OTHERWISE):
        return None
    if not is_terminal:
        return PIPE_COLUMNS
    if os.environ.get("TERM", "").lower() in _PLAIN_TERMINALS:
        return None
    for standard in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.get_terminal_size(standard).columns or None
    return None


def _laid(cells: Sequence[str], widths: Sequence[int], is_right: Sequence[bool]) -> list[str]:
    return [
        cell.rstrip().rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, is_right, strict=True)
    ]
