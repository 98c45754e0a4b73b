"""Whose shares the agent's log speaks of: those of one account at one engine, until nothing of it is left.

Shares that a paper account holds are not those of a broker's account, even where both hold the same ticker: an exit for
the first would sell what the friend holds by himself in the second.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import orjson

from signal_contract.errors import EngineUnusable, StorageFailed
from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.journal import Journal, JournalReader, ReconcileState
from subscriber_agent.own_book import OwnBook
from subscriber_agent.risk.protection import ProtectionState

_NOTE = "engine_bound"


class Named(Protocol):
    """An engine, as far as it is told from another. One that knows its account says so as `account_ref`."""

    @property
    def name(self) -> str: ...

    @property
    def is_paper(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Bound:
    """One account: the engine's name, whether it is paper, and the account's own mark, "" where there is none."""

    engine: str
    is_paper: bool
    account: str = ""

    @classmethod
    def of(cls, engine: Named) -> Bound:
        """The account that an engine trades now."""
        return cls(engine.name, engine.is_paper, str(getattr(engine, "account_ref", "")))

    def is_another(self, other: Bound) -> bool:
        """Whether these are two accounts; a mark that one of them lacks tells nothing."""
        marks = {self.account, other.account} - {""}
        return (self.engine, self.is_paper) != (other.engine, other.is_paper) or len(marks) > 1

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.engine} ({'pretend' if self.is_paper else 'real'} money)"


def bound_to(journal: JournalReader) -> Bound | None:
    """The account that the log is about; None while there was none. Raises StorageFailed for a note that is none."""
    if text := journal.meta(_NOTE):
        return _read(text)
    last = journal.snapshot()
    if last is not None:
        return Bound(last.engine, last.is_paper)
    # Versions that kept no snapshot knew no other engine than paper.
    return Bound("paper", is_paper=True) if what_is_left(journal) else None


def what_is_left(journal: JournalReader) -> tuple[str, ...]:
    """Tickers that the log holds, or that an order without an end may still trade, sorted."""
    under_way = {row.intent.plan.ticker for row in journal.open_intents()}
    return tuple(sorted(under_way | journal.shares().keys()))


def check_bound(journal: JournalReader, engine: Named) -> None:
    """Raise EngineUnusable where the log holds something at another account than this engine's."""
    before, left = bound_to(journal), what_is_left(journal)
    if before is None or not left or not before.is_another(Bound.of(engine)):
        return
    now = Bound.of(engine)
    where = now.text if now.text != before.text else f"another account of {now.text}"
    raise EngineUnusable(
        f"the agent's log holds {', '.join(left)} at {before.text}, and the config now names {where}",
        hint="Nothing was ordered. Go back to the engine of before and close what is held (`subscriber-agent flatten`),"
        " or leave it there for good: `subscriber-agent engine leave`.",
    )


def bind(journal: Journal, engine: Named) -> None:
    """From now on the log is about this engine's account. Raises EngineUnusable as `check_bound`."""
    check_bound(journal, engine)
    now, before = Bound.of(engine), bound_to(journal)
    if not now.account and before is not None and not now.is_another(before):
        # A broker that did not answer yet; its account is the one of before until it says otherwise.
        now = before
    text = orjson.dumps(asdict(now)).decode()
    if journal.meta(_NOTE) != text:
        journal.set_meta(_NOTE, text)


def leave(journal: Journal, now: datetime, config_hash: str, reason: str) -> tuple[Fill, ...]:
    """Write off all that the log holds, at its average price, and end its orders and stops; nothing is ordered.

    What works at the engine of before goes on working there. It is journaled as a loosening. Returns what was booked.
    """
    before = bound_to(journal)
    with journal.transaction():
        fills = tuple(
            _written_off(ticker, each.quantity, each.average_price, now)
            for ticker, each in sorted(OwnBook(journal).positions().items())
        )
        what: dict[str, Any] = {
            "engine": "" if before is None else before.engine,
            "reason": reason,
            "tickers": list(what_is_left(journal)),
            "order_ids": [row.intent.order_id for row in journal.open_intents()],
        }
        journal.add_fills(fills)
        for row in journal.open_intents():
            filled = row.outcome or Outcome(OutcomeState.ABANDONED)
            ended = Outcome(OutcomeState.ABANDONED, filled.quantity, filled.price, "left at the engine of before")
            journal.write_outcome(row.intent.order_id, ended, now)
        for stop in journal.protections():
            journal.write_protection(stop.became(ProtectionState.CLOSED, now, "left at the engine of before"))
        journal.end_reconcile(ReconcileState.ACCEPTED, now)
        journal.write_loosening("engine_left", what, config_hash, now)
        journal.set_meta(_NOTE, "")
    return fills


def _written_off(ticker: str, quantity: Decimal, price: Decimal, now: datetime) -> Fill:
    return Fill(
        order_id=f"cs-left-{ticker}-{now:%Y%m%d%H%M%S%f}",
        ticker=ticker,
        side=Side.SELL if quantity > 0 else Side.BUY,
        leg=Leg.ADJUST,
        quantity=abs(quantity),
        price=price,
        at=now,
        catalyst="",
    )


def _read(text: str) -> Bound:
    try:
        found = orjson.loads(text)
        engine, is_paper, account = found["engine"], found["is_paper"], found["account"]
        if isinstance(engine, str) and isinstance(is_paper, bool) and isinstance(account, str):
            return Bound(engine, is_paper, account)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageFailed("the journal's note of its engine cannot be read") from error
    raise StorageFailed("the journal's note of its engine cannot be read")
