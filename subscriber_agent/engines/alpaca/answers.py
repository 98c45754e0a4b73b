"""What Alpaca answered, as the agreement's values. Pure; whatever does not read as it should is not believed.

    new accepted pending_new accepted_for_bidding stopped pending_cancel pending_replace pending_review
    done_for_day held                                        ──▶ ACCEPTED, PARTLY_FILLED once something filled
    partially_filled                                         ──▶ PARTLY_FILLED
    filled                                                   ──▶ FILLED
    canceled expired                                         ──▶ CANCELLED, FILLED when all of it had filled
    rejected                                                 ──▶ REJECTED, CANCELLED when something had filled
    suspended calculated replaced, and any other word        ──▶ UNKNOWN: nothing is guessed

A leg is `held` until the entry has filled completely, and protects nothing until then: such legs are not shown. After
that the stop of a bracket stays `held` beside its working target, because Alpaca reserves the shares once only; it is
watched all the same, so it counts as working for as long as the target works.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.risk.decision import OrderType
from subscriber_agent.risk.market import Quote, Symbol

_WORKING = frozenset(
    {
        "new",
        "accepted",
        "pending_new",
        "accepted_for_bidding",
        "stopped",
        "pending_cancel",
        "pending_replace",
        "pending_review",
        "done_for_day",
        "held",
        "partially_filled",
    }
)
_ENDED = frozenset({"canceled", "expired"})
KNOWN_STATUSES = _WORKING | _ENDED | {"filled", "rejected", "suspended", "calculated", "replaced"}
# 10^15 shares or USD: beyond it a number is a fault somewhere.
_LARGEST = Decimal(10) ** 15
_MAX_TEXT = 300


class Unreadable(ValueError):
    """An answer that is not what Alpaca's API describes: nothing in it is used."""


def number(value: Any) -> Decimal | None:
    """A number as text or as JSON number (read as Decimal); None when there is none. Raises Unreadable."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Unreadable("a number is not a number")
    try:
        found = Decimal(value)
    except InvalidOperation as error:
        raise Unreadable("a number is not a number") from error
    if not found.is_finite() or abs(found) >= _LARGEST:
        raise Unreadable("a number is out of any range")
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; raises Unreadable."""
    if not isinstance(value, Mapping):
        raise Unreadable("the answer is not an object")
    return value


def rows(value: Any) -> list[Mapping[str, Any]]:
    """A JSON list of objects; raises Unreadable."""
    if not isinstance(value, list):
        raise Unreadable("the answer is not a list")
    return [mapping(each) for each in value]


def text(value: Any) -> str:
    """A name; raises Unreadable for anything but text of a plausible length."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise Unreadable("a name is missing or too long")
    return value


def status_of(order: Mapping[str, Any]) -> str:
    status = order.get("status")
    return status if isinstance(status, str) else ""


def is_over(order: Mapping[str, Any]) -> bool:
    """Whether nothing of the order can fill any more; a status that is not known is not over."""
    return status_of(order) in _ENDED | {"filled", "rejected", "replaced"}


def outcome_from(order: Mapping[str, Any]) -> Outcome:
    """The outcome of an order with its legs, as GET /v2/orders/{id} gives it; raises Unreadable."""
    state, filled, price, detail = _progress(order)
    return Outcome(state, filled, price, detail, _legs(order))


def _progress(order: Mapping[str, Any]) -> tuple[OutcomeState, Decimal, Decimal | None, str]:
    ordered, filled = number(order.get("qty")), number(order.get("filled_qty")) or Decimal(0)
    price = number(order.get("filled_avg_price")) if filled else None
    if filled < 0 or (filled and (price is None or price <= 0)):
        raise Unreadable("shares have filled at no price")
    status = status_of(order)
    state = _state(status, filled, is_all=ordered is not None and filled >= ordered > 0)
    detail = "" if status in ("filled", "new", "accepted", "pending_new", "partially_filled") else status[:_MAX_TEXT]
    if ordered is not None and filled > ordered:
        detail = f"Alpaca filled {filled:f} where {ordered:f} were ordered"
    return state, filled, price, detail


def _state(status: str, filled: Decimal, *, is_all: bool) -> OutcomeState:
    if status == "filled":
        return OutcomeState.FILLED if filled else OutcomeState.UNKNOWN
    if status in _ENDED:
        return OutcomeState.FILLED if is_all else OutcomeState.CANCELLED
    if status == "rejected":
        return OutcomeState.CANCELLED if filled else OutcomeState.REJECTED
    if status in _WORKING:
        return OutcomeState.PARTLY_FILLED if filled else OutcomeState.ACCEPTED
    return OutcomeState.UNKNOWN


def _legs(order: Mapping[str, Any]) -> tuple[LegOutcome, ...]:
    raw = rows(order.get("legs") or [])
    is_filled = status_of(order) == "filled"
    shown = [each for each in raw if is_filled or status_of(each) != "held"]
    return tuple(_leg(each, [other for other in raw if other is not each]) for each in shown)


def _leg(order: Mapping[str, Any], others: list[Mapping[str, Any]]) -> LegOutcome:
    state, filled, price, _ = _progress(order)
    if status_of(order) == "held" and not any(_carries(other) for other in others):
        state = OutcomeState.UNKNOWN
    leg = leg_of(order)
    return LegOutcome(
        leg=leg,
        order_id=text(order.get("id")),
        state=state,
        protects=number(order.get("qty")) or Decimal(0),
        trigger_price=number(order.get("stop_price" if leg is Leg.STOP else "limit_price")),
        quantity=filled,
        price=price,
    )


def _carries(order: Mapping[str, Any]) -> bool:
    """Whether the other leg works by itself, and so keeps a held one alive."""
    return status_of(order) in _WORKING - {"held", "pending_cancel"}


def leg_of(order: Mapping[str, Any]) -> Leg:
    """Which leg an order of a bracket is: what has a stop price is the stop. Raises Unreadable when it is neither."""
    kind = order.get("type") or order.get("order_type")
    if kind in ("stop", "stop_limit", "trailing_stop") or number(order.get("stop_price")) is not None:
        return Leg.STOP
    if kind == "limit":
        return Leg.TARGET
    raise Unreadable("a leg is neither a stop nor a limit order")


def working_order_from(order: Mapping[str, Any], order_id: str) -> WorkingOrder:
    """One row of the open orders, under the id that the agent knows it by; raises Unreadable."""
    kind = order.get("type") or order.get("order_type")
    return WorkingOrder(
        order_id=order_id,
        ticker=text(order.get("symbol")),
        side=side_from(order.get("side")),
        quantity=number(order.get("qty")) or Decimal(0),
        filled=number(order.get("filled_qty")) or Decimal(0),
        order_type=OrderType(kind) if kind in tuple(OrderType) else None,
        limit_price=number(order.get("limit_price")),
        stop_price=number(order.get("stop_price")),
    )


def side_from(value: Any) -> Side:
    """buy or sell; raises Unreadable (`sell_short` exists, and is a sale)."""
    if value in ("buy", "sell", "sell_short"):
        return Side.BUY if value == "buy" else Side.SELL
    raise Unreadable("an order is neither to buy nor to sell")


def account_from(body: Mapping[str, Any]) -> Account:
    """Cash and equity, None when they are not in USD; a flag that is not there blocks: nobody said that it is off."""
    flags = [body.get(name) for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user")]
    is_blocked = body.get("status") != "ACTIVE" or any(flag is not False for flag in flags)
    if body.get("currency") != "USD":
        return Account(None, None, is_blocked)
    return Account(number(body.get("cash")), number(body.get("equity")), is_blocked)


def holding_from(body: Mapping[str, Any]) -> Holding:
    """One position, a short one negative whatever sign Alpaca gives it; raises Unreadable."""
    quantity = number(body.get("qty"))
    side = body.get("side")
    if quantity is None or side not in ("long", "short"):
        raise Unreadable("a position without quantity or side")
    return Holding(
        ticker=text(body.get("symbol")),
        quantity=abs(quantity) * (1 if side == "long" else -1),
        average_price=_price(body.get("avg_entry_price")),
        last_price=_price(body.get("current_price")),
    )


def symbol_from(asset: Mapping[str, Any]) -> Symbol:
    """The flags of an asset; whether it is halted is not among them. Shortable means easy to borrow as well."""
    is_active = asset.get("status") == "active" and asset.get("class") == "us_equity"
    tradable, fractionable = asset.get("tradable"), asset.get("fractionable")
    return Symbol(
        is_tradable=(tradable and is_active) if isinstance(tradable, bool) else None,
        is_shortable=asset.get("shortable") is True and asset.get("easy_to_borrow") is True,
        is_fractionable=fractionable if isinstance(fractionable, bool) else None,
    )


def quote_from(snapshot: Mapping[str, Any]) -> Quote | None:
    """Best prices and the last trade; a price of 0 means that this side of the book is empty. Raises Unreadable."""
    quote, trade = snapshot.get("latestQuote"), snapshot.get("latestTrade")
    last = None if trade is None else _price(mapping(trade).get("p"))
    if quote is not None:
        found = mapping(quote)
        return Quote(_price(found.get("bp")), _price(found.get("ap")), last, instant(found.get("t")))
    return None if trade is None else Quote(None, None, last, instant(mapping(trade).get("t")))


def traded_at(snapshot: Mapping[str, Any]) -> datetime | None:
    """When the ticker was traded last; None where Alpaca knows no trade. Raises Unreadable."""
    trade = snapshot.get("latestTrade")
    return None if trade is None else instant(mapping(trade).get("t"))


def instant(value: Any) -> datetime:
    """An RFC 3339 instant of up to nanoseconds, cut to microseconds; raises Unreadable, also without a zone."""
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError as error:
        raise Unreadable("a time is not a time") from error
    if found.utcoffset() is None:
        raise Unreadable("a time without its zone")
    return found.astimezone(UTC)


def _price(value: Any) -> Decimal | None:
    found = number(value)
    return found if found is not None and found > 0 else None
