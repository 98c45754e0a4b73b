"""New York's sessions: weekends, holidays, half days, changes of the clock, and the end of what is known."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.model import Session
from subscriber_agent.accounting.calendar import NYSE, new_york_day

NEW_YORK = ZoneInfo("America/New_York")
AFTER_THE_TABLE = datetime(2029, 1, 2, 15, tzinfo=UTC)


def local(text):
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-01-02T03:59:59", Session.CLOSED),
        ("2026-01-02T04:00", Session.PRE),
        ("2026-01-02T09:29:59.999999", Session.PRE),
        ("2026-01-02T09:30", Session.REGULAR),
        ("2026-01-02T15:59:59.999999", Session.REGULAR),
        ("2026-01-02T16:00", Session.AFTER),
        ("2026-01-02T19:59:59", Session.AFTER),
        ("2026-01-02T20:00", Session.CLOSED),
        ("2026-01-03T12:00", Session.CLOSED),
        ("2026-01-04T12:00", Session.CLOSED),
        ("2026-04-03T12:00", Session.CLOSED),
        ("2026-07-03T12:00", Session.CLOSED),
        ("2026-11-26T12:00", Session.CLOSED),
        ("2026-11-27T12:59:59", Session.REGULAR),
        ("2026-11-27T13:00", Session.AFTER),
        ("2026-11-27T16:59:59", Session.AFTER),
        ("2026-11-27T17:00", Session.CLOSED),
        ("2025-01-09T12:00", Session.CLOSED),
    ],
)
def test_the_session_is_the_exchanges_own(at, session):
    assert NYSE.session_at(local(at)) is session


@pytest.mark.parametrize(
    ("day", "utc_open"),
    [("2026-03-06", 14.5), ("2026-03-09", 13.5), ("2026-10-30", 13.5), ("2026-11-02", 14.5)],
)
def test_the_open_follows_new_yorks_clock_over_both_changes(day, utc_open):
    at = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=utc_open)
    assert NYSE.session_at(at) is Session.REGULAR
    assert NYSE.session_at(at - timedelta(microseconds=1)) is Session.PRE
    assert NYSE.next_open(at - timedelta(seconds=1)) == at


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-01-02T00:00", "2026-01-02"),
        ("2026-01-02T23:59", "2026-01-02"),
        ("2026-01-04T23:59", "2026-01-02"),
        ("2026-01-05T00:00", "2026-01-05"),
        ("2026-01-01T12:00", "2025-12-31"),
    ],
)
def test_a_day_without_trading_belongs_to_the_trading_day_before_it(at, day):
    assert NYSE.session_day(local(at)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-01-02T09:29", "2026-01-02T09:30"),
        ("2026-01-02T09:30", "2026-01-05T09:30"),
        ("2026-07-02T17:00", "2026-07-06T09:30"),
    ],
)
def test_the_next_open_is_after_now(at, opens):
    assert NYSE.next_open(local(at)) == local(opens)


@pytest.mark.parametrize(
    "at",
    [
        AFTER_THE_TABLE,
        datetime(2023, 12, 29, 15, tzinfo=UTC),
        datetime(2026, 1, 2, 15),  # noqa: DTZ001
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
    ],
)
def test_outside_the_table_and_without_a_zone_nothing_is_known(at):
    assert (NYSE.session_at(at), NYSE.session_day(at), NYSE.next_open(at)) == (None, None, None)


def test_the_table_ends_and_begins_without_a_guess():
    assert NYSE.next_open(local("2028-12-29T10:00")) is None
    assert NYSE.session_day(local("2024-01-01T12:00")) is None


def test_a_naive_time_has_no_day():
    with pytest.raises(ValueError, match="naive"):
        new_york_day(datetime(2026, 1, 2))  # noqa: DTZ001


@given(
    st.integers(0, 1800 * 24 * 3600).map(lambda seconds: datetime(2024, 1, 3, tzinfo=UTC) + timedelta(seconds=seconds))
)
def test_what_opens_next_is_regular_and_nothing_regular_lies_between(at):
    opens = NYSE.next_open(at)
    assert opens > at
    assert NYSE.session_at(opens) is Session.REGULAR
    assert NYSE.session_at(opens - timedelta(microseconds=1)) is Session.PRE
    if NYSE.session_at(at) is not Session.REGULAR:
        assert NYSE.session_at(at + (opens - at) / 2) is not Session.REGULAR
