"""The checks in their order, as a table. Each is a small pure function from a case to a finding.

Scope ALL concerns the message itself (is it withdrawn, acted on, a drill?) and the trading state; ENTRY checks would
trap a friend in a position if they stopped an exit, so exits never meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from signal_contract.model import Action
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, passed, refused
from subscriber_agent.risk.limits import EVERYTHING
from subscriber_agent.risk.market import TradingState
from subscriber_agent.risk.sizing import exposure, funds, max_notional, max_quantity, order_size


class Scope(StrEnum):
    ALL = "all"
    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    scope: Scope
    run: Callable[[Case], Finding]

    def applies_to(self, case: Case) -> bool:
        return self.scope is Scope.ALL or (self.scope is Scope.EXIT) == case.is_exit


def _trading_state(case: Case) -> Finding:
    state = case.market.trading_state
    if state is TradingState.HALTED:
        return refused(Code.HALTED, state, "ACTIVE, or REDUCING for exits")
    if state is TradingState.REDUCING and not case.is_exit:
        return refused(Code.REDUCING, state, TradingState.ACTIVE)
    return passed(state, "ACTIVE, or REDUCING for exits")


def _retracted(case: Case) -> Finding:
    # A retraction is final: a later revision of a withdrawn signal is refused as well.
    return refused(Code.RETRACTED, "withdrawn", "valid") if case.market.is_retracted else passed("valid", "valid")


def _superseded(case: Case) -> Finding:
    mine, latest = case.signal.revision, case.market.latest_revision
    if latest > mine:
        return refused(Code.SUPERSEDED, f"revision {mine}", f"revision {latest}")
    return passed(f"revision {mine}", "the latest revision")


def _duplicate(case: Case) -> Finding:
    if case.signal.signal_id in case.book.acted_ids:
        return refused(Code.DUPLICATE, "acted on before", "once per signal")
    return passed("not acted on", "once per signal")


def _drill(case: Case) -> Finding:
    # Any other value than "false" is a drill: a misspelt mark must not reach real money.
    mark = case.signal.meta.get("drill", "false")
    if mark != "false" and not case.market.is_paper:
        return refused(Code.DRILL_REFUSED, f"drill: {mark}", "paper engines only")
    return passed(f"drill: {mark}", "paper engines only")


def _position_to_close(case: Case) -> Finding:
    held = case.book.positions.get(case.signal.ticker)
    if held is None or not held.quantity.is_finite() or held.quantity == 0:
        return refused(Code.NO_POSITION, f"no position in {case.signal.ticker}", "a position")
    return passed(held.quantity, "a position")


def _age(case: Case) -> Finding:
    limit = f"{case.limits.max_age_s:f} s"
    now = case.server_now
    if now is None:
        return refused(Code.STALE, None, limit)
    age_s = _seconds(now - case.signal.published_at)
    observed = f"{age_s:.1f} s"
    return refused(Code.STALE, observed, limit) if age_s > case.limits.max_age_s else passed(observed, limit)


def _expiry(case: Case) -> Finding:
    expires_at, now = case.signal.expires_at, case.server_now
    if expires_at is None or now is None:
        return refused(Code.EXPIRED, None, "before its expiry")
    observed, limit = now.isoformat(), f"before {expires_at.isoformat()}"
    return refused(Code.EXPIRED, observed, limit) if now >= expires_at else passed(observed, limit)


def _clock(case: Case) -> Finding:
    allowed_s = case.limits.max_clock_skew_s
    limit, now = f"{allowed_s:f} s", case.server_now
    if now is None or case.market.clock_skew_s is None:
        return refused(Code.CLOCK_SKEW, None, limit)
    skew_s = abs(case.market.clock_skew_s)
    ahead_s = _seconds(case.signal.published_at - now)
    observed = f"skew {skew_s:.1f} s, published {max(ahead_s, Decimal(0)):.1f} s ahead"
    if skew_s > allowed_s or ahead_s > allowed_s:
        return refused(Code.CLOCK_SKEW, observed, limit)
    return passed(observed, limit)


def _confidence(case: Case) -> Finding:
    observed, limit = case.signal.confidence, case.limits.min_confidence
    return refused(Code.LOW_CONFIDENCE, observed, limit) if observed < limit else passed(observed, limit)


def _catalyst(case: Case) -> Finding:
    limits, signal = case.limits, case.signal
    denied = [each for each in signal.catalysts if each in limits.deny_catalysts or EVERYTHING in limits.deny_catalysts]
    if denied:
        return refused(Code.CATALYST_FILTERED, ", ".join(denied), "not on the deny list")
    if EVERYTHING not in limits.allow_catalysts and signal.catalyst not in limits.allow_catalysts:
        return refused(Code.CATALYST_FILTERED, signal.catalyst, ", ".join(limits.allow_catalysts) or "none")
    return passed(signal.catalyst, "allowed and not denied")


def _ticker(case: Case) -> Finding:
    limits, ticker = case.limits, case.signal.ticker
    if ticker in limits.deny_tickers or EVERYTHING in limits.deny_tickers:
        return refused(Code.TICKER_DENIED, ticker, "not on the deny list")
    if EVERYTHING not in limits.allow_tickers and ticker not in limits.allow_tickers:
        return refused(Code.TICKER_DENIED, ticker, "on the allow list")
    return passed(ticker, "allowed and not denied")


def _side(case: Case) -> Finding:
    if case.signal.action is Action.SELL and not case.limits.allow_shorts:
        return refused(Code.SIDE_DISABLED, "short sale", "shorts are off")
    return passed(case.signal.action.value, "shorts allowed" if case.limits.allow_shorts else "shorts are off")


def _price(case: Case) -> Finding:
    low, high = case.limits.min_price_usd, case.limits.max_price_usd
    limit = f"{low:f} to {high:f} USD"
    if case.price is None:
        return refused(Code.NO_PRICE, None, limit)
    if not low <= case.price <= high:
        return refused(Code.PRICE_OUT_OF_RANGE, case.price, limit)
    return passed(case.price, limit)


def _stop(case: Case) -> Finding:
    stop, price = case.signal.stop_price, case.price
    widest = case.limits.max_stop_distance_percent
    if stop is None or price is None:
        return refused(Code.STOP_REQUIRED, stop, "a stop and a price to measure it from")
    loss = price - stop if case.signal.action is Action.BUY else stop - price
    if loss <= 0:
        return refused(Code.STOP_WRONG_SIDE, stop, f"on the loss side of {price:f}")
    observed, limit = f"{loss * 100 / price:.2f} %", f"{widest:f} %"
    # Multiplied out: a rounded quotient must not decide.
    return refused(Code.STOP_TOO_WIDE, observed, limit) if loss * 100 > widest * price else passed(observed, limit)


def _target(case: Case) -> Finding:
    target, price = case.signal.target_price, case.price
    if target is None:
        return passed("none", "on the profit side")
    if price is None:
        return refused(Code.TARGET_WRONG_SIDE, None, "a price to measure it from")
    gain = target - price if case.signal.action is Action.BUY else price - target
    if gain <= 0:
        return refused(Code.TARGET_WRONG_SIDE, target, f"on the profit side of {price:f}")
    return passed(target, f"on the profit side of {price:f}")


def _open_positions(case: Case) -> Finding:
    count, limit = len(case.book.occupied), case.limits.max_open_positions
    return refused(Code.MAX_OPEN_POSITIONS, count, limit) if count >= limit else passed(count, limit)


def _one_per_ticker(case: Case) -> Finding:
    ticker = case.signal.ticker
    if ticker in case.book.occupied:
        return refused(Code.ALREADY_IN_POSITION, ticker, "one position per ticker")
    return passed(ticker, "one position per ticker")


def _rate(case: Case) -> Finding:
    limit = case.limits.max_orders_per_minute
    count = _entries_within(case, timedelta(minutes=1))
    return refused(Code.ORDER_RATE, count, limit) if count is None or count >= limit else passed(count, limit)


def _trades_per_day(case: Case) -> Finding:
    limit = case.limits.max_trades_per_day
    count = _entries_within(case, timedelta(days=1))
    return refused(Code.MAX_TRADES_PER_DAY, count, limit) if count is None or count >= limit else passed(count, limit)


def _entries_within(case: Case, span: timedelta) -> int | None:
    """Entries in the last `span`, those in the future included: a clock set back must not reset the count."""
    times: tuple[datetime, ...] = (case.now, *case.book.entry_times)
    if any(at.utcoffset() is None for at in times):
        return None
    return sum(at > case.now - span for at in case.book.entry_times)


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / 1_000_000


CHECKS: tuple[Check, ...] = (
    Check("trading state", Scope.ALL, _trading_state),
    Check("retracted", Scope.ALL, _retracted),
    Check("superseded", Scope.ALL, _superseded),
    Check("duplicate", Scope.ALL, _duplicate),
    Check("drill", Scope.ALL, _drill),
    Check("position to close", Scope.EXIT, _position_to_close),
    Check("age", Scope.ENTRY, _age),
    Check("expiry", Scope.ENTRY, _expiry),
    Check("clock", Scope.ENTRY, _clock),
    Check("confidence", Scope.ENTRY, _confidence),
    Check("catalyst", Scope.ENTRY, _catalyst),
    Check("ticker", Scope.ENTRY, _ticker),
    Check("side", Scope.ENTRY, _side),
    Check("price", Scope.ENTRY, _price),
    Check("stop", Scope.ENTRY, _stop),
    Check("target", Scope.ENTRY, _target),
    Check("order size", Scope.ENTRY, order_size),
    Check("order value", Scope.ENTRY, max_notional),
    Check("order quantity", Scope.ENTRY, max_quantity),
    Check("open positions", Scope.ENTRY, _open_positions),
    Check("one per ticker", Scope.ENTRY, _one_per_ticker),
    Check("exposure", Scope.ENTRY, exposure),
    Check("order rate", Scope.ENTRY, _rate),
    Check("trades per day", Scope.ENTRY, _trades_per_day),
    Check("funds", Scope.ENTRY, funds),
)
