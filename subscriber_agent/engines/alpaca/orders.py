"""The order that Alpaca is sent for a plan, or why none is sent. Pure.

What Alpaca permits (its page "Placing orders"): a bracket or a one-triggers-other order is `day` or `gtc`, in the
regular session, of whole shares, and its legs live as long as its `time_in_force` says. With `day` the stop of a
position would end at the close and nothing would hold it the next morning, so an entry with legs goes out `gtc`; that
it was meant for the day is kept by `day_end`, which withdraws what has not filled when the session ends.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from signal_contract.model import Session
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.alpaca.settings import AlpacaSettings
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce, text_of
from subscriber_agent.risk.market import Quote

_CENT, _SUB_CENT = Decimal("0.01"), Decimal("0.0001")
_FRACTION = Decimal("0.000000001")
_HUNDRED = Decimal(100)


def objection(plan: OrderPlan, session: Session | None, settings: AlpacaSettings) -> str | None:
    """Why the order is not sent, None when it is. Prices are checked, never changed.

    An entry outside the regular session would wait at Alpaca for the next open and be a stale one by then.
    """
    return _of_quantity(plan, settings) or _of_prices(plan) or _of_time(plan, session, settings)


def _of_quantity(plan: OrderPlan, settings: AlpacaSettings) -> str | None:
    quantity = plan.quantity
    if not quantity.is_finite() or quantity <= 0:
        return "an order of nothing"
    if _is_whole(quantity):
        return None
    if not settings.fractional_shares:
        return "parts of a share are not switched on (engine.alpaca.fractional_shares)"
    return "more than nine decimals of a share" if quantity % _FRACTION else None


def _of_prices(plan: OrderPlan) -> str | None:
    for name, price in (("limit", plan.limit_price), ("stop", plan.stop_price), ("target", plan.target_price)):
        if price is not None and not is_on_tick(price):
            return f"the {name} price {price:f} is not on a tick (0.01 from 1 USD on, 0.0001 below)"
    if plan.order_type is OrderType.LIMIT and plan.limit_price is None:
        return "a limit order without its price"
    if plan.order_type is OrderType.STOP and plan.stop_price is None:
        return "a stop order without its price"
    return _of_legs(plan) if plan.leg is Leg.ENTRY else None


def _of_legs(plan: OrderPlan) -> str | None:
    """Alpaca wants the stop at least a cent beyond the entry's limit, and the target beyond the stop."""
    stop, target, limit, sign = plan.stop_price, plan.target_price, plan.limit_price, plan.side.sign
    if stop is not None and limit is not None and (limit - stop) * sign < _CENT:
        return "the stop is less than a cent away from the limit"
    if stop is not None and target is not None and (target - stop) * sign <= 0:
        return "the target is on the stop's side"
    return None


def _of_time(plan: OrderPlan, session: Session | None, settings: AlpacaSettings) -> str | None:
    if plan.extended_hours:
        if not settings.extended_hours:
            return "orders outside the regular session are switched off (engine.alpaca.extended_hours)"
        if plan.order_type is not OrderType.LIMIT or plan.time_in_force is not TimeInForce.DAY:
            return "outside the regular session Alpaca takes limit orders for the day only"
        is_open = session in (Session.PRE, Session.REGULAR, Session.AFTER)
        return None if is_open or plan.leg is not Leg.ENTRY else "the market is closed"
    if plan.leg is Leg.ENTRY and session is not Session.REGULAR:
        return "the regular session is not open"
    return None


def has_legs(plan: OrderPlan) -> bool:
    """Whether Alpaca is asked to hold the entry's stop and target itself."""
    is_entry = plan.leg is Leg.ENTRY and not plan.extended_hours and _is_whole(plan.quantity)
    return is_entry and (plan.stop_price is not None or plan.target_price is not None)


def needs_quote(plan: OrderPlan, session: Session | None, settings: AlpacaSettings) -> bool:
    """Whether the order is an exit at the market at a time when Alpaca takes limit orders only."""
    is_exit = plan.leg is not Leg.ENTRY and plan.order_type is OrderType.MARKET
    return is_exit and settings.extended_hours and session in (Session.PRE, Session.AFTER)


def body_from(plan: OrderPlan, order_id: str, quote: Quote | None, settings: AlpacaSettings) -> dict[str, Any]:
    """The body of POST /v2/orders; numbers are text, so that no float comes near them.

    `quote` is given exactly where `needs_quote`; without a price in it the exit is a market order that waits for the
    next open, which is better than no exit.
    """
    body: dict[str, Any] = {
        "symbol": plan.ticker,
        "qty": text_of(plan.quantity),
        "side": plan.side.value,
        "type": plan.order_type.value,
        "time_in_force": _time_in_force(plan),
        "client_order_id": order_id,
    }
    if plan.order_type is OrderType.LIMIT and plan.limit_price is not None:
        body["limit_price"] = text_of(plan.limit_price)
    if plan.order_type is OrderType.STOP and plan.stop_price is not None:
        body["stop_price"] = text_of(plan.stop_price)
    if plan.extended_hours:
        body["extended_hours"] = True
    limit = None if quote is None else exit_limit(plan.side, quote, settings.exit_band_percent)
    if limit is not None:
        body |= {"type": "limit", "time_in_force": "day", "limit_price": text_of(limit), "extended_hours": True}
    return body | _legs(plan) if has_legs(plan) else body


def exit_limit(side: Side, quote: Quote, band_percent: Decimal) -> Decimal | None:
    """The price that an exit outside the regular session may go to, on its tick; None without any price to start from.

    A sale starts from the bid, a purchase from the ask, both from the last trade when there is none.
    """
    start = (quote.ask if side is Side.BUY else quote.bid) or quote.last
    if start is None:
        return None
    price = start * (_HUNDRED + side.sign * band_percent) / _HUNDRED
    tick = _CENT if price >= 1 else _SUB_CENT
    # Rounded towards the fill: an exit that misses by half a tick is no exit.
    on_tick = price.quantize(tick, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR)
    return on_tick if on_tick > 0 else None


def is_on_tick(price: Decimal) -> bool:
    """Whether Alpaca takes a price: two decimals from 1 USD on, four below (it names it the sub-penny rule)."""
    return price.is_finite() and price > 0 and price % (_CENT if price >= 1 else _SUB_CENT) == 0


def _time_in_force(plan: OrderPlan) -> str:
    if has_legs(plan):
        return TimeInForce.GTC.value
    # Alpaca takes parts of a share for the day only; the agent places such a stop anew each day.
    return plan.time_in_force.value if _is_whole(plan.quantity) else TimeInForce.DAY.value


def _legs(plan: OrderPlan) -> dict[str, Any]:
    legs: dict[str, Any] = {}
    if plan.stop_price is not None:
        legs["stop_loss"] = {"stop_price": text_of(plan.stop_price)}
    if plan.target_price is not None:
        legs["take_profit"] = {"limit_price": text_of(plan.target_price)}
    return {"order_class": "bracket" if len(legs) == 2 else "oto", **legs}


def _is_whole(quantity: Decimal) -> bool:
    return quantity == quantity.to_integral_value()
