"""Where every limit stands: what is used of it, what holds entries back, until when. Pure.

The same sums as the checks make, for people: it decides nothing. Amounts in USD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, Book, Position, WorkingEntry, known, total_known
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.accounting.ledger import LatchKind, Ledger
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.losses import LOSSES, cooling_until, paused_until

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
# The window of the check: eight calendar days always hold five sessions.
_DAY_TRADE_WINDOW = timedelta(days=8)
_UNNAMED = ""
_ENDS = {
    LatchKind.DAILY: "ends with the trading day",
    LatchKind.WEEKLY: "subscriber-agent risk reset WEEKLY --confirm",
    LatchKind.DRAWDOWN: "subscriber-agent risk reset DRAWDOWN --confirm",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit: its setting, of what (a ticker, a sector, …), how much is used of how much; None is not known."""

    name: str
    of: str
    value: Decimal | None
    limit: Decimal | None
    unit: str

    @property
    def percent(self) -> Decimal | None:
        """How much of the limit is used, never below 0; None when it is not known."""
        if self.value is None or self.limit is None or self.limit <= 0:
            return None
        return max(self.value, ZERO) / self.limit * 100


@dataclass(frozen=True, slots=True)
class Hold:
    """What stops entries now: since when (a day or an instant), until when if time ends it, and how it ends."""

    name: str
    since: str
    until: datetime | None
    ends: str


def holds(ledger: Ledger, limits: Limits, calendar: Calendar, now: datetime) -> list[Hold]:
    """The loss latches, the pause after a losing streak and the cooldowns that stop entries at `now`."""
    day = calendar.session_day(now)
    found = [
        Hold(kind.value, since.isoformat(), None, _ENDS[kind])
        for kind, since in ledger.latches.items()
        if day is None or ledger.holds(kind, day)
    ]
    pause = paused_until(ledger, limits)
    if pause is not None and now < pause and ledger.streak_at is not None:
        ends = f"{ledger.streak} losing trades in a row: ends by itself"
        found.append(Hold("LOSS_STREAK", ledger.streak_at.isoformat(), pause, ends))
    for ticker, at in sorted(ledger.exited_at.items()):
        until = cooling_until(ledger, ticker, limits)
        if until is not None and now < until:
            found.append(Hold(f"COOLDOWN {ticker}", at.isoformat(), until, "ends by itself"))
    return found


def usages(
    book: Book, ledger: Ledger, limits: Limits, breaker: Breaker, calendar: Calendar, now: datetime
) -> list[Usage]:
    """Every limit that counts over time or over the account, with what is used of it at `now`."""
    return [
        *_losses(book, ledger, limits),
        Usage("max_losing_streak", "", Decimal(ledger.streak), Decimal(limits.max_losing_streak), "trades"),
        *_shares(book, limits),
        _count("max_open_positions", len(book.occupied), limits.max_open_positions, "positions"),
        *_rates(book, limits, now),
        *_day_trades(ledger, limits, calendar, now),
        _count("engine_failures", breaker.failures, limits.engine_failures, "failures"),
    ]


def _losses(book: Book, ledger: Ledger, limits: Limits) -> Iterator[Usage]:
    names = {
        LatchKind.DAILY: "daily_loss",
        LatchKind.WEEKLY: "weekly_loss_percent",
        LatchKind.DRAWDOWN: "max_drawdown_percent",
    }
    for kind, measure in LOSSES.items():
        loss = measure(ledger, book.equity, limits)
        lost, limit = (None, None) if loss is None else (loss.lost_usd, loss.limit_usd)
        yield Usage(names[kind], "", lost, limit, "USD")


def _shares(book: Book, limits: Limits) -> Iterator[Usage]:
    """Exposure of all together and of each ticker, catalyst and sector, against its share of equity."""
    equity = book.equity

    def usage(name: str, of: str, value: Decimal | None, percent: Decimal) -> Usage:
        return Usage(name, of, value, None if equity is None else equity * percent / 100, "USD")

    yield usage("max_exposure_percent", "", book.exposure, limits.max_exposure_percent)
    yield usage("max_leverage", "", book.exposure, limits.max_leverage * 100)
    yield usage("cash_used", "", _used_cash(book), 100 - limits.cash_reserve_percent)
    held: list[Position | WorkingEntry] = [*book.positions.values(), *book.working]
    groups: tuple[tuple[str, Callable[[Position | WorkingEntry], str], Decimal], ...] = (
        ("max_ticker_exposure_percent", lambda each: each.ticker, limits.max_ticker_exposure_percent),
        ("max_catalyst_exposure_percent", lambda each: each.catalyst, limits.max_catalyst_exposure_percent),
        (
            "max_sector_exposure_percent",
            lambda each: (each.sector or _UNNAMED).strip().casefold(),
            limits.max_sector_exposure_percent,
        ),
    )
    for name, group_of, percent in groups:
        for group in sorted({group_of(each) for each in held}):
            # What has no name may be of any group, and counts to each of them.
            value = total_known(_gross(each) for each in held if group_of(each) in (group, _UNNAMED))
            yield usage(name, group or "unknown", value, percent)


def _gross(held: Position | WorkingEntry) -> Decimal | None:
    if isinstance(held, WorkingEntry):
        return held.notional_usd
    value = held.value
    return None if value is None else abs(value)


def _used_cash(book: Book) -> Decimal | None:
    power = book.buying_power
    return None if book.equity is None or power is None else book.equity - power


def _rates(book: Book, limits: Limits, now: datetime) -> Iterable[Usage]:
    minute = sum(at > now - _MINUTE for at in book.entry_times)
    day = sum(at > now - _DAY for at in book.entry_times)
    return (
        _count("max_orders_per_minute", minute, limits.max_orders_per_minute, "entries in 60 s"),
        _count("max_trades_per_day", day, limits.max_trades_per_day, "entries in 24 h"),
    )


def _day_trades(ledger: Ledger, limits: Limits, calendar: Calendar, now: datetime) -> Iterator[Usage]:
    day = calendar.session_day(now)
    if limits.limit_day_trades and day is not None:
        count = sum(each > day - _DAY_TRADE_WINDOW for each in ledger.day_trades)
        yield _count("max_day_trades", count, limits.max_day_trades, "round trips in 8 days")


def _count(name: str, value: int, limit: int, unit: str) -> Usage:
    return Usage(name, "", Decimal(value), Decimal(limit), unit)


def is_resettable(ledger: Ledger, kind: LatchKind, equity: Decimal | None, limits: Limits) -> bool:
    """Whether a reset of this loss limit would change anything: it is latched, or broken at this equity."""
    loss = LOSSES[kind](ledger, known(equity), limits)
    return kind in ledger.latches or (loss is not None and loss.is_broken)
