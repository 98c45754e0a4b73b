"""Equity and exposure over time: exact extremes and means, and a bounded number of points to draw. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

MAX_POINTS = 2_000
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Point:
    """Equity and gross exposure in USD from `at` on; None where a price is not known."""

    at: datetime
    equity_usd: Decimal | None
    exposure_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The whole way. The mean is weighted by time; the drawdown is from the highest equity before, in percent."""

    points: tuple[Point, ...] = ()
    max_exposure_usd: Decimal = _ZERO
    mean_exposure_usd: Decimal | None = None
    max_drawdown_percent: Decimal = _ZERO


class CurveRecorder:
    """Takes points in time order. Beyond `MAX_POINTS` it keeps every second one: memory stays bounded."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._last: Point | None = None
        self._stride = 1
        self._taken = 0
        self._weighted = _ZERO
        self._seconds = _ZERO
        self._max_exposure = _ZERO
        self._peak: Decimal | None = None
        self._drawdown = _ZERO

    def add(self, at: datetime, equity_usd: Decimal | None, exposure_usd: Decimal | None) -> None:
        """Note that the account stands so from `at` on; `at` never goes back. The same again changes nothing."""
        last = self._last
        if last is not None and last.equity_usd == equity_usd and last.exposure_usd == exposure_usd:
            return
        self._weigh(at)
        point = Point(at, equity_usd, exposure_usd)
        if self._taken % self._stride == 0:
            self._points.append(point)
            if len(self._points) >= 2 * MAX_POINTS:
                self._points = self._points[::2]
                self._stride *= 2
        self._taken += 1
        self._last = point
        self._note_extremes(point)

    def end(self, at: datetime | None) -> Curve:
        """The curve up to `at` (the last thing that happened; None when nothing did)."""
        if at is None or self._last is None:
            return Curve()
        self._weigh(at)
        closing = Point(at, self._last.equity_usd, self._last.exposure_usd)
        points = self._points if self._points[-1] == closing else [*self._points, closing]
        mean = self._weighted / self._seconds if self._seconds else self._last.exposure_usd
        return Curve(tuple(points), self._max_exposure, mean, self._drawdown)

    def _weigh(self, until: datetime) -> None:
        if self._last is None or self._last.exposure_usd is None:
            return
        passed_s = Decimal((until - self._last.at) // timedelta(microseconds=1)) / 1_000_000
        self._weighted += self._last.exposure_usd * passed_s
        self._seconds += passed_s

    def _note_extremes(self, point: Point) -> None:
        if point.exposure_usd is not None:
            self._max_exposure = max(self._max_exposure, point.exposure_usd)
        equity = point.equity_usd
        if equity is None:
            return
        if self._peak is None or equity > self._peak:
            self._peak = equity
        elif self._peak > 0:
            self._drawdown = max(self._drawdown, (self._peak - equity) * 100 / self._peak)
