"""A file or pipe → numbered lines, one at a time: an endless line is refused without being held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from publisher.intake.outcome import RefusalCode, Refused
from signal_contract.errors import InputError

MAX_LINE_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number from 1, without the white space around it; `size` is what it took in the file."""

    number: int
    content: bytes | Refused
    size: int


def lines_from(stream: BinaryIO, *, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Every line that is not blank. Raises InputError when the whole file is one JSON array."""
    number, is_first = 0, True
    while raw := stream.readline(max_bytes + 1):
        number += 1
        size = len(raw)
        if size > max_bytes and not raw.endswith(b"\n"):
            size += _skip_to_end_of_line(stream)
            yield Line(number, _too_long(size, max_bytes), size)
            is_first = False
            continue
        content = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if not content:
            continue
        if is_first and content.startswith(b"["):
            raise InputError(
                "the input is a JSON array; one JSON object a line is needed",
                hint="Turn it into lines with: jq -c '.[]' FILE",
            )
        is_first = False
        yield Line(number, content, size)


def _skip_to_end_of_line(stream: BinaryIO) -> int:
    skipped = 0
    while chunk := stream.readline(64 * 1024):
        skipped += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return skipped


def _too_long(size: int, max_bytes: int) -> Refused:
    return Refused(RefusalCode.LINE_TOO_LONG, f"a line of {size} bytes is over the limit of {max_bytes}")
