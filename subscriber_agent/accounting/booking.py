"""From an engine's running total to single executions: what is new in it is one fill. Pure.

An engine says how much of an order has filled and at which average price. What is booked of it already is taken off;
the rest is the new execution, at the price that makes the average come true.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from subscriber_agent.accounting.book import ZERO, Fill, Side, known

_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_STEP = Decimal("1e-10")


@dataclass(frozen=True, slots=True)
class Part:
    """Shares and USD a share that were not booked yet; `fault` says in words what was wrong with what was said."""

    quantity: Decimal
    price: Decimal | None
    fault: str = ""


def new_part(total: Decimal, average: Decimal | None, booked: Iterable[Fill], *, otherwise: Decimal | None) -> Part:
    """What `total` shares at `average` USD add to the fills that are `booked` of the same order.

    A total that shrank adds nothing and is a fault. A price that is not known, or that cannot be, is taken from
    `otherwise`; without that too the price is None and nothing can be booked.
    """
    with localcontext(_EXACT):
        before = list(booked)
        quantity = sum((each.quantity for each in before), ZERO)
        rest = total - quantity
        if rest < 0:
            return Part(ZERO, None, f"{total:f} shares are said to be filled, {quantity:f} were before")
        if rest == 0:
            return Part(ZERO, None)
        price = _positive(average)
        if price is None:
            return _without_price(rest, _positive(otherwise))
        spent = sum((each.quantity * each.price for each in before), ZERO)
        exact = _positive((total * price - spent) / rest)
        # Averages are rounded by brokers: a rest that would cost nothing, or less, is taken at the average itself.
        return Part(rest, price if exact is None else _rounded(exact))


def _without_price(rest: Decimal, price: Decimal | None) -> Part:
    said = "filled without a price"
    return Part(rest, price, f"{said}: taken as {price:f} USD" if price is not None else f"{said}, and none is known")


def _rounded(price: Decimal) -> Decimal:
    rounded = price.quantize(_STEP)
    return price if rounded <= 0 or rounded == price else rounded


def _positive(price: Decimal | None) -> Decimal | None:
    value = known(price)
    return value if value is not None and value > 0 else None


def is_beyond(held: Decimal, side: Side, quantity: Decimal) -> bool:
    """Whether closing `quantity` shares by `side` closes more than the signed shares `held`."""
    return held * side.sign >= 0 or quantity > abs(held)
