"""When New York trades: sessions and session days, from a table of the NYSE's closings. Pure.

The table ends; beyond its end, and for a naive time, the answer is None: not known, and what is not known refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from signal_contract.model import Session
from subscriber_agent.accounting import nyse

NEW_YORK = ZoneInfo("America/New_York")
_PRE, _OPEN = time(4), time(9, 30)
_CLOSE, _AFTER_END = time(16), time(20)
# On a half day the late session ends early as well.
_HALF_CLOSE, _HALF_AFTER_END = time(13), time(17)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The trading days from `first` to `last`, both included: all weekdays but those `closed`; `half` close early."""

    first: date
    last: date
    closed: frozenset[date]
    half: frozenset[date]

    def session_at(self, instant: datetime) -> Session | None:
        """Pre-market from 4:00, regular from 9:30, after-hours from 16:00 to 20:00 (half days 13:00 to 17:00)."""
        local = _local(instant)
        if local is None or not self._covers(local.date()):
            return None
        if not self._trades_on(local.date()):
            return Session.CLOSED
        return self._session_within(local.date(), local.time())

    def session_day(self, instant: datetime) -> date | None:
        """The trading day that an instant counts to: its date in New York, or the trading day before it.

        So what happens on a weekend belongs to Friday, and a Friday's latch holds until Monday begins.
        """
        local = _local(instant)
        if local is None or not self._covers(local.date()):
            return None
        day = local.date()
        while day >= self.first and not self._trades_on(day):
            day -= _DAY
        return day if day >= self.first else None

    def next_open(self, instant: datetime) -> datetime | None:
        """The first regular open after `instant`, in UTC."""
        local = _local(instant)
        if local is None or not self._covers(local.date()):
            return None
        day = local.date() if local.time() < _OPEN else local.date() + _DAY
        while day <= self.last and not self._trades_on(day):
            day += _DAY
        return datetime.combine(day, _OPEN, NEW_YORK).astimezone(UTC) if day <= self.last else None

    def _covers(self, day: date) -> bool:
        return self.first <= day <= self.last

    def _trades_on(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.closed

    def _session_within(self, day: date, at: time) -> Session:
        is_half = day in self.half
        close, end = (_HALF_CLOSE, _HALF_AFTER_END) if is_half else (_CLOSE, _AFTER_END)
        if at < _PRE or at >= end:
            return Session.CLOSED
        if at < _OPEN:
            return Session.PRE
        return Session.REGULAR if at < close else Session.AFTER


def new_york_day(instant: datetime) -> date:
    """The date in New York at an aware instant; raises ValueError for a naive one."""
    local = _local(instant)
    if local is None:
        raise ValueError("a naive time has no date in New York")
    return local.date()


def _local(instant: datetime) -> datetime | None:
    try:
        return None if instant.utcoffset() is None else instant.astimezone(NEW_YORK)
    except OverflowError:
        return None


def _days(text: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(each) for each in text.split())


NYSE = Calendar(date.fromisoformat(nyse.FIRST), date.fromisoformat(nyse.LAST), _days(nyse.CLOSED), _days(nyse.HALF))
