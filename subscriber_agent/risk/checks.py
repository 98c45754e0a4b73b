"""The checks in their order, as a table. Each is a small pure function from a case to a finding.

Scope ALL concerns the message itself (is it withdrawn, acted on, a drill?) and the trading state; ENTRY checks would
trap a friend in a position if they stopped an exit, so exits never meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from subscriber_agent.risk import (
    account_checks,
    filter_checks,
    loss_checks,
    message_checks,
    quote_checks,
    sizing,
    stop_checks,
    time_checks,
)
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding


class Scope(StrEnum):
    ALL = "all"
    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Check:
    """One row: its name, whom it concerns, what it does, and the codes it can refuse or cut down with."""

    name: str
    scope: Scope
    run: Callable[[Case], Finding]
    codes: tuple[Code, ...]


def _all(name: str, run: Callable[[Case], Finding], *codes: Code) -> Check:
    return Check(name, Scope.ALL, run, codes)


def _entry(name: str, run: Callable[[Case], Finding], *codes: Code) -> Check:
    return Check(name, Scope.ENTRY, run, codes)


# What stands before it looks at the signal, the rules and the journal, at no word of the engine: all of an exit's
# checks do, where our own log holds nothing in its ticker.
FIRST_TO_ASK = "price"
CHECKS: tuple[Check, ...] = (
    _all("trading state", message_checks.trading_state, Code.HALTED, Code.REDUCING),
    _all("retracted", message_checks.retracted, Code.RETRACTED),
    _all("superseded", message_checks.superseded, Code.SUPERSEDED),
    _all("duplicate", message_checks.duplicate, Code.DUPLICATE),
    _all("drill", message_checks.drill, Code.DRILL_REFUSED),
    Check("position to close", Scope.EXIT, message_checks.position_to_close, (Code.NO_POSITION,)),
    _entry("age", time_checks.age, Code.STALE),
    _entry("expiry", time_checks.expiry, Code.EXPIRED),
    _entry("clock", time_checks.clock, Code.CLOCK_SKEW),
    _entry("confidence", filter_checks.confidence, Code.LOW_CONFIDENCE),
    _entry("catalyst", filter_checks.catalyst, Code.CATALYST_FILTERED),
    _entry("ticker", filter_checks.ticker, Code.TICKER_DENIED),
    _entry("source", filter_checks.source, Code.SOURCE_DENIED),
    _entry("classifier", filter_checks.classifier, Code.DEGRADED_CLASSIFIER),
    _entry("side", filter_checks.side, Code.SIDE_DISABLED),
    _entry("price", filter_checks.price_range, Code.NO_PRICE, Code.PRICE_OUT_OF_RANGE),
    _entry("market cap", filter_checks.market_cap, Code.MARKET_CAP_LOW),
    _entry("relative volume", filter_checks.relative_volume, Code.RVOL_LOW),
    _entry("sector", filter_checks.sector, Code.SECTOR_FILTERED),
    _entry("price move", quote_checks.price_moved, Code.NO_QUOTE, Code.PRICE_MOVED),
    _entry("session", time_checks.session, Code.SESSION_CLOSED),
    _entry("halted symbol", quote_checks.halted, Code.SYMBOL_HALTED),
    _entry("tradable symbol", quote_checks.tradable, Code.NOT_TRADABLE),
    _entry("shortable symbol", quote_checks.shortable, Code.NOT_SHORTABLE),
    _entry("stop", stop_checks.stop, Code.STOP_REQUIRED, Code.STOP_WRONG_SIDE, Code.STOP_TOO_WIDE),
    _entry("target", stop_checks.target, Code.TARGET_WRONG_SIDE),
    _entry(
        "order size",
        sizing.order_size,
        Code.SIZE_BELOW_MIN,
        Code.NOT_FRACTIONABLE,
        Code.NO_PRICE,
        Code.INSUFFICIENT_FUNDS,
    ),
    _entry("order value", sizing.max_notional, Code.MAX_NOTIONAL),
    _entry("order quantity", sizing.max_quantity, Code.MAX_QTY),
    _entry("open positions", account_checks.open_positions, Code.MAX_OPEN_POSITIONS),
    _entry("one per ticker", account_checks.one_per_ticker, Code.OPPOSITE_ORDER_OPEN, Code.ALREADY_IN_POSITION),
    _entry("exposure", sizing.exposure, Code.MAX_EXPOSURE),
    _entry("ticker exposure", account_checks.ticker_exposure, Code.MAX_TICKER_EXPOSURE),
    _entry("catalyst exposure", account_checks.catalyst_exposure, Code.MAX_CATALYST_EXPOSURE),
    _entry("sector exposure", account_checks.sector_exposure, Code.MAX_SECTOR_EXPOSURE),
    _entry("daily loss", loss_checks.daily_loss, Code.DAILY_LOSS),
    _entry("weekly loss", loss_checks.weekly_loss, Code.WEEKLY_LOSS),
    _entry("drawdown", loss_checks.drawdown, Code.DRAWDOWN),
    _entry("losing streak", loss_checks.losing_streak, Code.LOSS_STREAK),
    _entry("cooldown", loss_checks.cooldown, Code.COOLDOWN),
    _entry("order rate", time_checks.order_rate, Code.ORDER_RATE),
    _entry("trades per day", time_checks.trades_per_day, Code.MAX_TRADES_PER_DAY),
    _entry("funds", sizing.funds, Code.INSUFFICIENT_FUNDS),
    _entry("account", account_checks.account_blocked, Code.ACCOUNT_BLOCKED),
    _entry("leverage", sizing.leverage, Code.LEVERAGE),
    _entry("day trades", loss_checks.day_trades, Code.DAY_TRADE_LIMIT),
    _entry("tick", quote_checks.tick, Code.TICK_SIZE),
    _entry("approval", account_checks.approval, Code.APPROVAL_REQUIRED),
    _entry("engine health", account_checks.engine_health, Code.ENGINE_UNHEALTHY),
    _entry("ledger", account_checks.ledger_match, Code.LEDGER_MISMATCH),
    _entry("hold time", stop_checks.hold_time),
)
