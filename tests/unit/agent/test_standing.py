"""What `risk status` says of each limit is what the checks would find."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from agent_samples import CALM, NOW, TODAY, D, a_book, a_position, some_limits

from subscriber_agent.accounting.book import WorkingEntry
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import Latched, LatchKind, Ledger, Marked, Reset
from subscriber_agent.accounting.standing import Usage, holds, is_resettable, usages
from subscriber_agent.cli.risk import _LABELS
from subscriber_agent.risk.breaker import Breaker

LIMITS = some_limits(weekly_loss_percent=5, max_drawdown_percent=10, cooldown_s=1800)
CLOSED = Breaker()
WEEK_AGO = TODAY - timedelta(days=7)


def used(book=None, ledger=CALM, limits=LIMITS, breaker=CLOSED):
    found = usages(book or a_book(), ledger, limits, breaker, NYSE, NOW)
    return {(each.name, each.of): each for each in found}


def held(ledger, limits=LIMITS, now=NOW):
    return {each.name: each for each in holds(ledger, limits, NYSE, now)}


def test_a_calm_account_uses_nothing_and_nothing_holds_it():
    assert {each.percent for each in used().values()} == {D(0)}
    assert held(CALM) == {}


@pytest.mark.parametrize(
    ("value", "limit", "percent"), [("25", "50", 50), ("-5", "50", 0), ("60", "50", 120), (None, "50", None)]
)
def test_the_share_of_a_limit_is_never_below_zero_and_may_be_above_all_of_it(value, limit, percent):
    known = None if value is None else D(value)
    assert Usage("x", "", known, D(limit), "USD").percent == (None if percent is None else D(percent))


def test_every_limit_has_words_for_people():
    limited = LIMITS.model_copy(update={"limit_day_trades": True})
    found = used(a_book("9500", a_position(catalyst="fda", sector="Healthcare")), limits=limited)
    assert {name for name, _ in found} == set(_LABELS)


def test_a_share_of_nothing_is_not_known():
    assert Usage("x", "", D(1), D(0), "USD").percent is None
    assert Usage("x", "", D(1), None, "USD").percent is None


def test_exposure_is_told_by_ticker_catalyst_and_sector_and_what_has_no_name_counts_to_each():
    book = a_book(
        "8000",
        a_position("ABCD", 200, catalyst="fda", sector="Healthcare"),
        a_position("EFGH", 100, catalyst="merger", sector=None),
        working=(WorkingEntry("IJKL", D(500)),),
    )
    found = used(book)
    assert found["max_exposure_percent", ""].value == 2000
    assert found["max_ticker_exposure_percent", "ABCD"].value == 1000
    assert found["max_ticker_exposure_percent", "IJKL"].value == 500
    assert found["max_catalyst_exposure_percent", "fda"].value == 1500
    assert found["max_catalyst_exposure_percent", "unknown"].value == 500
    assert found["max_sector_exposure_percent", "healthcare"].value == 2000
    assert found["max_open_positions", ""].value == 3
    assert found["max_ticker_exposure_percent", "ABCD"].limit == book.equity * LIMITS.max_ticker_exposure_percent / 100


def test_an_account_of_unknown_worth_has_unknown_shares():
    found = used(a_book("8000", a_position(last_price=None)))
    for name, of in (("max_exposure_percent", ""), ("daily_loss", ""), ("max_ticker_exposure_percent", "ABCD")):
        assert found[name, of].percent is None


def test_losses_entries_and_failures_are_counted_against_their_limits():
    ledger = CALM.after(Marked(NOW, D(9900)))
    times = (NOW - timedelta(hours=25), NOW - timedelta(hours=1), NOW - timedelta(seconds=30))
    found = used(a_book("9900", entry_times=times), ledger, breaker=Breaker(2, NOW))
    assert [found[name, ""].value for name in ("daily_loss", "weekly_loss_percent", "max_drawdown_percent")] == [
        100
    ] * 3
    assert found["weekly_loss_percent", ""].percent == 20
    assert (found["max_orders_per_minute", ""].value, found["max_trades_per_day", ""].value) == (1, 2)
    assert (found["engine_failures", ""].value, found["engine_failures", ""].limit) == (2, LIMITS.engine_failures)


def test_day_trades_are_told_where_they_are_limited():
    ledger = replace(CALM, day_trades=(TODAY, TODAY - timedelta(days=8)))
    assert ("max_day_trades", "") not in used(ledger=ledger)
    limited = LIMITS.model_copy(update={"limit_day_trades": True})
    assert used(ledger=ledger, limits=limited)["max_day_trades", ""].value == 1


def test_each_latch_holds_from_its_day_and_says_how_it_ends():
    ledger = CALM
    for kind in LatchKind:
        ledger = ledger.after(Latched(kind, TODAY, NOW))
    found = held(ledger)
    assert set(found) == {"DAILY", "WEEKLY", "DRAWDOWN"}
    assert {each.since for each in found.values()} == {TODAY.isoformat()}
    assert "next" in found["DAILY"].ends or "trading day" in found["DAILY"].ends
    assert found["WEEKLY"].ends.endswith("risk reset WEEKLY --confirm")


def test_an_old_daily_latch_holds_no_more_and_an_old_weekly_one_does():
    ledger = CALM.after(Latched(LatchKind.DAILY, WEEK_AGO, NOW)).after(Latched(LatchKind.WEEKLY, WEEK_AGO, NOW))
    assert set(held(ledger)) == {"WEEKLY"}


def test_a_streak_and_a_cooldown_hold_until_their_time_is_over():
    ledger = replace(CALM, streak=3, streak_at=NOW, exited_at=MappingProxyType({"ABCD": NOW}))
    found = held(ledger)
    assert found["LOSS_STREAK"].until == NOW + timedelta(seconds=int(LIMITS.streak_pause_s))
    assert found["COOLDOWN ABCD"].until == NOW + timedelta(seconds=1800)
    assert held(ledger, now=NOW + timedelta(days=2)) == {}


def test_only_a_broken_or_latched_loss_can_be_reset():
    fallen = CALM.after(Marked(NOW, D(9400)))
    assert is_resettable(fallen, LatchKind.WEEKLY, D(9400), LIMITS)
    assert not is_resettable(fallen, LatchKind.DRAWDOWN, D(9400), LIMITS)
    assert not is_resettable(Ledger(), LatchKind.WEEKLY, None, LIMITS)
    latched = CALM.after(Latched(LatchKind.DRAWDOWN, TODAY, NOW))
    assert is_resettable(latched, LatchKind.DRAWDOWN, D(10_000), LIMITS)
    assert not is_resettable(
        latched.after(Reset(LatchKind.DRAWDOWN, NOW, D(10_000))), LatchKind.DRAWDOWN, D(10_000), LIMITS
    )
