"""What a limit would have to be for one check to pass, reckoned from the numbers that the check itself looked at. Pure.

Amounts are rounded to the side that lets the check pass. Whether the result is in a setting's range, and whether the
check passes with it, is asked by `remedies`; nothing here needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from subscriber_agent.accounting.book import known
from subscriber_agent.risk.fields import EVERYTHING, folded
from subscriber_agent.risk.findings import Case
from subscriber_agent.risk.sizing import distance, smallest_order_usd
from subscriber_agent.risk.time_checks import entries_within, published_age_s, published_ahead_s

# Setting by setting, in the form in which `Limits` takes it; empty: no number helps.
Changes = Mapping[str, Any]
_NONE: Changes = {}
_FINE = Decimal("0.0001")


def younger(case: Case) -> Changes:
    """The age that this entry has by now."""
    age_s = published_age_s(case)
    if age_s is None:
        return _NONE
    needed, limits = _up(age_s), case.limits
    others = limits.max_age_s_by_catalyst
    named = [each for each in case.signal.catalysts if each in others]
    if not named and EVERYTHING in others:
        named = [EVERYTHING]
    if not named:
        return {"max_age_s": needed}
    return {"max_age_s_by_catalyst": {**others, **{each: max(needed, others[each]) for each in named}}}


def skewed(case: Case) -> Changes:
    """The larger of the clocks' difference and how far ahead of now the signal was published."""
    skew_s, ahead_s = known(case.market.clock_skew_s), published_ahead_s(case)
    return _NONE if skew_s is None or ahead_s is None else {"max_clock_skew_s": _up(max(abs(skew_s), ahead_s))}


def confident(case: Case) -> Changes:
    """The signal's own confidence."""
    return {"min_confidence": case.signal.confidence}


def catalyst_wanted(case: Case) -> Changes:
    """The lists without, and with, what the signal's catalysts are."""
    limits, signal = case.limits, case.signal
    return {
        "deny_catalysts": _without(limits.deny_catalysts, signal.catalysts),
        "allow_catalysts": _with(limits.allow_catalysts, signal.catalyst),
    }


def ticker_wanted(case: Case) -> Changes:
    """The lists without, and with, the ticker."""
    limits, name = case.limits, case.signal.ticker
    return {"deny_tickers": _without(limits.deny_tickers, (name,)), "allow_tickers": _with(limits.allow_tickers, name)}


def source_wanted(case: Case) -> Changes:
    """The list without the source."""
    return {"deny_sources": _without(case.limits.deny_sources, (folded(case.signal.news.source),))}


def sector_wanted(case: Case) -> Changes:
    """The lists without, and with, the sector; for an unknown one, that it passes."""
    limits, name = case.limits, case.signal.market.sector
    if name is None:
        return {"unknown_sector": "pass", "deny_sectors": _without(limits.deny_sectors, ())}
    mine = folded(name)
    return {
        "deny_sectors": _without(limits.deny_sectors, (mine,)),
        "allow_sectors": _with(limits.allow_sectors, mine),
    }


def price_wanted(case: Case) -> Changes:
    """A range that holds the signal's price and the price now."""
    seen = [each for each in (case.prices.reference, case.prices.current) if each is not None]
    limits = case.limits
    return {
        "min_price_usd": min(limits.min_price_usd, *seen, limits.max_price_usd),
        "max_price_usd": max(limits.max_price_usd, *seen, limits.min_price_usd),
    }


def company_wanted(case: Case) -> Changes:
    """The company's own size; for an unknown one, that it passes."""
    value = known(case.signal.market.market_cap_usd)
    return {"unknown_market_cap": "pass"} if value is None else {"min_market_cap_usd": value}


def volume_wanted(case: Case) -> Changes:
    """The relative volume that it has; for an unknown one, that it passes."""
    value = known(case.signal.market.rvol)
    return {"unknown_rvol": "pass"} if value is None else {"min_rvol": value}


def moved(case: Case) -> Changes:
    """How far the price has run already, in percent."""
    prices = case.prices
    if prices.current is None or prices.reference is None:
        return _NONE
    adverse = (prices.current - prices.reference) * prices.side
    return {"max_price_move_percent": _up(adverse * 100 / prices.reference)}


def session_wanted(case: Case) -> Changes:
    """Your sessions and the one of now."""
    session = case.market.session
    return _NONE if session is None else {"sessions": [*case.limits.sessions, session.value]}


def wider_stop(case: Case) -> Changes:
    """How far the stop is from the price furthest from it, in percent of that price."""
    prices = case.prices
    if prices.stop is None or not prices.all_known:
        return _NONE
    distances = [(price - prices.stop) * prices.side * 100 / price for price in prices.all_known]
    return {"max_stop_distance_percent": _up(max(distances))}


def own_stop(case: Case) -> Changes:
    """A stop of your own as far away as you allow at most; any nearer one does as well."""
    return {"own_stop_percent": case.limits.max_stop_distance_percent}


def order_wanted(case: Case) -> Changes:
    """What the sizing would have to ask for, so that the smallest order comes out: one step, and your minimum."""
    needed, limits = smallest_order_usd(case), case.limits
    equity, power = case.worth.equity, case.worth.buying_power
    if needed is None or not equity or not power or min(equity, power) <= 0:
        return _NONE
    share = max(limits.max_buying_power_percent, _up(needed * 100 / power))
    return {"max_buying_power_percent": share, **_SIZES[limits.sizing](case, needed, equity)}


def _fixed(case: Case, needed: Decimal, equity: Decimal) -> Changes:
    return {"fixed_usd": max(case.limits.fixed_usd, _up(needed))}


def _share(case: Case, needed: Decimal, equity: Decimal) -> Changes:
    return {"equity_percent": max(case.limits.equity_percent, _up(needed * 100 / equity))}


def _risk(case: Case, needed: Decimal, equity: Decimal) -> Changes:
    lost, price = distance(case, case.prices.stop), case.prices.value
    if lost is None or price is None:
        return _NONE
    return {"risk_percent": max(case.limits.risk_percent, _up(needed / price * lost * 100 / equity))}


def _suggestion(case: Case, needed: Decimal, equity: Decimal) -> Changes:
    fraction = known(case.signal.suggested_size_fraction)
    if not fraction:
        return _NONE
    return {"suggested_factor": max(case.limits.suggested_factor, _up(needed / (equity * fraction)))}


def _kelly(case: Case, needed: Decimal, equity: Decimal) -> Changes:
    """The cap alone: what Kelly's own fraction comes to is the signal's matter."""
    return {"kelly_cap_percent": max(case.limits.kelly_cap_percent, _up(needed * 100 / equity))}


_SIZES: dict[str, Callable[[Case, Decimal, Decimal], Changes]] = {
    "fixed_usd": _fixed,
    "percent_of_equity": _share,
    "risk_per_trade": _risk,
    "suggested": _suggestion,
    "kelly": _kelly,
}


def _least_usd(case: Case) -> Decimal | None:
    """What a cap must allow: the whole order where an oversized one is refused, else the smallest that may be made."""
    price = case.prices.value
    if case.quantity is None or price is None:
        return None
    return case.quantity * price if case.limits.oversize == "refuse" else smallest_order_usd(case)


def dearer(case: Case) -> Changes:
    """The largest order value that lets this one through."""
    needed = _least_usd(case)
    return _NONE if needed is None else {"max_notional_usd": _up(needed)}


def more_shares(case: Case) -> Changes:
    """The largest number of shares that lets this order through."""
    needed, price = _least_usd(case), case.prices.value
    return _NONE if needed is None or price is None else {"max_quantity": int(_ceiled(needed / price, Decimal(1)))}


def less_reserve(case: Case) -> Changes:
    """The share of equity in cash that the smallest order would leave."""
    needed, equity, power = smallest_order_usd(case), case.worth.equity, case.worth.buying_power
    if case.quantity is None or needed is None or not equity or power is None:
        return _NONE
    return {"cash_reserve_percent": ((power - needed) * 100 / equity).quantize(_FINE, ROUND_FLOOR)}


def share_of(setting: str, held: Callable[[Case], Decimal | None], whole: int = 100) -> Callable[[Case], Changes]:
    """The share of equity (of `whole`) that what is `held` and the smallest order come to, for that setting."""

    def changes(case: Case) -> Changes:
        needed, equity, worth = smallest_order_usd(case), case.worth.equity, known(held(case))
        if case.quantity is None or needed is None or worth is None or not equity or equity <= 0:
            return _NONE
        return {setting: _up((worth + needed) * whole / equity)}

    return changes


def more_positions(case: Case) -> Changes:
    """One place more than is taken."""
    return {"max_open_positions": len(case.book.occupied) + 1}


def more_orders(case: Case) -> Changes:
    """One entry more than there were in the last 60 seconds."""
    count = entries_within(case, 60)
    return _NONE if count is None else {"max_orders_per_minute": count + 1}


def more_trades(case: Case) -> Changes:
    """One entry more than there were in the last 24 hours."""
    count = entries_within(case, 86_400)
    return _NONE if count is None else {"max_trades_per_day": count + 1}


def without_day_trade_limit(case: Case) -> Changes:
    """No limit, if the broker counts none; the number is his, not yours."""
    return {"limit_day_trades": False}


def _with(names: tuple[str, ...], name: str) -> list[str]:
    return list(names) if EVERYTHING in names or name in names else [*names, name]


def _without(names: tuple[str, ...], denied: tuple[str, ...]) -> list[str]:
    return [each for each in names if each not in denied and each != EVERYTHING]


def _up(value: Decimal) -> Decimal:
    """Rounded up to 1/10000, so that a limit `at most` this lets the value itself pass."""
    return _ceiled(value, _FINE)


def _ceiled(value: Decimal, unit: Decimal) -> Decimal:
    return value.quantize(unit, ROUND_CEILING)
