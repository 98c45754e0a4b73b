"""At which price an order fills, and how much of it at first: a table of cases, and luck that can be computed again.

    market            the side it meets, made worse by the slippage
    stop, reached     the same: the price seen, however far beyond the stop it is (a gap is a gap)
    limit, arriving   the same, but never beyond its limit
    limit, resting    its own limit; so does a target
    else              it waits

Pure. Slippage and spread are always against the friend, also in rounding.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from subscriber_agent.accounting.book import Side
from subscriber_agent.engines.paper.values import TICK, Order, Terms, Tick
from subscriber_agent.risk.decision import OrderType

_RANGE = Decimal(2**64)
_LEAST_PART, _MOST_PART = Decimal("0.1"), Decimal("0.9")


def fill_price(order: Order, tick: Tick, terms: Terms) -> Decimal | None:
    """USD a share at which an order fills now; None: its price has not come."""
    plan = order.plan
    touch = tick.touch(plan.side)
    if plan.order_type is OrderType.MARKET:
        return worse(touch, plan.side, terms)
    if plan.order_type is OrderType.STOP:
        is_reached = plan.stop_price is not None and (touch - plan.stop_price) * plan.side.sign >= 0
        return worse(touch, plan.side, terms) if is_reached else None
    limit = plan.limit_price
    if limit is None or (limit - touch) * plan.side.sign < 0:
        return None
    return limit if order.due_at is None else _within(worse(touch, plan.side, terms), limit, plan.side)


def worse(price: Decimal, side: Side, terms: Terms) -> Decimal:
    """A price after slippage; without slippage it stays exact."""
    if terms.slippage == 0:
        return price
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return max((price * (1 + side.sign * terms.slippage)).quantize(TICK, rounding), TICK)


def first_part(order_id: str, quantity: Decimal, terms: Terms) -> Decimal:
    """How many of `quantity` shares fill at first: all of them, or by chance 10 to 90 % and at least one step."""
    if luck(terms, order_id, "partial") >= terms.partial_percent:
        return quantity
    step = TICK if terms.fractions else Decimal(1)
    share = _LEAST_PART + (_MOST_PART - _LEAST_PART) * luck(terms, order_id, "part") / 100
    part = max((quantity * share).quantize(step, ROUND_FLOOR), step)
    return part if part < quantity else quantity


def is_unlucky(order_id: str, terms: Terms) -> bool:
    """Whether chance rejects an order."""
    return luck(terms, order_id, "reject") < terms.reject_percent


def luck(terms: Terms, order_id: str, what: str) -> Decimal:
    """A number from 0 to just below 100, by seed and order alone: never by the process or the hour."""
    digest = hashlib.sha256(f"{terms.seed}\x1f{order_id}\x1f{what}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * 100 / _RANGE


def _within(price: Decimal, limit: Decimal, side: Side) -> Decimal:
    return min(price, limit) if side is Side.BUY else max(price, limit)
