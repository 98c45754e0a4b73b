"""Prices from outside the wire: a CSV of `ts,ticker,price` in time order. Streams; a bad line is named, never fatal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from signal_contract.codec import violations_text
from signal_contract.errors import CatalystError, InputError
from signal_contract.model import Instant, Price
from signal_contract.subject import ticker_checked
from subscriber_agent.replay.source import BadLines, opened
from subscriber_agent.replay.wire import Quote

COLUMNS: Final = ("ts", "ticker", "price")
_ADAPTER: Final = TypeAdapter(tuple[Instant, Price])
_HINT: Final = "The first line is ts,ticker,price; then for example 2026-01-02T14:31:00Z,ABCD,5.41 in time order."


class QuoteFile:
    """A CSV of quotes. Rows that lie before their predecessor are bad ones: sorting them would take the whole file."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its header. Raises NotFound, StorageFailed, or InputError for another header."""
        self._path = path
        self._file, _ = opened(path)
        self.bad = BadLines()
        self.count = 0
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", errors="replace", newline="")
        self._rows = csv.reader(text, strict=True)
        try:
            header = tuple(each.strip().lower() for each in next(self._rows, []))
        except csv.Error:
            header = ()
        if header != COLUMNS:
            text.close()
            raise InputError(f"{path} is no file of quotes: its first line is not ts,ticker,price", hint=_HINT)
        self._text = text

    def __iter__(self) -> Iterator[Quote]:
        latest = datetime.min.replace(tzinfo=UTC)
        while (row := self._row()) is not None:
            if not row:
                continue
            found = _quote_or_problem(row)
            if isinstance(found, str):
                self.bad.add(self._rows.line_num, found)
            elif found.at < latest:
                self.bad.add(self._rows.line_num, "lies before the line above it: sort the file by time")
            else:
                latest = found.at
                self.count += 1
                yield found

    def _row(self) -> list[str] | None:
        """The next row, empty for one that is no CSV; None at the end."""
        try:
            return next(self._rows, None)
        except csv.Error as error:
            self.bad.add(self._rows.line_num, str(error))
            return []

    def close(self) -> None:
        self._text.close()


def _quote_or_problem(row: list[str]) -> Quote | str:
    if len(row) != len(COLUMNS):
        return f"has {len(row)} columns, not 3"
    try:
        at, price = _ADAPTER.validate_python((row[0].strip(), row[2].strip()))
        return Quote(at, ticker_checked(row[1].strip()), price)
    except ValidationError as error:
        return violations_text(error).replace("0: ", "ts: ").replace("1: ", "price: ")
    except CatalystError as error:
        return error.message
