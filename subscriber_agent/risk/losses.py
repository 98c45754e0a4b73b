"""How much was lost, against how much may be: the day's, the week's, and from the highest equity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from subscriber_agent.accounting.book import known
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.accounting.ledger import Latched, LatchKind, Ledger
from subscriber_agent.risk.limits import Limits


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost (negative: gained) since a starting point, and the amount that breaks the limit, in USD."""

    kind: LatchKind
    lost_usd: Decimal
    limit_usd: Decimal

    @property
    def is_broken(self) -> bool:
        """At the limit is broken already."""
        return self.lost_usd >= self.limit_usd


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken limit that is not latched yet. `is_flatten`: the friend wants every position closed as well."""

    loss: Loss
    day: date
    at: datetime
    is_flatten: bool

    @property
    def latch(self) -> Latched:
        """The event to write down before it takes effect."""
        return Latched(self.loss.kind, self.day, self.at)


def daily_loss(ledger: Ledger, equity: Decimal | None, limits: Limits) -> Loss | None:
    """The day's loss, realised and not, against the smaller of a share of its first equity and an amount."""
    start, worth = known(ledger.day_start_usd), known(equity)
    if start is None or worth is None:
        return None
    limit = min(start * limits.daily_loss_percent / 100, limits.daily_loss_usd)
    return Loss(LatchKind.DAILY, start - worth, limit)


def weekly_loss(ledger: Ledger, equity: Decimal | None, limits: Limits) -> Loss | None:
    """The calendar week's loss against a share of the week's first equity."""
    start, worth = known(ledger.week_start_usd), known(equity)
    if start is None or worth is None:
        return None
    return Loss(LatchKind.WEEKLY, start - worth, start * limits.weekly_loss_percent / 100)


def drawdown(ledger: Ledger, equity: Decimal | None, limits: Limits) -> Loss | None:
    """How far equity is below its highest, against a share of that."""
    high, worth = known(ledger.high_water_usd), known(equity)
    if high is None or worth is None:
        return None
    return Loss(LatchKind.DRAWDOWN, high - worth, high * limits.max_drawdown_percent / 100)


LOSSES: dict[LatchKind, Callable[[Ledger, Decimal | None, Limits], Loss | None]] = {
    LatchKind.DAILY: daily_loss,
    LatchKind.WEEKLY: weekly_loss,
    LatchKind.DRAWDOWN: drawdown,
}


def breaches(ledger: Ledger, limits: Limits, now: datetime, calendar: Calendar) -> tuple[Breach, ...]:
    """The limits that the ledger's latest equity breaks and that are not latched yet.

    Empty while the session day is not known, or another one than the ledger's: the checks refuse entries then.
    """
    day = calendar.session_day(now)
    if day is None or ledger.day != day:
        return ()
    found = (measure(ledger, ledger.equity_usd, limits) for measure in LOSSES.values())
    return tuple(
        Breach(loss, day, now, limits.flatten_on_breach)
        for loss in found
        if loss is not None and loss.is_broken and not ledger.holds(loss.kind, day)
    )


def paused_until(ledger: Ledger, limits: Limits) -> datetime | None:
    """When the pause after a losing streak ends; None without one. Each further loss begins it anew."""
    if ledger.streak < limits.max_losing_streak or ledger.streak_at is None:
        return None
    return ledger.streak_at + _span(limits.streak_pause_s)


def cooling_until(ledger: Ledger, ticker: str, limits: Limits) -> datetime | None:
    """When the cooldown of a ticker after its latest exit ends; None without an exit."""
    at = ledger.exited_at.get(ticker)
    return None if at is None else at + _span(limits.cooldown_s)


def _span(seconds: Decimal) -> timedelta:
    return timedelta(microseconds=int(seconds * 1_000_000))
