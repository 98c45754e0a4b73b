"""Entries that were meant for the day but had to go out until cancelled: withdrawn when the session is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import date, datetime

from signal_contract.model import Session
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.engines.alpaca.answers import Unreadable
from subscriber_agent.engines.alpaca.sdk import Lost, Refused

_log = logging.getLogger("catalyst.engine")

_TICK_S = 15.0


class DayEnd:
    """`withdraw(order_id)` asks to end the unfilled rest; True says that there is none."""

    def __init__(
        self, calendar: Calendar, clock: Callable[[], datetime], withdraw: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._calendar, self._clock, self._withdraw = calendar, clock, withdraw
        self._days: dict[str, date | None] = {}

    def add(self, order_id: str, sent_at: datetime) -> None:
        """Remember an entry by the session in which it was sent."""
        self._days[order_id] = self._calendar.session_day(sent_at)

    async def run(self) -> None:
        """Look every 15 s, for as long as the engine is open."""
        while True:
            await self.tick()
            await asyncio.sleep(_TICK_S)

    async def tick(self) -> None:
        """Withdraw every entry whose session is not the present one; again at the next tick until it is over."""
        now = self._clock()
        is_open = self._calendar.session_at(now) is Session.REGULAR
        today = self._calendar.session_day(now)
        for order_id, day in list(self._days.items()):
            if is_open and day is not None and day == today:
                continue
            try:
                if await self._withdraw(order_id):
                    self._days.pop(order_id, None)
            except (Refused, Lost, Unreadable) as error:
                _log.warning("entry %s cannot be withdrawn at the end of its day yet: %s", order_id, error)
