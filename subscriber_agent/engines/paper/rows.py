"""From frozen values to the columns of the paper account's file, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from subscriber_agent.accounting.book import Fill, leg_from, side_from
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.engines.paper.values import Order
from subscriber_agent.risk.decision import OrderPlan

Row = tuple[Any, ...]

ORDER = "order_id, entry_id, plan, asked, state, quantity, price, detail, at, due_at"
FILL = "order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst, sector"


def order_row(order: Order) -> Row:
    return (
        order.order_id,
        order.entry_id,
        orjson.dumps(order.plan.as_dict()),
        str(order.asked),
        order.state.value,
        str(order.filled),
        _maybe(order.price),
        order.detail,
        instant_text(order.at),
        None if order.due_at is None else instant_text(order.due_at),
    )


def order_from(row: Row) -> Order:
    """Raises KeyError, ValueError or ArithmeticError for what is no order."""
    order_id, entry_id, plan, asked, state, filled, price, detail, at, due_at = row
    return Order(
        order_id=order_id,
        plan=OrderPlan.from_dict(orjson.loads(plan)),
        asked=Decimal(asked),
        state=OutcomeState(state),
        at=instant(at),
        due_at=None if due_at is None else instant(due_at),
        filled=Decimal(filled),
        price=_decimal(price),
        detail=detail,
        entry_id=entry_id,
    )


def fill_row(fill: Fill) -> Row:
    return (
        fill.order_id,
        fill.ticker,
        fill.side.value,
        fill.leg.value,
        str(fill.quantity),
        str(fill.price),
        instant_text(fill.at),
        _maybe(fill.stop_price),
        _maybe(fill.target_price),
        fill.catalyst,
        fill.sector,
    )


def fill_from(row: Row) -> Fill:
    """Raises ValueError or ArithmeticError for what is no fill."""
    order_id, ticker, side, leg, quantity, price, at, stop, target, catalyst, sector = row
    return Fill(
        order_id,
        ticker,
        side_from(side),
        leg_from(leg),
        Decimal(quantity),
        Decimal(price),
        instant(at),
        _decimal(stop),
        _decimal(target),
        catalyst,
        sector,
    )


def instant_text(at: datetime) -> str:
    """UTC with microseconds; raises ValueError for a naive time."""
    if at.utcoffset() is None:
        raise ValueError("the paper account keeps no naive times")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def instant(text: str) -> datetime:
    """An aware time; raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError(f"{text} is a naive time")
    return at


def _maybe(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
