"""Write accounting/nyse.py from exchange_calendars: `python tests/nyse_table.py`. A test compares the two.

The library needs pandas: 1.7 s and 88 MB at import, more than the whole idle agent may take. So it is a tool of the
tests, and the agent ships the few dates that it knows. The exchange announces its holidays about three years ahead.
"""

from datetime import date
from pathlib import Path

FIRST, LAST = date(2024, 1, 1), date(2028, 12, 31)
FILE = Path(__file__).resolve().parent.parent / "subscriber_agent" / "accounting" / "nyse.py"


def closings() -> tuple[list[date], list[date]]:
    """Weekdays without a session, and half days, from FIRST to LAST."""
    import exchange_calendars
    import pandas

    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    trading = {each.date() for each in calendar.sessions}
    weekdays = [each.date() for each in pandas.bdate_range(FIRST, LAST)]
    return [day for day in weekdays if day not in trading], [each.date() for each in calendar.early_closes]


def table() -> str:
    """The module's text."""
    closed, half = closings()
    return f'''"""NYSE days that are not ordinary. Made by tests/nyse_table.py from exchange_calendars, not by hand."""

from __future__ import annotations

FIRST, LAST = "{FIRST}", "{LAST}"

# Weekdays without a session.
CLOSED = """
{_lines(closed)}
"""

# Days that close at 13:00 New York time.
HALF = """
{_lines(half)}
"""
'''


def _lines(days: list[date]) -> str:
    years = sorted({day.year for day in days})
    return "\n".join(" ".join(day.isoformat() for day in days if day.year == year) for year in years)


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
