"""What the engine says about the ticker at this moment: the price now, halts, what can be traded, the tick."""

from __future__ import annotations

from decimal import Decimal

from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, judged, passed, refused, unsaid
from subscriber_agent.risk.prices import Prices, on_tick


def price_moved(case: Case) -> Finding:
    """Refuse without a quote where the engine has quotes, and when the price ran away from the signal's."""
    prices, percent = case.prices, case.limits.max_price_move_percent
    limit = f"{percent:f} % from the signal's price"
    if case.market.quote is None and not case.market.capabilities.quotes:
        return passed("the engine has no quotes", limit)
    if prices.current is None or prices.reference is None:
        return refused(Code.NO_QUOTE, None, f"a quote of the last {case.limits.max_quote_age_s:f} s")
    adverse = (prices.current - prices.reference) * prices.side
    observed = f"{adverse * 100 / prices.reference:.2f} %, now {prices.current:f}"
    # Multiplied out: a rounded quotient must not decide.
    return judged(adverse * 100 <= percent * prices.reference, Code.PRICE_MOVED, observed, limit)


def halted(case: Case) -> Finding:
    """Refuse while the ticker's trading is halted."""
    is_halted = None if case.market.symbol is None else case.market.symbol.is_halted
    return _flag(case, None if is_halted is None else not is_halted, Code.SYMBOL_HALTED, ("halted", "not halted"))


def tradable(case: Case) -> Finding:
    """Refuse what the broker does not trade."""
    is_tradable = None if case.market.symbol is None else case.market.symbol.is_tradable
    return _flag(case, is_tradable, Code.NOT_TRADABLE, ("not tradable", "tradable"))


def shortable(case: Case) -> Finding:
    """Refuse short sales that the engine or the broker cannot make."""
    if not case.is_short:
        return passed("no short sale", "shortable")
    if not case.market.capabilities.shorts:
        return refused(Code.NOT_SHORTABLE, "the engine makes no short sales", "shortable")
    is_shortable = None if case.market.symbol is None else case.market.symbol.is_shortable
    return _flag(case, is_shortable, Code.NOT_SHORTABLE, ("not shortable", "shortable"))


def tick(case: Case) -> Finding:
    """Refuse when putting the prices on their tick leaves no price, or a stop or target on its wrong side."""
    prices, limit = case.prices, "0.01 from 1 USD on, 0.0001 below"
    if prices.worst is None:
        return refused(Code.TICK_SIZE, prices.limit, limit)
    stop, target = exit_ticks(prices)
    is_stop_good = stop is None or (prices.worst - stop) * prices.side > 0
    is_target_good = target is None or (target - prices.worst) * prices.side > 0
    observed = ", ".join(
        f"{name} {'none' if price is None else f'{price:f}'}"
        for name, price in (("limit", prices.limit), ("stop", stop), ("target", target))
    )
    return judged(is_stop_good and is_target_good, Code.TICK_SIZE, observed, limit)


def exit_ticks(prices: Prices) -> tuple[Decimal | None, Decimal | None]:
    """Stop and target on their tick: as orders to sell (or to buy back) they go the other way than the entry."""
    stop = None if prices.stop is None else on_tick(prices.stop, -prices.side)
    target = None if prices.target is None else on_tick(prices.target, -prices.side)
    return stop, target


def _flag(case: Case, is_good: bool | None, code: Code, words: tuple[str, str]) -> Finding:
    bad, good = words
    if is_good is None and case.market.symbol is None and not case.market.capabilities.symbols:
        return passed("the engine does not say", good)
    if is_good is None:
        return unsaid(case, code, good)
    return judged(is_good, code, good if is_good else bad, good)
