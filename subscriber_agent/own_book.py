"""What this agent holds by its own log of executions, folded once and kept up to date. On the disk's thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, Book, Fill, Position
from subscriber_agent.journal import JournalReader


class OwnBook:
    """The fold over one journal's fills. Its cash starts at 0: what was gained and spent, not what there is."""

    def __init__(self, journal: JournalReader) -> None:
        self._journal = journal
        self._limits: dict[str, Decimal | None] = {}
        self._positions: tuple[Book, dict[str, Position]] | None = None
        self._start()

    def _start(self) -> None:
        self._book, self._count = Book(cash=ZERO), 0
        self._last: Fill | None = None

    def now(self) -> Book:
        """The book as of the last execution."""
        new = self._journal.fills(max(self._count - 1, 0))
        # Where the last fill that was counted is another one now, its transaction was rolled back after all.
        if self._count and (not new or new[0] != self._last):
            self._start()
            new = self._journal.fills()
        elif self._count:
            new = new[1:]
        if new:
            self._book, self._last = self._book.after_all(new), new[-1]
            self._count += len(new)
        return self._book

    def positions(self) -> Mapping[str, Position]:
        """What is held by ticker, each with the time limit of the order that opened it."""
        book = self.now()
        if self._positions is None or self._positions[0] is not book:
            found = {ticker: self._limited(each) for ticker, each in book.positions.items()}
            self._positions = (book, found)
        return self._positions[1]

    def _limited(self, position: Position) -> Position:
        order_id = position.opened_by
        if order_id not in self._limits:
            row = self._journal.order(order_id)
            self._limits[order_id] = None if row is None else row.intent.plan.max_hold_s
        return replace(position, max_hold_s=self._limits[order_id])
