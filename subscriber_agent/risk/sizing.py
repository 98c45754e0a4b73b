"""How many shares: the size the friend asked for, cut down by each of his caps in turn. Floored, never rounded up.

Every cap is a minimum, so the result is monotone: no cap made stricter can make an order larger, or accept one more.
All values are reckoned with the dearest price a share can come to.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from subscriber_agent.accounting.book import known
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, clamped, passed, refused

_WHOLE, _PART = Decimal(1), Decimal("0.0001")
# What a method wants to spend, and what each share takes of it; None when the signal lacks what it needs.
Wish = tuple[Decimal, Decimal] | None


def order_size(case: Case) -> Finding:
    """The first quantity: the chosen sizing, at most the allowed share of the buying power."""
    equity, power, price = case.worth.equity, case.worth.buying_power, case.prices.value
    if price is None:
        return refused(Code.NO_PRICE, None, "a price to size by")
    if equity is None or power is None:
        return refused(Code.INSUFFICIENT_FUNDS, None, "a known account")
    wish = METHODS[case.limits.sizing](case, equity, price)
    minimum = f"{_smallest(case)} and {case.limits.min_notional_usd:f} USD"
    if wish is None:
        return refused(Code.SIZE_BELOW_MIN, f"nothing to size by {case.limits.sizing}", minimum)
    affordable = _percent(power, case.limits.max_buying_power_percent)
    step = _step(case)
    quantity = min(_floored(*wish, step), _floored(affordable, price, step))
    observed = f"{max(quantity, Decimal(0)):f} shares at {price:f}"
    if not _is_too_small(case, quantity):
        return passed(observed, minimum, quantity)
    is_part = case.limits.allow_fractions and step == _WHOLE and 0 <= quantity < 1
    return refused(Code.NOT_FRACTIONABLE if is_part else Code.SIZE_BELOW_MIN, observed, minimum)


def _fixed(case: Case, equity: Decimal, price: Decimal) -> Wish:
    return case.limits.fixed_usd, price


def _share_of_equity(case: Case, equity: Decimal, price: Decimal) -> Wish:
    return _percent(equity, case.limits.equity_percent), price


def _risk_per_trade(case: Case, equity: Decimal, price: Decimal) -> Wish:
    """The equity that may be lost over what a share loses when its stop is hit after the worst fill."""
    lost = distance(case, case.prices.stop)
    return None if lost is None else (_percent(equity, case.limits.risk_percent), lost)


def _suggested(case: Case, equity: Decimal, price: Decimal) -> Wish:
    fraction = known(case.signal.suggested_size_fraction)
    if fraction is None:
        return None
    return equity * fraction * case.limits.suggested_factor, price


def _kelly(case: Case, equity: Decimal, price: Decimal) -> Wish:
    """Kelly (1956): f = p - (1 - p) / b with b the target's gain over the stop's loss; as a share of equity invested.

    A confidence is no chance of winning, so p is capped, f is multiplied down, and the result is capped again. Taking
    f as the share invested, where the formula means the share at risk, is the smaller of the two readings.
    """
    loss, gain = distance(case, case.prices.stop), distance(case, case.prices.target)
    confidence, limits = known(case.signal.confidence), case.limits
    if loss is None or gain is None or confidence is None:
        return None
    chance = min(confidence, limits.kelly_win_probability)
    fraction = limits.kelly_factor * (chance * gain - (1 - chance) * loss) / gain
    return min(equity * fraction, _percent(equity, limits.kelly_cap_percent)), price


METHODS: dict[str, Callable[[Case, Decimal, Decimal], Wish]] = {
    "fixed_usd": _fixed,
    "percent_of_equity": _share_of_equity,
    "risk_per_trade": _risk_per_trade,
    "suggested": _suggested,
    "kelly": _kelly,
}


def max_notional(case: Case) -> Finding:
    """Cut down to `max_notional_usd`, or refuse what is above it."""
    return _capped_usd(case, Code.MAX_NOTIONAL, case.limits.max_notional_usd, is_choice=True)


def max_quantity(case: Case) -> Finding:
    """Cut down to `max_quantity` shares, or refuse what is above it."""
    cap = Decimal(case.limits.max_quantity)
    return _capped(case, Code.MAX_QTY, cap, f"{cap:f} shares", is_choice=True)


def exposure(case: Case) -> Finding:
    """Cut down so that all positions and working entries stay within their share of equity."""
    return share_capped(case, Code.MAX_EXPOSURE, case.limits.max_exposure_percent, case.worth.exposure)


def funds(case: Case) -> Finding:
    """Cut down to the cash beyond the reserve; an unknown account refuses."""
    equity, power = case.worth.equity, case.worth.buying_power
    room = None if equity is None or power is None else power - _percent(equity, case.limits.cash_reserve_percent)
    return _capped_usd(case, Code.INSUFFICIENT_FUNDS, room)


def leverage(case: Case) -> Finding:
    """Cut down so that everything held is worth at most `max_leverage` times the equity."""
    return share_capped(case, Code.LEVERAGE, case.limits.max_leverage * 100, case.worth.exposure)


def share_capped(case: Case, code: Code, percent: Decimal, held_usd: Decimal | None) -> Finding:
    """Cut down so that `held_usd` and the order are at most `percent` of equity."""
    equity, held = case.worth.equity, known(held_usd)
    room = None if equity is None or held is None else _percent(equity, percent) - held
    return _capped_usd(case, code, room)


def _capped_usd(case: Case, code: Code, cap_usd: Decimal | None, *, is_choice: bool = False) -> Finding:
    price = case.prices.value
    if cap_usd is None or price is None:
        return refused(code, None, "a known account and price")
    return _capped(case, code, _floored(cap_usd, price, _step(case)), f"{cap_usd:.2f} USD", is_choice=is_choice)


def _capped(case: Case, code: Code, cap: Decimal, limit: str, *, is_choice: bool = False) -> Finding:
    quantity, price = case.quantity, case.prices.value
    if quantity is None or price is None:
        return refused(code, None, limit)
    allowed = min(quantity, cap)
    observed = f"{quantity:f} shares, {quantity * price:.2f} USD"
    is_refusal = is_choice and case.limits.oversize == "refuse" and allowed < quantity
    if is_refusal or _is_too_small(case, allowed):
        return refused(code, observed, limit)
    if allowed < quantity:
        return clamped(code, observed, f"{limit}: {allowed:f} shares", allowed)
    return passed(observed, limit)


def _is_too_small(case: Case, quantity: Decimal) -> bool:
    price = case.prices.value
    return price is None or quantity < _step(case) or quantity * price < case.limits.min_notional_usd


def smallest_order_usd(case: Case) -> Decimal | None:
    """The value of the smallest order that may be made, in USD: one step at least, and the friend's minimum."""
    price = case.prices.value
    if price is None:
        return None
    step = _step(case)
    return max(-(-case.limits.min_notional_usd // (price * step)), Decimal(1)) * step * price


def _step(case: Case) -> Decimal:
    return _PART if case.is_fractional else _WHOLE


def _smallest(case: Case) -> str:
    return f"{_PART} shares" if case.is_fractional else "1 share"


def distance(case: Case, other: Decimal | None) -> Decimal | None:
    """From the worst fill to a stop or target, in USD a share; None when it is not known, or zero."""
    worst = case.prices.worst
    return None if other is None or worst is None else abs(worst - other) or None


def _floored(budget: Decimal, each: Decimal, step: Decimal) -> Decimal:
    """Whole steps that the budget pays for, exactly: integer division never rounds up."""
    return budget // (each * step) * step


def _percent(base: Decimal, percent: Decimal) -> Decimal:
    return base * percent / 100
