"""What Catalyst-Bot's objects say, as the agent's values. Pure; raises Garbled for what cannot be read."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from subscriber_agent.accounting.book import Leg, Side, known
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.risk.decision import OrderType

# Its words for the life of an order. "filled" also stands for Alpaca's done_for_day there, so that the count decides.
_STATES = {
    "pending": OutcomeState.ACCEPTED,
    "submitted": OutcomeState.ACCEPTED,
    "partially_filled": OutcomeState.ACCEPTED,
    "filled": OutcomeState.FILLED,
    "cancelled": OutcomeState.CANCELLED,
    "canceled": OutcomeState.CANCELLED,
    "expired": OutcomeState.CANCELLED,
    "rejected": OutcomeState.REJECTED,
}
_TYPES = {"market": OrderType.MARKET, "limit": OrderType.LIMIT, "stop": OrderType.STOP}


class Garbled(Exception):
    """An answer that cannot be read: a fault of the engine."""


def outcome_from(order: Any, legs: tuple[LegOutcome, ...] = ()) -> Outcome:
    """What became of an order; an unknown word is UNKNOWN, a fill without a price as well."""
    state, filled, price = _progress(order)
    if state is OutcomeState.UNKNOWN:
        return Outcome(state, detail=f"Catalyst-Bot calls the order {word(order, 'status')!r}, filled {filled}")
    return Outcome(state, filled, price if filled else None, word(order, "status"), legs)


def leg_from(order: Any, leg: Leg) -> LegOutcome:
    """The stop or the target of a bracket; it covers what of it has not filled yet."""
    state, filled, price = _progress(order)
    asked = amount(order, "quantity")
    trigger = price_of(order, "stop_price" if leg is Leg.STOP else "limit_price")
    if state is OutcomeState.UNKNOWN:
        filled, price = Decimal(0), None
    return LegOutcome(
        leg=leg,
        order_id=word(order, "order_id"),
        state=state,
        protects=max(asked - filled, Decimal(0)) if state.is_working else asked,
        trigger_price=trigger,
        quantity=filled,
        price=price if filled else None,
    )


def account_from(account: Any) -> Account:
    """Cash, equity and whether it may trade."""
    is_tradeable = getattr(account, "is_tradeable", None)
    verdict = is_tradeable() if callable(is_tradeable) else None
    is_blocked = None if not isinstance(verdict, bool) else not verdict
    return Account(amount(account, "cash"), amount(account, "equity"), is_blocked)


def holdings_from(positions: Any) -> tuple[Holding, ...]:
    """All positions, sorted; the bot counts a short as a positive number with the side beside it."""
    found = []
    for each in _list(positions):
        count, side = amount(each, "quantity"), word(each, "side")
        if side not in ("long", "short") or count < 0:
            raise Garbled(f"a position of {count} on side {side!r}")
        if count:
            signed = count if side == "long" else -count
            found.append(
                Holding(word(each, "ticker"), signed, price_of(each, "entry_price"), price_of(each, "current_price"))
            )
    return tuple(sorted(found, key=lambda each: each.ticker))


def orders_from(orders: Any) -> tuple[WorkingOrder, ...]:
    """All orders that work, sorted; one of a type that we have no word for is listed without one."""
    found = [
        WorkingOrder(
            order_id=str(getattr(each, "client_order_id", None) or ""),
            ticker=word(each, "ticker"),
            side=side_of(each),
            quantity=amount(each, "quantity"),
            filled=amount(each, "filled_quantity"),
            order_type=_TYPES.get(word(each, "order_type")),
            limit_price=price_of(each, "limit_price"),
            stop_price=price_of(each, "stop_price"),
        )
        for each in _list(orders)
        if _progress(each)[0].is_working
    ]
    return tuple(sorted(found, key=lambda each: each.order_id))


def side_of(order: Any) -> Side:
    """Which side an order is on."""
    text = word(order, "side")
    if text not in tuple(Side):
        raise Garbled(f"an order on side {text!r}")
    return Side(text)


def word(thing: Any, name: str) -> str:
    """A text, or an enumeration's value."""
    value = getattr(thing, name, None)
    return str(getattr(value, "value", "" if value is None else value))


def amount(thing: Any, name: str) -> Decimal:
    """A finite number; nothing, a NaN or a text that is none raises Garbled."""
    value = getattr(thing, name, None)
    try:
        number = known(Decimal(str(value)))
    except InvalidOperation:
        number = None
    if number is None or isinstance(value, bool):
        raise Garbled(f"{type(thing).__name__}.{name} is {str(value)[:40]!r}")
    return number


def price_of(thing: Any, name: str) -> Decimal | None:
    """A price above zero; None when there is none. The bot writes 0 for what it does not know."""
    if getattr(thing, name, None) is None:
        return None
    number = amount(thing, name)
    return number if number > 0 else None


def time_of(thing: Any, name: str) -> datetime | None:
    """An aware time; a naive one is not known."""
    value = getattr(thing, name, None)
    return value if isinstance(value, datetime) and value.utcoffset() is not None else None


def _progress(order: Any) -> tuple[OutcomeState, Decimal, Decimal | None]:
    filled, asked = amount(order, "filled_quantity"), amount(order, "quantity")
    price = price_of(order, "filled_avg_price")
    state = _STATES.get(word(order, "status"), OutcomeState.UNKNOWN)
    is_short_of = state is OutcomeState.FILLED and (filled < asked or filled == 0)
    if is_short_of or state is OutcomeState.ACCEPTED:
        state = OutcomeState.PARTLY_FILLED if filled > 0 else OutcomeState.ACCEPTED
    if filled < 0 or (filled > 0 and price is None):
        state = OutcomeState.UNKNOWN
    if state is OutcomeState.REJECTED and filled > 0:
        state = OutcomeState.CANCELLED
    return state, filled, price


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Garbled(f"{type(value).__name__} where a list was wanted")
    return list(value)
