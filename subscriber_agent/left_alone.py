"""Tickers that the friend holds by himself in the agent's account: named by him, never traded by the agent.

They are no difference while the agent's log holds nothing of them, and no entry is made in them. No exit touches them
either: an exit closes only what the log holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.journal import Journal, JournalReader

_NOTE = "left_alone"


def left_alone(journal: JournalReader) -> frozenset[str]:
    """The tickers that he named. Raises StorageFailed for a note that is none."""
    text = journal.meta(_NOTE)
    if not text:
        return frozenset()
    try:
        found = orjson.loads(text)
    except ValueError as error:
        raise StorageFailed("the journal's note of what is left alone cannot be read") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise StorageFailed("the journal's note of what is left alone cannot be read")
    return frozenset(found)


def leave_alone(journal: Journal, ticker: str, reason: str, config_hash: str, now: datetime) -> None:
    """Name one more, in the caller's commit or its own. Raises Conflict where the agent itself holds or trades it."""
    with journal.transaction():
        plans = (row.intent.plan for row in journal.open_intents())
        if journal.held(ticker) != 0 or any(each.ticker == ticker for each in plans):
            raise Conflict(
                f"the agent holds {ticker} itself, or has an order for it under way",
                hint="Only what is yours alone can be left alone; see `subscriber-agent positions` and `orders`.",
            )
        _keep(journal, left_alone(journal) | {ticker})
        journal.write_loosening("ticker_left_alone", {"ticker": ticker, "reason": reason}, config_hash, now)


def take_back(journal: Journal, ticker: str) -> None:
    """Compare a ticker again, as any other. Raises NotFound when it was not named."""
    with journal.transaction():
        named = left_alone(journal)
        if ticker not in named:
            raise NotFound(f"{ticker} is not left alone", hint="`subscriber-agent reconcile` shows what is.")
        _keep(journal, named - {ticker})


def _keep(journal: Journal, tickers: Iterable[str]) -> None:
    journal.set_meta(_NOTE, orjson.dumps(sorted(tickers)).decode())
