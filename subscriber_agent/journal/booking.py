"""The agent's own log of executions: books what an engine's word about an order adds to it. For every engine alike.

Knows statements; what a running total comes to is `accounting.booking`'s. The caller holds the transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

import orjson

from subscriber_agent.accounting.book import ZERO, Fill, Leg, Side, side_from
from subscriber_agent.accounting.booking import is_beyond, new_part
from subscriber_agent.engines.engine import LegOutcome, Outcome, OutcomeState, triggered_order_id
from subscriber_agent.journal.database import Database, texts
from subscriber_agent.journal.rows import Booked, OrderIntent, instant_to_text
from subscriber_agent.journal.shapes import fill_from

FILL = "order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst, sector"


def book(db: Database, intent: OrderIntent, outcome: Outcome, at: datetime) -> Booked:
    """Book what an order and its legs have filled beyond what is booked of them; the same word again books nothing.

    UNKNOWN is no word. More than was asked for is booked in full, for it is real, and said.
    """
    plan = intent.plan
    if outcome.state is OutcomeState.UNKNOWN:
        return Booked()
    fills: list[Fill] = []
    faults: list[str] = []
    is_overfilled = False
    for order_id, leg, side, quantity, price, fallback in _words(intent, outcome):
        before = fills_of(db, order_id)
        part = new_part(quantity, price, before, otherwise=fallback)
        if part.fault:
            faults.append(f"{leg.value} {order_id}: {part.fault}")
        if part.quantity <= 0 or part.price is None:
            continue
        held = held_of(db, plan.ticker)
        is_own = order_id == intent.order_id
        is_overfilled |= is_own and quantity > plan.quantity
        is_overfilled |= leg is not Leg.ENTRY and is_beyond(held, side, part.quantity)
        fill = _fill(intent, order_id, leg, side, part.quantity, part.price, at)
        add(db, fill)
        fills.append(fill)
    return Booked(tuple(fills), tuple(faults), is_overfilled)


def _words(
    intent: OrderIntent, outcome: Outcome
) -> Iterator[tuple[str, Leg, Side, Decimal, Decimal | None, Decimal | None]]:
    """What is said to be filled, of the order and then of each leg: id, leg, side, shares, average price, another."""
    plan = intent.plan
    otherwise = plan.limit_price or plan.reference_price or plan.stop_price
    yield intent.order_id, plan.leg, plan.side, outcome.quantity, outcome.price, otherwise
    opposite = Side.SELL if plan.side is Side.BUY else Side.BUY
    taken = {intent.order_id}
    for each in outcome.legs:
        order_id = leg_id(intent.order_id, each)
        if order_id not in taken and each.state is not OutcomeState.UNKNOWN:
            taken.add(order_id)
            yield order_id, each.leg, opposite, each.quantity, each.price, each.trigger_price


def leg_id(entry_id: str, leg: LegOutcome) -> str:
    """The leg's own id; an engine that has none for it, or the entry's, gets one that follows from the entry's."""
    return leg.order_id if leg.order_id and leg.order_id != entry_id else triggered_order_id(entry_id, leg.leg)


def _fill(
    intent: OrderIntent, order_id: str, leg: Leg, side: Side, quantity: Decimal, price: Decimal, at: datetime
) -> Fill:
    plan, is_entry = intent.plan, leg is Leg.ENTRY
    return Fill(
        order_id=order_id,
        ticker=plan.ticker,
        side=side,
        leg=leg,
        quantity=quantity,
        price=price,
        at=at,
        stop_price=plan.stop_price if is_entry else None,
        target_price=plan.target_price if is_entry else None,
        catalyst=plan.catalyst,
        sector=plan.sector,
    )


def add(db: Database, fill: Fill) -> None:
    """Append one execution."""
    db.run(
        f"INSERT INTO fills ({FILL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        fill.order_id,
        fill.ticker,
        fill.side.value,
        fill.leg.value,
        *texts((fill.quantity, fill.price)),
        instant_to_text(fill.at),
        *texts((fill.stop_price, fill.target_price)),
        fill.catalyst,
        fill.sector,
    )


def all_fills(db: Database, after: int) -> list[Fill]:
    """Executions in the order they were booked, without the first `after`.

    Their ids count them from 1 on: none is ever removed, and SQLite gives the next one the highest id and one. OFFSET
    would walk over all of them again, with every signal.
    """
    rows = db.rows(f"SELECT {FILL} FROM fills WHERE id > ? ORDER BY id", after)  # noqa: S608
    return [fill_from(row) for row in rows]


def fills_since(db: Database, at: datetime) -> list[Fill]:
    """Executions later than an instant, in the order they were booked."""
    rows = db.rows(f"SELECT {FILL} FROM fills WHERE at > ? ORDER BY id", instant_to_text(at))  # noqa: S608
    return [fill_from(row) for row in rows]


def last_fill_at(db: Database, ticker: str) -> datetime | None:
    """When the execution of a ticker that was booked last was made; None without any."""
    rows = db.rows("SELECT at FROM fills WHERE ticker = ? ORDER BY id DESC LIMIT 1", ticker)
    return datetime.fromisoformat(rows[0][0]) if rows else None


def fills_of(db: Database, order_id: str) -> list[Fill]:
    """What is booked of one order, oldest first."""
    rows = db.rows(f"SELECT {FILL} FROM fills WHERE order_id = ? ORDER BY id", order_id)  # noqa: S608
    return [fill_from(row) for row in rows]


def fills_in(db: Database, tickers: Iterable[str], first: int) -> list[Fill]:
    """What is booked of some tickers among the `first` executions, oldest first."""
    where = "id <= ? AND ticker IN (SELECT value FROM json_each(?))"
    rows = db.rows(f"SELECT {FILL} FROM fills WHERE {where} ORDER BY id", first, orjson.dumps(list(tickers)).decode())  # noqa: S608
    return [fill_from(row) for row in rows]


def last_fill(db: Database) -> tuple[int, Fill | None]:
    """How many executions there are, and the last of them."""
    rows = db.rows(f"SELECT id, {FILL} FROM fills ORDER BY id DESC LIMIT 1")  # noqa: S608
    return (rows[0][0], fill_from(rows[0][1:])) if rows else (0, None)


def held_of(db: Database, ticker: str) -> Decimal:
    """Signed shares of one ticker by our own log."""
    return _sum(db.rows("SELECT side, quantity FROM fills WHERE ticker = ?", ticker))


def shares(db: Database, first: int) -> dict[str, Decimal]:
    """Signed shares by ticker after the `first` executions; what came to nothing is left out."""
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    for ticker, side, quantity in db.rows("SELECT ticker, side, quantity FROM fills WHERE id <= ? ORDER BY id", first):
        held[ticker] += side_from(side).sign * Decimal(quantity)
    return {ticker: quantity for ticker, quantity in held.items() if quantity != 0}


def _sum(rows: Iterable[tuple[str, str]]) -> Decimal:
    return sum((Side(side).sign * Decimal(quantity) for side, quantity in rows), ZERO)
