"""What is wrong with an engine's answer: types, finite numbers, states that exist. Pure.

Each function returns a text that says what is wrong, or None. What an answer says is never judged here: an order that
filled more than was asked, or a position nobody ordered, is the truth and is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from decimal import Decimal

from subscriber_agent.accounting.book import Leg, Side, known
from subscriber_agent.engines.engine import (
    Account,
    EngineEvent,
    Holding,
    LegOutcome,
    Outcome,
    OutcomeState,
    WorkingOrder,
)
from subscriber_agent.risk.decision import OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_LONGEST_ID = 128


def outcome_flaw(value: object) -> str | None:
    """What is wrong with the answer to `submit`, or with one of `lookup` and `cancel` that is not None."""
    if not isinstance(value, Outcome):
        return _not(value, "Outcome")
    parts: object = value.legs
    if not isinstance(parts, tuple):
        return _not(parts, "tuple of legs")
    legs = [each.leg for each in parts if isinstance(each, LegOutcome)]
    return _first(
        [
            None if isinstance(value.detail, str) else _not(value.detail, "detail text"),
            _filled_flaw("the order", value.state, value.quantity, value.price),
            *(_leg_flaw(each) for each in parts),
            "it names a leg twice" if len(legs) != len(set(legs)) else None,
        ]
    )


def account_flaw(value: object) -> str | None:
    """What is wrong with the answer to `account`."""
    if not isinstance(value, Account):
        return _not(value, "Account")
    return _first(
        [
            _maybe_amount("cash", value.cash),
            _maybe_amount("equity", value.equity),
            None if value.is_blocked is None or isinstance(value.is_blocked, bool) else "is_blocked is no bool",
        ]
    )


def positions_flaw(value: object) -> str | None:
    """What is wrong with the answer to `positions`: sorted, each ticker once, no position of nothing."""
    if not isinstance(value, tuple):
        return _not(value, "tuple of Holdings")
    flaw = _first(_holding_flaw(each) for each in value)
    if flaw is not None:
        return flaw
    tickers = [each.ticker for each in value]
    if len(tickers) != len(set(tickers)):
        return "a ticker is listed twice"
    return None if tickers == sorted(tickers) else "the tickers are not sorted"


def orders_flaw(value: object) -> str | None:
    """What is wrong with the answer to `orders`: sorted by order id."""
    if not isinstance(value, tuple):
        return _not(value, "tuple of WorkingOrders")
    flaw = _first(_order_flaw(each) for each in value)
    if flaw is not None:
        return flaw
    ids = [each.order_id for each in value]
    return None if ids == sorted(ids) else "the orders are not sorted by their ids"


def quote_flaw(value: object) -> str | None:
    """What is wrong with a quote that is not None."""
    if not isinstance(value, Quote):
        return _not(value, "Quote")
    flaw = _first(_maybe_price(name, getattr(value, name)) for name in ("bid", "ask", "last"))
    return flaw or (None if _is_aware(value.at) else "a quote's time must be a datetime with an offset")


def symbol_flaw(value: object) -> str | None:
    """What is wrong with the word on a ticker that is not None."""
    if not isinstance(value, Symbol):
        return _not(value, "Symbol")
    parts = ((each.name, getattr(value, each.name)) for each in fields(Symbol))
    return _first(f"{name} is no bool" for name, part in parts if part is not None and not isinstance(part, bool))


def event_flaw(value: object) -> str | None:
    """What is wrong with an event."""
    if not isinstance(value, EngineEvent):
        return _not(value, "EngineEvent")
    is_typed = isinstance(value.order_id, str) and isinstance(value.detail, str) and isinstance(value.is_gap, bool)
    return None if is_typed else "an event's order_id and detail are texts, its is_gap is a bool"


def ids_flaw(value: object) -> str | None:
    """What is wrong with the answer to `observe`."""
    if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
        return _not(value, "tuple of order ids")
    return None


def capabilities_flaw(value: object) -> str | None:
    """What is wrong with what an engine says that it can do."""
    if not isinstance(value, Capabilities):
        return _not(value, "Capabilities")
    for each in fields(Capabilities):
        if each.name != "times_in_force" and not isinstance(getattr(value, each.name), bool):
            return f"capability {each.name} is no bool"
    kinds = value.times_in_force
    if not isinstance(kinds, frozenset) or not kinds or not all(isinstance(each, TimeInForce) for each in kinds):
        return "times_in_force must be a frozenset of TimeInForce, and not empty"
    if (value.brackets or value.stop_orders) and not value.cancels:
        return "an engine that holds stops must be able to cancel them (`cancels`), or no position could be closed"
    return None


def _filled_flaw(what: str, state: object, quantity: object, price: object) -> str | None:
    if not isinstance(state, OutcomeState) or state is OutcomeState.ABANDONED:
        return f"{what} has no state of an engine's ({state!r})"[:200]
    flaw = _amount(f"{what}'s filled quantity", quantity) or _maybe_price(f"{what}'s price", price)
    if flaw is not None or not isinstance(quantity, Decimal):
        return flaw
    return _first(
        [
            f"{what} filled less than nothing" if quantity < 0 else None,
            f"{what} filled, at no price" if quantity > 0 and price is None else None,
            f"{what} is {state}, but nothing of it filled" if quantity == 0 and state in _MUST_FILL else None,
            f"{what} was rejected, but something of it filled" if quantity > 0 and state in _MUST_NOT else None,
        ]
    )


_MUST_FILL = (OutcomeState.FILLED, OutcomeState.PARTLY_FILLED)
_MUST_NOT = (OutcomeState.REJECTED,)


def _leg_flaw(value: object) -> str | None:
    if not isinstance(value, LegOutcome):
        return _not(value, "LegOutcome")
    if value.leg not in (Leg.STOP, Leg.TARGET):
        return "a leg is neither the stop nor the target"
    what = f"the {value.leg}"
    return _first(
        [
            _id_flaw(f"{what}'s order_id", value.order_id),
            _amount(f"{what}'s protects", value.protects),
            _maybe_price(f"{what}'s trigger_price", value.trigger_price),
            _filled_flaw(what, value.state, value.quantity, value.price),
        ]
    )


def _holding_flaw(value: object) -> str | None:
    if not isinstance(value, Holding):
        return _not(value, "Holding")
    flaw = _id_flaw("a position's ticker", value.ticker) or _amount(f"{value.ticker}'s quantity", value.quantity)
    if flaw is not None:
        return flaw
    return _first(
        [
            f"{value.ticker} is a position of nothing" if value.quantity == 0 else None,
            "a position without a ticker" if not value.ticker else None,
            _maybe_price(f"{value.ticker}'s average_price", value.average_price),
            _maybe_price(f"{value.ticker}'s last_price", value.last_price),
        ]
    )


def _order_flaw(value: object) -> str | None:
    if not isinstance(value, WorkingOrder):
        return _not(value, "WorkingOrder")
    what = f"order {value.order_id!r}"[:80]
    is_typed = isinstance(value.side, Side) and (value.order_type is None or isinstance(value.order_type, OrderType))
    return _first(
        [
            _id_flaw("an order's id", value.order_id),
            _id_flaw(f"{what}'s ticker", value.ticker),
            None if is_typed else f"{what} has no known side or type",
            _amount(f"{what}'s quantity", value.quantity),
            _amount(f"{what}'s filled", value.filled),
            _maybe_price(f"{what}'s limit_price", value.limit_price),
            _maybe_price(f"{what}'s stop_price", value.stop_price),
        ]
    )


def _amount(what: str, value: object) -> str | None:
    """A finite Decimal: a float is refused, since 0.1 of it is not 0.1."""
    if not isinstance(value, Decimal):
        return f"{what} is a {type(value).__name__}, not a Decimal"
    return None if known(value) is not None else f"{what} is no amount ({value})"[:200]


def _maybe_amount(what: str, value: object) -> str | None:
    return None if value is None else _amount(what, value)


def _maybe_price(what: str, value: object) -> str | None:
    flaw = _maybe_amount(what, value)
    if flaw is not None or not isinstance(value, Decimal):
        return flaw
    return None if value > 0 else f"{what} is not above zero"


def _id_flaw(what: str, value: object) -> str | None:
    if not isinstance(value, str):
        return _not(value, what)
    return f"{what} is longer than {_LONGEST_ID} characters" if len(value) > _LONGEST_ID else None


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _first(flaws: Iterable[str | None]) -> str | None:
    return next((each for each in flaws if each is not None), None)


def _not(value: object, wanted: str) -> str:
    return f"{type(value).__name__} where {wanted} was wanted"
