"""What the loss limits remember: a fold over fills, marks, session starts, latches and resets.

Pure, and the same whether it runs forward or is rebuilt from the journal: whoever keeps it writes each event down
before he counts it. Amounts in USD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

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
        match event:
            case SessionStarted():
                return self._started(event)
            case Marked():
                return self._marked(_amount(event.equity_usd))
            case Traded():
                return self._traded(event.fill)
            case Latched():
                return replace(self, latches=MappingProxyType({**self.latches, event.kind: event.day}))
        return self._reset(event)

    def holds(self, kind: LatchKind, day: date) -> bool:
        """Whether this latch stops entries on trading day `day`; a daily one also if the clock was set back."""
        broken = self.latches.get(kind)
        return broken is not None and (kind is not LatchKind.DAILY or day <= broken)

    def _started(self, event: SessionStarted) -> Ledger:
        # The same day again, or an earlier one after the clock was set back, must not forget the day's losses.
        if self.day is not None and event.day <= self.day:
            return self
        equity = _amount(event.equity_usd)
        # An overnight loss counts to the day on which it is seen: the day starts with what was known before it.
        start = equity if self.equity_usd is None else max(equity, self.equity_usd)
        week = event.day.isocalendar()[:2]
        oldest = event.at - _KEPT
        begun = replace(
            self,
            day=event.day,
            day_start_usd=start,
            week=week,
            week_start_usd=start if week != self.week else self.week_start_usd,
            exited_at=MappingProxyType({ticker: at for ticker, at in self.exited_at.items() if at > oldest}),
            day_trades=tuple(each for each in self.day_trades if each > event.day - _KEPT),
        )
        return begun._marked(equity)

    def _marked(self, equity: Decimal) -> Ledger:
        high = equity if self.high_water_usd is None else max(equity, self.high_water_usd)
        return replace(self, equity_usd=equity, high_water_usd=high)

    def _reset(self, event: Reset) -> Ledger:
        equity = _amount(event.equity_usd)
        latches = MappingProxyType({kind: day for kind, day in self.latches.items() if kind is not event.kind})
        if event.kind is LatchKind.WEEKLY:
            return replace(self, latches=latches, week_start_usd=equity)
        return replace(self, latches=latches, high_water_usd=equity)

    def _traded(self, fill: Fill) -> Ledger:
        signed, price = fill.side.sign * _amount(fill.quantity), _amount(fill.price)
        day = new_york_day(fill.at)
        held = self.trades.get(fill.ticker)
        if held is None:
            return self._with(fill.ticker, Trade(signed, price, day))
        if (held.quantity > 0) == (signed > 0):
            return self._with(fill.ticker, _grown(held, signed, price))
        return self._closed(fill, held, signed, day)

    def _closed(self, fill: Fill, held: Trade, signed: Decimal, day: date) -> Ledger:
        closed = min(abs(held.quantity), abs(signed)).copy_sign(held.quantity)
        realised = held.realised_usd + closed * (fill.price - held.average_price)
        counts_now = held.opened_on == day and not held.is_day_trade
        left = held.quantity + signed
        exited = replace(
            self,
            exited_at=MappingProxyType({**self.exited_at, fill.ticker: fill.at}),
            day_trades=(*self.day_trades, day) if counts_now else self.day_trades,
        )
        if left != 0 and (left > 0) == (held.quantity > 0):
            is_day_trade = held.is_day_trade or counts_now
            rest = replace(held, quantity=left, realised_usd=realised, is_day_trade=is_day_trade)
            return exited._with(fill.ticker, rest)
        turned = None if left == 0 else Trade(left, fill.price, day)
        return exited._with(fill.ticker, turned)._ended(realised, fill.at)

    def _ended(self, realised: Decimal, at: datetime) -> Ledger:
        # A trade without gain or loss neither lengthens the streak nor ends it.
        if realised < 0:
            return replace(self, streak=self.streak + 1, streak_at=at)
        return replace(self, streak=0, streak_at=None) if realised > 0 else self

    def _with(self, ticker: str, trade: Trade | None) -> Ledger:
        others = {other: each for other, each in self.trades.items() if other != ticker}
        return replace(self, trades=MappingProxyType(others if trade is None else {**others, ticker: trade}))


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
