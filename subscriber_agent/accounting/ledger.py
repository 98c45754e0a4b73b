"""What the loss limits remember: a fold over fills, marks, session starts, latches and resets.

Pure, and the same whether it runs forward or is rebuilt from the journal: whoever keeps it writes each event down
before he counts it. Amounts in USD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from subscriber_agent.accounting.book import ZERO, Fill, known
from subscriber_agent.accounting.calendar import Calendar, new_york_day

# Longer than the longest cooldown (7 days), and always more than five sessions.
_KEPT = timedelta(days=8)


class LatchKind(StrEnum):
    """A loss limit that holds after it was broken: DAILY to the next session, the others until they are reset."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    DRAWDOWN = "DRAWDOWN"


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A trading day began, with this equity: what the day's loss is measured from."""

    day: date
    at: datetime
    equity_usd: Decimal


@dataclass(frozen=True, slots=True)
class Marked:
    """The account was worth this at that moment."""

    at: datetime
    equity_usd: Decimal


@dataclass(frozen=True, slots=True)
class Traded:
    """An order was filled, or a part of it."""

    fill: Fill


@dataclass(frozen=True, slots=True)
class Latched:
    """A loss limit was broken on this trading day."""

    kind: LatchKind
    day: date
    at: datetime


@dataclass(frozen=True, slots=True)
class Reset:
    """The friend looked at a loss and goes on: it is measured anew from this equity. DAILY ends by itself."""

    kind: LatchKind
    at: datetime
    equity_usd: Decimal

    def __post_init__(self) -> None:
        if self.kind is LatchKind.DAILY:
            raise ValueError("a daily latch ends with its session, it cannot be reset")


LedgerEvent = SessionStarted | Marked | Traded | Latched | Reset


@dataclass(frozen=True, slots=True)
class Trade:
    """An open position as the ledger follows it: signed shares, average price, what its parts have realised."""

    quantity: Decimal
    average_price: Decimal
    opened_on: date
    realised_usd: Decimal = ZERO
    is_day_trade: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """Losses, streaks and counters at one moment; None means not known yet.

    `streak` counts losing trades since the last winning one, `streak_at` is when the latest of them was closed;
    `exited_at` is the latest exit by ticker; `day_trades` are New York dates; `latches` the trading day they broke on.
    """

    day: date | None = None
    day_start_usd: Decimal | None = None
    week: tuple[int, int] | None = None
    week_start_usd: Decimal | None = None
    high_water_usd: Decimal | None = None
    equity_usd: Decimal | None = None
    trades: Mapping[str, Trade] = field(default_factory=lambda: MappingProxyType({}))
    streak: int = 0
    streak_at: datetime | None = None
    exited_at: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    day_trades: tuple[date, ...] = ()
    latches: Mapping[LatchKind, date] = field(default_factory=lambda: MappingProxyType({}))

    def after(self, event: LedgerEvent) -> Ledger:
        """The ledger once `event` is counted. Raises ValueError for a fill or an equity that is not a number."""
        return self.after_all((event,))

    def after_all(self, events: Iterable[LedgerEvent]) -> Ledger:
        """The ledger once `events` are counted, the oldest first: years of them are read at each start."""
        running = _Running.of(self)
        for event in events:
            running.count(event)
        return running.ledger()

    def holds(self, kind: LatchKind, day: date) -> bool:
        """Whether this latch stops entries on trading day `day`; a daily one also if the clock was set back."""
        broken = self.latches.get(kind)
        return broken is not None and (kind is not LatchKind.DAILY or day <= broken)


@dataclass(slots=True)
class _Running:
    """A ledger while events are counted, one after the other, in place."""

    day: date | None
    day_start_usd: Decimal | None
    week: tuple[int, int] | None
    week_start_usd: Decimal | None
    high_water_usd: Decimal | None
    equity_usd: Decimal | None
    trades: dict[str, Trade]
    streak: int
    streak_at: datetime | None
    exited_at: dict[str, datetime]
    day_trades: list[date]
    latches: dict[LatchKind, date]

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        return cls(
            ledger.day,
            ledger.day_start_usd,
            ledger.week,
            ledger.week_start_usd,
            ledger.high_water_usd,
            ledger.equity_usd,
            dict(ledger.trades),
            ledger.streak,
            ledger.streak_at,
            dict(ledger.exited_at),
            list(ledger.day_trades),
            dict(ledger.latches),
        )

    def ledger(self) -> Ledger:
        """What was counted so far. Nothing must be counted here afterwards: the ledger holds what this did."""
        return Ledger(
            self.day,
            self.day_start_usd,
            self.week,
            self.week_start_usd,
            self.high_water_usd,
            self.equity_usd,
            MappingProxyType(self.trades),
            self.streak,
            self.streak_at,
            MappingProxyType(self.exited_at),
            tuple(self.day_trades),
            MappingProxyType(self.latches),
        )

    def count(self, event: LedgerEvent) -> None:
        match event:
            case Traded():
                self._trade(event.fill)
            case Marked():
                self._mark(_amount(event.equity_usd))
            case SessionStarted():
                self._start(event)
            case Latched():
                self.latches[event.kind] = event.day
            case Reset():
                self._reset(event)

    def _start(self, event: SessionStarted) -> None:
        # The same day again, or an earlier one after the clock was set back, must not forget the day's losses.
        if self.day is not None and event.day <= self.day:
            return
        equity = _amount(event.equity_usd)
        # An overnight loss counts to the day on which it is seen: the day starts with what was known before it.
        start = equity if self.equity_usd is None else max(equity, self.equity_usd)
        week = event.day.isocalendar()[:2]
        if week != self.week:
            self.week, self.week_start_usd = week, start
        self.day, self.day_start_usd = event.day, start
        oldest = event.at - _KEPT
        self.exited_at = {ticker: at for ticker, at in self.exited_at.items() if at > oldest}
        self.day_trades = [each for each in self.day_trades if each > event.day - _KEPT]
        self._mark(equity)

    def _mark(self, equity: Decimal) -> None:
        self.high_water_usd = equity if self.high_water_usd is None else max(equity, self.high_water_usd)
        self.equity_usd = equity

    def _reset(self, event: Reset) -> None:
        equity = _amount(event.equity_usd)
        self.latches.pop(event.kind, None)
        if event.kind is LatchKind.WEEKLY:
            self.week_start_usd = equity
        else:
            self.high_water_usd = equity

    def _trade(self, fill: Fill) -> None:
        signed, price = fill.side.sign * _amount(fill.quantity), _amount(fill.price)
        day = new_york_day(fill.at)
        held = self.trades.pop(fill.ticker, None)
        if held is None:
            self.trades[fill.ticker] = Trade(signed, price, day)
        elif (held.quantity > 0) == (signed > 0):
            self.trades[fill.ticker] = _grown(held, signed, price)
        else:
            self._close(fill, held, signed, day)

    def _close(self, fill: Fill, held: Trade, signed: Decimal, day: date) -> None:
        closed = min(abs(held.quantity), abs(signed)).copy_sign(held.quantity)
        realised = held.realised_usd + closed * (fill.price - held.average_price)
        counts_now = held.opened_on == day and not held.is_day_trade
        left = held.quantity + signed
        self.exited_at[fill.ticker] = fill.at
        if counts_now:
            self.day_trades.append(day)
        if left != 0 and (left > 0) == (held.quantity > 0):
            is_day_trade = held.is_day_trade or counts_now
            self.trades[fill.ticker] = replace(held, quantity=left, realised_usd=realised, is_day_trade=is_day_trade)
            return
        if left != 0:
            self.trades[fill.ticker] = Trade(left, fill.price, day)
        self._end(realised, fill.at)

    def _end(self, realised: Decimal, at: datetime) -> None:
        # A trade without gain or loss neither lengthens the streak nor ends it.
        if realised < 0:
            self.streak, self.streak_at = self.streak + 1, at
        elif realised > 0:
            self.streak, self.streak_at = 0, None


def due(ledger: Ledger, equity: Decimal | None, now: datetime, calendar: Calendar) -> tuple[LedgerEvent, ...]:
    """What the ledger must be told at `now`: a new session day, a changed equity. Nothing while either is unknown."""
    day, worth = calendar.session_day(now), known(equity)
    if day is None or worth is None:
        return ()
    if ledger.day is None or day > ledger.day:
        return (SessionStarted(day, now, worth),)
    return () if worth == ledger.equity_usd else (Marked(now, worth),)


def _grown(held: Trade, signed: Decimal, price: Decimal) -> Trade:
    quantity = held.quantity + signed
    average = (held.average_price * held.quantity + price * signed) / quantity
    return replace(held, quantity=quantity, average_price=average)


def _amount(value: Decimal) -> Decimal:
    if known(value) is None:
        raise ValueError(f"{value} is not an amount that can be booked")
    return value
