"""Keeps the ledger in step with the journal: each event is on disk before it counts, and a restart reads them again.

Knows the journal by the few calls it needs of it, and no engine. Not for several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from subscriber_agent.accounting.book import Fill
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.accounting.ledger import LatchKind, Ledger, LedgerEvent, Reset, Traded, due
from subscriber_agent.accounting.ledger_rows import TRADED, event_as_dict, event_from_dict
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.losses import Breach, breaches


class LedgerStore(Protocol):
    """What the keeper needs of a journal."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is on disk when the block ends."""

    def fills(self, after: int = 0) -> Sequence[Fill]:
        """Executions in the order they were written down, without the first `after` of them."""

    def ledger_rows(self, after: int = 0) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Number and document of each ledger event above number `after`, ascending."""

    def add_ledger_row(self, body: Mapping[str, Any], at: datetime) -> None:
        """Append one event's document; `at` is now."""


class LedgerKeeper:
    """The ledger of one journal. `ledger` is what is written there, as of the latest call."""

    def __init__(self, store: LedgerStore, calendar: Calendar) -> None:
        self._store = store
        self._calendar = calendar
        self._start()
        self.refresh()

    def _start(self) -> None:
        self._number = 0
        self._last: tuple[int, Mapping[str, Any]] = (0, {})
        self._fills = 0
        self.ledger = Ledger()

    def refresh(self) -> Ledger:
        """Count what is written and was not counted yet: at the start all of it, later also a reset by a command.

        Raises ValueError or KeyError for a row that is no event: a ledger that cannot be read must stop the agent.
        """
        # Where the last row that was counted is gone, its transaction was rolled back after all.
        rows = self._store.ledger_rows(max(self._number - 1, 0))
        if self._number and (not rows or rows[0] != self._last):
            self._start()
            rows = self._store.ledger_rows(0)
        new = [(number, body) for number, body in rows if number > self._number]
        if new:
            self.ledger = self.ledger.after_all(event_from_dict(body) for _, body in new)
            self._fills += sum(body["type"] == TRADED for _, body in new)
            self._number, _ = self._last = new[-1]
        return self.ledger

    def sync(self, equity: Decimal | None, limits: Limits, now: datetime) -> tuple[Breach, ...]:
        """Write down new fills, a new day, a changed equity and broken limits; returns the limits just broken.

        `equity` is the account's worth at `now`, in USD. Call it before each decision, in the decision's transaction:
        then what it found is on disk with the decision, and before any order.
        """
        self.traded(now)
        self._write(due(self.ledger, equity, now, self._calendar), now)
        found = breaches(self.ledger, limits, now, self._calendar)
        self._write((each.latch for each in found), now)
        return found

    def traded(self, now: datetime) -> None:
        """Write down new fills, in the transaction that books them: then the next decision need not."""
        self.refresh()
        self._write((Traded(fill) for fill in self._store.fills(self._fills)), now)

    def reset(self, kind: LatchKind, equity: Decimal, now: datetime) -> None:
        """Go on after a weekly loss or a drawdown, measured anew from `equity`; ValueError for DAILY."""
        self._write((Reset(kind, now, equity),), now)

    def preview(self, equity: Decimal | None, now: datetime) -> Ledger:
        """The ledger as `sync` would leave it, before latches, with nothing written: for `explain`."""
        ledger = self.refresh().after_all(Traded(fill) for fill in self._store.fills(self._fills))
        return ledger.after_all(due(ledger, equity, now, self._calendar))

    def _write(self, events: Iterable[LedgerEvent], now: datetime) -> None:
        bodies = [event_as_dict(each) for each in events]
        if not bodies:
            return
        with self._store.transaction():
            for body in bodies:
                self._store.add_ledger_row(body, now)
        self.refresh()
