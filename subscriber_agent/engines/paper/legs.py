"""The stop and the target that the market holds for an entry: they grow with its fills and end with its position. Pure.

Two entries in one ticker have legs each. What is closed by other orders comes off the oldest shares first, so the legs
of the newest entries stand longest; together the legs never close more than is held.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import OutcomeState, triggered_order_id
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Order
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

_ZERO = Decimal(0)


def grow_legs(turn: Turn, entry: Order, quantity: Decimal, now: datetime) -> None:
    """Protect `quantity` more shares of an entry; `entry` is given as it was before they filled."""
    for leg in (Leg.STOP, Leg.TARGET):
        order_id = triggered_order_id(entry.order_id, leg)
        held = turn.orders.get(order_id)
        if held is not None:
            turn.put(replace(held, asked=held.asked + quantity))
        elif entry.filled == 0 and (new := leg_of(entry, leg, quantity, now)) is not None:
            turn.put(new)


def fit_legs(turn: Turn, ticker: str, cause: Order) -> None:
    """After a fill of `cause`: its other leg goes, and no leg closes more than is left of its position."""
    if cause.entry_id:
        _end_bracket(turn, cause.entry_id, f"its {cause.plan.leg.value} was triggered")
    held = turn.book.positions.get(ticker)
    signed = _ZERO if held is None else held.quantity
    left = abs(signed)
    legs = [each for each in turn.orders.values() if each.entry_id and each.plan.ticker == ticker]
    for entry_id in reversed(dict.fromkeys(each.entry_id for each in legs)):
        pair = [each for each in legs if each.entry_id == entry_id]
        room = min(pair[0].open, left) if signed * pair[0].plan.side.sign < 0 else _ZERO
        left -= room
        if room == 0:
            _end_bracket(turn, entry_id, "the position is closed")
        elif room < pair[0].open:
            for each in pair:
                turn.put(replace(each, asked=each.filled + room))


def leg_of(entry: Order, leg: Leg, quantity: Decimal, now: datetime) -> Order | None:
    """The stop or the target of an entry for `quantity` shares; None where its plan has none."""
    plan = entry.plan
    trigger = plan.stop_price if leg is Leg.STOP else plan.target_price
    if trigger is None:
        return None
    return Order(
        order_id=triggered_order_id(entry.order_id, leg),
        plan=_leg_plan(plan, leg, quantity, trigger),
        asked=quantity,
        state=OutcomeState.ACCEPTED,
        at=now,
        entry_id=entry.order_id,
    )


def _end_bracket(turn: Turn, entry_id: str, detail: str) -> None:
    """End the legs of an entry that still work, and what of the entry itself has not filled."""
    for each in [each for each in turn.orders.values() if entry_id in (each.order_id, each.entry_id)]:
        turn.end(each, detail)


def _leg_plan(plan: OrderPlan, leg: Leg, quantity: Decimal, trigger: Decimal) -> OrderPlan:
    return OrderPlan(
        ticker=plan.ticker,
        side=Side.SELL if plan.side is Side.BUY else Side.BUY,
        leg=leg,
        quantity=quantity,
        order_type=OrderType.LIMIT if leg is Leg.TARGET else OrderType.STOP,
        limit_price=trigger if leg is Leg.TARGET else None,
        stop_price=trigger if leg is Leg.STOP else None,
        target_price=None,
        time_in_force=TimeInForce.GTC,
        reference_price=None,
        reference_price_at=None,
        catalyst=plan.catalyst,
        sector=plan.sector,
    )
