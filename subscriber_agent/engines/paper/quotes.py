"""Prices from a file of the friend's, read forward as time passes: nothing is known before its moment.

The format is that of `replay --quotes`: `ts,ticker,price`, in time order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from signal_contract.errors import CatalystError, EngineUnusable
from subscriber_agent.engines.paper.values import Terms, Tick, tick_of
from subscriber_agent.replay.quotes import QuoteFile
from subscriber_agent.replay.wire import Quote

_log = logging.getLogger("catalyst.engine")


class QuoteTape:
    """The file, and how far it has been read. `latest` are the last prices by ticker up to now."""

    def __init__(self, path: Path, terms: Terms) -> None:
        """Open the file; raises EngineUnusable."""
        try:
            self._file = QuoteFile(path)
        except CatalystError as error:
            raise EngineUnusable(error.message, hint=f"Correct engine.paper.quotes_file. {error.hint}") from error
        self._terms = terms
        self._coming: Iterator[Quote] = iter(self._file)
        self._next: Quote | None = None
        self._is_told = False
        self.latest: dict[str, Tick] = {}

    def until(self, now: datetime, watched: frozenset[str]) -> list[Tick]:
        """The prices of `watched` tickers that came since the last call, oldest first."""
        found = []
        while (quote := self._upcoming()) is not None and quote.at <= now:
            tick = tick_of(quote.ticker, quote.price, quote.at, self._terms)
            self.latest[quote.ticker] = tick
            if quote.ticker in watched:
                found.append(tick)
            self._next = None
        return found

    def _upcoming(self) -> Quote | None:
        if self._next is None:
            self._next = next(self._coming, None)
            if self._next is None and self._file.bad.count and not self._is_told:
                self._is_told = True
                _log.warning("%d lines of the quotes file are no quotes", self._file.bad.count)
        return self._next

    def close(self) -> None:
        self._file.close()
