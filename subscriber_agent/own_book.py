"""What this agent holds by its own log of executions, folded once and kept up to date. On the disk's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, Book, Fill, Position, book_from
from subscriber_agent.journal import JournalReader


class OwnBook:
    """The positions that one journal's fills have led to."""

    def __init__(self, journal: JournalReader) -> None:
        self._journal = journal
        self._limits: dict[str, Decimal | None] = {}
        self._positions: tuple[Book, dict[str, Position]] | None = None
        self._book, self._count = Book(cash=ZERO), 0
        self._last: Fill | None = None

    def positions(self) -> Mapping[str, Position]:
        """What is held by ticker, each with the time limit of the order that opened it."""
        book = self._now()
        if self._positions is None or self._positions[0] is not book:
            found = {ticker: self._limited(each) for ticker, each in book.positions.items()}
            self._positions = (book, found)
        return self._positions[1]

    def _now(self) -> Book:
        """The book as of the last execution. Its cash is nothing: see `_begin`."""
        new = self._journal.fills(self._count - 1) if self._count else []
        if new and new[0] == self._last:
            new = new[1:]
        else:
            # At the start; or the last fill that was counted is another one now: its transaction was rolled back.
            self._begin()
            new = self._journal.fills(self._count)
        if new:
            self._book, self._last = self._book.after_all(new), new[-1]
            self._count += len(new)
        return self._book

    def _begin(self) -> None:
        """Fold the executions in what is held. Of all the others, years of them, no position is left."""
        # Another process may write meanwhile: all that is asked is about the first `count`, which stay as they are.
        self._count, self._last = self._journal.last_fill()
        held = self._journal.shares(self._count) if self._count else {}
        self._book = book_from(self._journal.fills_in(held, self._count) if held else (), start_cash=ZERO)

    def _limited(self, position: Position) -> Position:
        order_id = position.opened_by
        if order_id not in self._limits:
            row = self._journal.order(order_id)
            self._limits[order_id] = None if row is None else row.intent.plan.max_hold_s
        return replace(position, max_hold_s=self._limits[order_id])


def realised_usd(journal: JournalReader) -> Decimal:
    """What all trades in one journal have gained or lost until now, in USD."""
    return book_from(journal.fills(), start_cash=ZERO).realised_usd
