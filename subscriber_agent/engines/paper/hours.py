"""Until when an order for the day works: to the close of the regular session it was made in, or of the next. Pure."""

from __future__ import annotations

from datetime import datetime

from signal_contract.model import Session
from subscriber_agent.accounting.calendar import NYSE


def is_day_over(made_at: datetime, now: datetime) -> bool:
    """Whether its session has closed; False where the calendar does not say: an order is not ended on a guess."""
    made_in, session = NYSE.session_at(made_at), NYSE.session_at(now)
    if made_in is None or session is None:
        return False
    begun_at = made_at if made_in is Session.REGULAR else NYSE.next_open(made_at)
    if begun_at is None or now < begun_at:
        return False
    is_same_day = NYSE.session_day(now) == NYSE.session_day(begun_at)
    return not (is_same_day and session is Session.REGULAR)
