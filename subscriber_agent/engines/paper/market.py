"""The pretend market: what an arriving order, a price, the passing of time and a cancellation do to the account. Pure.

    arrives ──▶ REJECTED
            ──▶ ACCEPTED ──▶ PARTLY_FILLED ──▶ FILLED        each fill of an entry grows its legs
                    └──────────────┴─────────▶ CANCELLED     by cancel, at the day's end, or with its position

What closes never closes more than is held, so nothing opens a position by itself. An entry whose legs have ended gets
no more shares: they would stand there without a stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from subscriber_agent.accounting.book import Fill, Leg, WorkingEntry
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.engines.paper.hours import is_day_over
from subscriber_agent.engines.paper.legs import fit_legs, grow_legs
from subscriber_agent.engines.paper.matching import fill_price, first_part, is_unlucky
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Order, Terms, Tick, is_price, tick_of
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

_NO_PRICE = "no price is known"
Ticks = Mapping[str, Tick]


def arrive(
    turn: Turn, order_id: str, plan: OrderPlan, now: datetime, terms: Terms, own: Ticks | None, objection: str | None
) -> None:
    """Take an order that was never seen: reject it, fill it, or let it work.

    `own` are the latest prices of the market's own source, None without one: then the plan's reference price counts.
    `objection` is what already stands against the order as it is.
    """
    order = Order(order_id, plan, plan.quantity, OutcomeState.ACCEPTED, now, due_at=now + terms.latency)
    tick = _arriving_tick(turn, plan, now, terms, own)
    reason = objection or _objection(turn, order, tick, terms, has_source=own is not None)
    if reason is not None:
        asked = plan.quantity if plan.quantity.is_finite() else Decimal(0)
        turn.end(replace(order, asked=asked), reason, OutcomeState.REJECTED)
        return
    turn.put(order)
    if not terms.latency:
        _attempt(turn, order, tick, now, terms)


def price_came(turn: Turn, tick: Tick, now: datetime, terms: Terms) -> None:
    """Mark a ticker and fill what its price reaches; ignore an older price than the last one, and a strange ticker.

    A price with a date to come counts as seen now: it would make every later price an older one.
    """
    ids = [each.order_id for each in turn.orders.values() if each.plan.ticker == tick.ticker]
    if not ids and tick.ticker not in turn.book.positions:
        return
    seen = tick if tick.at <= now else replace(tick, at=now)
    mark = turn.marks.get(seen.ticker)
    if mark is not None and seen.at < mark.at:
        return
    fills = len(turn.fills)
    for order_id in ids:
        order = turn.orders.get(order_id)
        if order is not None and (order.due_at is None or order.due_at <= seen.at):
            _attempt(turn, order, seen, now, terms)
    if len(turn.fills) == fills:
        turn.mark(seen.ticker, seen.last, seen.at)


def time_passed(turn: Turn, now: datetime, terms: Terms, own: Ticks | None) -> None:
    """Fill what has become due, and end what was for a day that is over."""
    for order_id in list(turn.orders):
        order = turn.orders.get(order_id)
        if order is not None and order.due_at is not None and order.due_at <= now:
            _attempt(turn, order, _latest_tick(turn, order.plan, now, terms, own), now, terms)
        order = turn.orders.get(order_id)
        if order is not None and order.plan.time_in_force is TimeInForce.DAY and is_day_over(order.at, now):
            turn.end(order, "the session has closed")


def cancel(turn: Turn, order_id: str) -> None:
    """End what still works of an order, its legs included."""
    for each in [each for each in turn.orders.values() if order_id in (each.order_id, each.entry_id)]:
        turn.end(each, "cancelled")


def _attempt(turn: Turn, order: Order, tick: Tick | None, now: datetime, terms: Terms) -> None:
    price = None if tick is None else fill_price(order, tick, terms)
    if tick is None or price is None:
        if tick is not None and order.due_at is not None:
            turn.put(replace(order, due_at=None))
        return
    quantity = _closable(turn, order) if order.closes else order.open
    reason = _too_dear(turn, order, price) if not order.closes else None
    if reason is not None or quantity == 0:
        turn.end(order, reason or _nothing_to_close(order.plan))
        return
    # Of an order that was handed over; what a stop or a target sets free fills whole.
    if order.filled == 0 and order.plan.order_type is not OrderType.STOP and not order.entry_id:
        quantity = first_part(order.order_id, quantity, terms)
    _fill(turn, order, quantity, price, tick.at, now, terms)


def _fill(
    turn: Turn, order: Order, quantity: Decimal, price: Decimal, seen_at: datetime, now: datetime, terms: Terms
) -> None:
    plan = order.plan
    turn.fill(_executed(order, quantity, price, now, terms), _fill_of(order, quantity, price, now), seen_at)
    if not order.closes:
        grow_legs(turn, order, quantity, now)
    fit_legs(turn, plan.ticker, cause=order)
    if turn.book.positions.get(plan.ticker) is None:
        for each in [each for each in turn.orders.values() if each.plan.ticker == plan.ticker and each.closes]:
            turn.end(each, "the position is closed")


def _executed(order: Order, quantity: Decimal, price: Decimal, now: datetime, terms: Terms) -> Order:
    filled = order.filled + quantity
    average = price if order.price is None else (order.price * order.filled + price * quantity) / filled
    is_done = filled == order.asked
    is_triggered = order.plan.order_type is OrderType.STOP or order.plan.leg is Leg.TARGET
    return replace(
        order,
        filled=filled,
        price=average,
        state=OutcomeState.FILLED if is_done else OutcomeState.PARTLY_FILLED,
        due_at=None if is_done else now + terms.latency,
        detail=f"{order.plan.leg.value} triggered" if is_triggered else order.detail,
    )


def _fill_of(order: Order, quantity: Decimal, price: Decimal, now: datetime) -> Fill:
    plan, is_entry = order.plan, not order.closes
    return Fill(
        order_id=order.order_id,
        ticker=plan.ticker,
        side=plan.side,
        leg=plan.leg,
        quantity=quantity,
        price=price,
        at=now,
        stop_price=plan.stop_price if is_entry else None,
        target_price=plan.target_price if is_entry else None,
        catalyst=plan.catalyst,
        sector=plan.sector,
    )


# What stands against an order ------------------------------------------------------------------------------------


def _objection(turn: Turn, order: Order, tick: Tick | None, terms: Terms, *, has_source: bool) -> str | None:
    plan = order.plan
    # A stop needs no price before its own comes; an exit waits for the next quote rather than be turned away.
    may_wait = plan.order_type is OrderType.STOP or (has_source and order.closes)
    if tick is None and not may_wait:
        return _NO_PRICE
    if order.closes:
        is_covered = _closable(turn, order, is_new=True) >= plan.quantity
        reason = None if is_covered else _nothing_to_close(plan)
    else:
        price = None if tick is None else fill_price(order, tick, terms)
        reason = _too_dear(turn, order, price if price is not None else plan.limit_price or plan.stop_price)
    if reason is None and is_unlucky(order.order_id, terms):
        reason = "rejected by chance, as reject_percent asks for"
    return reason


def _closable(turn: Turn, order: Order, *, is_new: bool = False) -> Decimal:
    """Shares that an order may close: of a new one only those that no other order is about to close.

    Legs do not count among the others: they end with their position.
    """
    held = turn.book.positions.get(order.plan.ticker)
    if held is None or held.quantity * order.plan.side.sign > 0:
        return Decimal(0)
    taken = _sum(each.open for each in _closing(turn.orders.values(), order.plan.ticker)) if is_new else Decimal(0)
    return min(order.open, max(abs(held.quantity) - taken, Decimal(0)))


def _closing(orders: Iterable[Order], ticker: str) -> Iterable[Order]:
    return (each for each in orders if each.plan.ticker == ticker and each.closes and not each.entry_id)


def _too_dear(turn: Turn, order: Order, price: Decimal | None) -> str | None:
    """Whether an entry costs more than there is, beside what other working entries will cost."""
    others = (each for each in turn.orders.values() if not each.closes and each.order_id != order.order_id)
    working = tuple(WorkingEntry(each.plan.ticker, each.open * _likely_price(each.plan)) for each in others)
    power = replace(turn.book, working=working).buying_power
    cost = order.open * (price or Decimal(0))
    is_paid = price is not None and power is not None and cost <= power
    return None if is_paid else f"{cost:.2f} USD is more than the cash at hand"


def _likely_price(plan: OrderPlan) -> Decimal:
    return max(plan.reference_price or Decimal(0), plan.limit_price or Decimal(0))


def _nothing_to_close(plan: OrderPlan) -> str:
    return f"no position of {plan.quantity:f} {plan.ticker} to close"


def _sum(parts: Iterable[Decimal]) -> Decimal:
    return sum(parts, Decimal(0))


# Which price an order meets ---------------------------------------------------------------------------------------


def _arriving_tick(turn: Turn, plan: OrderPlan, now: datetime, terms: Terms, own: Ticks | None) -> Tick | None:
    """The signal's own price; for a stop, which must not jump over a newer one, the latest."""
    if own is not None or plan.order_type is OrderType.STOP:
        return _latest_tick(turn, plan, now, terms, own)
    return _reference_tick(plan, now, terms)


def _latest_tick(turn: Turn, plan: OrderPlan, now: datetime, terms: Terms, own: Ticks | None) -> Tick | None:
    if own is not None:
        return own.get(plan.ticker)
    mark = turn.marks.get(plan.ticker)
    marked = None if mark is None else tick_of(plan.ticker, mark.price, mark.at, terms)
    reference = _reference_tick(plan, now, terms)
    if marked is None or reference is None:
        return marked or reference
    # A reference without a date of its own is no newer than what was seen.
    return reference if plan.reference_price_at is not None and reference.at >= marked.at else marked


def _reference_tick(plan: OrderPlan, now: datetime, terms: Terms) -> Tick | None:
    price = plan.reference_price
    if price is None or not is_price(price):
        return None
    return tick_of(plan.ticker, price, plan.reference_price_at or now, terms)
