"""What the account was worth over time, summed up. Pure. Amounts in USD, percentages of the high-water mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

_CENT_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Worth:
    """Cash and equity from one moment on."""

    at: datetime
    cash: Decimal
    equity: Decimal


@dataclass(frozen=True, slots=True)
class EquitySummary:
    """From the first row to the last. Drawdowns are from the highest equity before; never negative."""

    since: datetime
    until: datetime
    start_usd: Decimal
    now_usd: Decimal
    high_water_usd: Decimal
    high_water_at: datetime
    low_usd: Decimal
    drawdown_usd: Decimal
    drawdown_percent: Decimal
    max_drawdown_percent: Decimal

    @property
    def change_usd(self) -> Decimal:
        """What was gained or lost; deposits and withdrawals count as well, the agent cannot tell them apart."""
        return self.now_usd - self.start_usd

    @property
    def change_percent(self) -> Decimal | None:
        """The same in percent of the start; None when it started with nothing."""
        return _percent(self.change_usd, self.start_usd) if self.start_usd > 0 else None


def equity_summary(rows: Sequence[Worth]) -> EquitySummary | None:
    """The summary of rows in time order; None without any."""
    if not rows:
        return None
    high, worst = rows[0], Decimal(0)
    for row in rows:
        if row.equity > high.equity:
            high = row
        elif high.equity > 0:
            worst = max(worst, (high.equity - row.equity) * 100 / high.equity)
    first, last = rows[0], rows[-1]
    fall = high.equity - last.equity
    return EquitySummary(
        since=first.at,
        until=last.at,
        start_usd=first.equity,
        now_usd=last.equity,
        high_water_usd=high.equity,
        high_water_at=high.at,
        low_usd=min(row.equity for row in rows),
        drawdown_usd=fall,
        drawdown_percent=_percent(fall, high.equity) if high.equity > 0 else Decimal(0),
        max_drawdown_percent=worst.quantize(_CENT_PERCENT, ROUND_HALF_EVEN),
    )


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return (part * 100 / whole).quantize(_CENT_PERCENT, ROUND_HALF_EVEN)
