"""How many shares: the size the friend asked for, cut down by each of his caps in turn. Floored, never rounded up.

Every cap is a minimum, so the result is monotone: no cap made stricter can make an order larger, or accept one more.
"""

from __future__ import annotations

from decimal import Decimal

from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, clamped, passed, refused


def order_size(case: Case) -> Finding:
    """The first quantity: the chosen sizing, at most the allowed share of the buying power."""
    limits, price = case.limits, case.price
    equity, power = case.book.equity, case.book.buying_power
    if price is None:
        return refused(Code.NO_PRICE, None, "a price to size by")
    if equity is None or power is None:
        return refused(Code.INSUFFICIENT_FUNDS, None, "a known account")
    wanted = limits.fixed_usd if limits.sizing == "fixed_usd" else _percent(equity, limits.equity_percent)
    quantity = min(wanted, _percent(power, limits.max_buying_power_percent)) // price
    minimum = f"1 share and {limits.min_notional_usd:f} USD"
    if _is_too_small(case, quantity):
        return refused(Code.SIZE_BELOW_MIN, f"{max(quantity, Decimal(0)):f} shares at {price:f}", minimum)
    return passed(f"{quantity:f} shares at {price:f}", minimum, quantity)


def max_notional(case: Case) -> Finding:
    """Cut down to `max_notional_usd`."""
    return _capped_usd(case, Code.MAX_NOTIONAL, case.limits.max_notional_usd)


def max_quantity(case: Case) -> Finding:
    """Cut down to `max_quantity` shares."""
    cap = Decimal(case.limits.max_quantity)
    return _capped(case, Code.MAX_QTY, cap, f"{cap:f} shares")


def exposure(case: Case) -> Finding:
    """Cut down so that all positions and working entries stay within their share of equity."""
    equity, held = case.book.equity, case.book.exposure
    room = None if equity is None or held is None else _percent(equity, case.limits.max_exposure_percent) - held
    return _capped_usd(case, Code.MAX_EXPOSURE, room)


def funds(case: Case) -> Finding:
    """Cut down to the cash beyond the reserve; an unknown account refuses."""
    equity, power = case.book.equity, case.book.buying_power
    room = None if equity is None or power is None else power - _percent(equity, case.limits.cash_reserve_percent)
    return _capped_usd(case, Code.INSUFFICIENT_FUNDS, room)


def _capped_usd(case: Case, code: Code, cap_usd: Decimal | None) -> Finding:
    if cap_usd is None or case.price is None:
        return refused(code, None, "a known account and price")
    return _capped(case, code, cap_usd // case.price, f"{cap_usd:.2f} USD")


def _capped(case: Case, code: Code, cap: Decimal, limit: str) -> Finding:
    quantity, price = case.quantity, case.price
    if quantity is None or price is None:
        return refused(code, None, limit)
    allowed = min(quantity, cap)
    observed = f"{quantity:f} shares, {quantity * price:.2f} USD"
    if _is_too_small(case, allowed):
        return refused(code, observed, limit)
    if allowed < quantity:
        return clamped(code, observed, f"{limit}: {allowed:f} shares", allowed)
    return passed(observed, limit)


def _is_too_small(case: Case, quantity: Decimal) -> bool:
    price = case.price
    return price is None or quantity < 1 or quantity * price < case.limits.min_notional_usd


def _percent(base: Decimal, percent: Decimal) -> Decimal:
    return base * percent / 100
