"""Losses, streaks, cooldowns and latches: what they do to entries, and that a rebuilt ledger is the same ledger."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from agent_samples import (
    NOW,
    PAPER,
    REAL,
    TODAY,
    D,
    a_book,
    a_close,
    a_position,
    a_signal,
    code_of,
    decided,
    some_limits,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import Latched, LatchKind, Ledger, Marked, Reset, SessionStarted, Traded, due
from subscriber_agent.accounting.ledger_rows import event_as_dict, event_from_dict
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import Verdict
from subscriber_agent.risk.losses import breaches, cooling_until, daily_loss, drawdown, paused_until, weekly_loss
from subscriber_agent.risk.market import Health

DAY = timedelta(days=1)


def folded(*events, start="10000", day=TODAY, at=NOW):
    ledger = Ledger().after(SessionStarted(day, at, D(start)))
    for event in events:
        ledger = ledger.after(event)
    return ledger


def a_trade(gain="-1", at=NOW, ticker="X", quantity=1):
    """An entry at 5 and its exit, worth `gain` USD a share."""
    sides = ((Side.BUY, D(5)), (Side.SELL, D(5) + D(gain)))
    return [Traded(Fill("o", ticker, side, Leg.ENTRY, D(quantity), price, at)) for side, price in sides]


def after_losses(ledger, **more):
    return {"market": replace(PAPER, ledger=ledger, **more)}


# The checks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "cash", "limits", "code"),
    [
        ("10000", "9801", {}, None),
        ("10000", "9800", {}, Code.DAILY_LOSS),
        ("10000", "9601", {"daily_loss_percent": 4}, None),
        ("100000", "99501", {}, None),
        ("100000", "99500", {}, Code.DAILY_LOSS),
        ("10000", "12000", {}, None),
        ("10000", "9500", {"daily_loss_percent": 100}, Code.DAILY_LOSS),
        ("10000", "9501", {"daily_loss_percent": 100}, None),
    ],
)
def test_the_days_loss_ends_at_the_smaller_limit(start, cash, limits, code):
    assert code_of(book=a_book(cash), **after_losses(folded(start=start)), **limits) is code


def test_unrealised_losses_count():
    book = a_book("9000", a_position("X", 100, "10", last_price=D(8)))
    assert code_of(book=book, **after_losses(folded())) is Code.DAILY_LOSS


@pytest.mark.parametrize(("week_start", "code"), [("10526", None), ("10526.32", Code.WEEKLY_LOSS)])
def test_the_weeks_loss(week_start, code):
    # 5 % of 10,526.32 is 526.32: 10,000 is left.
    ledger = replace(folded(), week_start_usd=D(week_start))
    assert code_of(book=a_book(), **after_losses(ledger)) is code


@pytest.mark.parametrize(("high", "code"), [("11111.10", None), ("11111.20", Code.DRAWDOWN)])
def test_the_drawdown_from_the_highest_equity(high, code):
    ledger = replace(folded(), high_water_usd=D(high))
    assert code_of(book=a_book(), **after_losses(ledger)) is code


def test_a_latch_holds_after_the_loss_is_made_good():
    for kind, code in (("DAILY", Code.DAILY_LOSS), ("WEEKLY", Code.WEEKLY_LOSS), ("DRAWDOWN", Code.DRAWDOWN)):
        ledger = folded(Latched(LatchKind(kind), TODAY, NOW))
        assert code_of(book=a_book("20000"), **after_losses(ledger)) is code


def test_a_daily_latch_ends_with_its_trading_day_and_the_others_do_not():
    friday = folded(*(Latched(kind, TODAY, NOW) for kind in LatchKind))
    monday = date(2026, 1, 5)
    begun = friday.after(SessionStarted(monday, NOW + 3 * DAY, D(10_000)))
    assert not begun.holds(LatchKind.DAILY, monday)
    assert begun.holds(LatchKind.WEEKLY, monday)
    assert begun.holds(LatchKind.DRAWDOWN, monday)
    # The clock is set back: the day is over, its latch is not.
    assert begun.holds(LatchKind.DAILY, TODAY - DAY)


def test_a_reset_ends_a_latch_and_measures_anew():
    ledger = folded(Latched(LatchKind.WEEKLY, TODAY, NOW), Latched(LatchKind.DRAWDOWN, TODAY, NOW), start="20000")
    for kind in (LatchKind.WEEKLY, LatchKind.DRAWDOWN):
        ledger = ledger.after(Reset(kind, NOW, D(15_000)))
    assert ledger.latches == {}
    assert (ledger.week_start_usd, ledger.high_water_usd, ledger.day_start_usd) == (15_000, 15_000, 20_000)
    with pytest.raises(ValueError, match="ends with its session"):
        Reset(LatchKind.DAILY, NOW, D(1))


@pytest.mark.parametrize(
    "market",
    [
        replace(PAPER, session_day=None),
        replace(PAPER, session_day=TODAY + DAY),
        replace(PAPER, session_day=TODAY - DAY),
        replace(PAPER, ledger=Ledger()),
        replace(PAPER, ledger=replace(folded(), day_start_usd=None)),
        replace(PAPER, ledger=replace(folded(), day_start_usd=Decimal("NaN"))),
        replace(REAL, ledger=None),
    ],
)
def test_a_day_whose_start_is_not_known_refuses(market):
    assert code_of(book=a_book(is_blocked=False), market=market) is Code.DAILY_LOSS


def test_an_unknown_equity_breaks_every_loss_limit():
    codes = {each.code for each in decided(book=a_book(None), **after_losses(folded()), show_all=True).checks}
    assert {Code.DAILY_LOSS, Code.WEEKLY_LOSS, Code.DRAWDOWN} <= codes


def test_a_paper_account_without_a_ledger_is_not_judged_and_a_real_one_refuses():
    assert decided(market=replace(PAPER, ledger=None)).verdict is Verdict.ACCEPTED
    real = decided(book=a_book(is_blocked=False), market=replace(REAL, ledger=None), show_all=True)
    assert {Code.DAILY_LOSS, Code.WEEKLY_LOSS, Code.DRAWDOWN, Code.LOSS_STREAK, Code.COOLDOWN} <= {
        each.code for each in real.checks
    }


def test_three_losing_trades_pause_for_an_hour():
    losses = [event for seconds in (30, 20, 10) for event in a_trade(at=NOW - timedelta(seconds=seconds))]
    two, three = folded(*losses[:4]), folded(*losses)
    assert code_of(**after_losses(two)) is None
    assert code_of(**after_losses(three)) is Code.LOSS_STREAK
    assert code_of(**after_losses(three), max_losing_streak=4) is None
    ended = NOW + timedelta(seconds=3590)
    later = a_signal(published_at=ended, expires_at=ended + DAY)
    assert code_of(later, **after_losses(three), now=ended) is None
    assert code_of(later, **after_losses(three), now=ended - timedelta(microseconds=1)) is Code.LOSS_STREAK


def test_a_win_ends_the_streak_a_zero_does_not_and_each_further_loss_pauses_again():
    three = [event for _ in range(3) for event in a_trade()]
    assert folded(*three, *a_trade("0")).streak == 3
    assert folded(*three, *a_trade("0.01")).streak == 0
    later = NOW + timedelta(hours=5)
    again = folded(*three, *a_trade(at=later))
    assert paused_until(again, some_limits()) == later + timedelta(hours=1)


@pytest.mark.parametrize(("ago_s", "code"), [(1799, Code.COOLDOWN), (1800, None), (-60, Code.COOLDOWN)])
def test_a_ticker_cools_down_after_an_exit(ago_s, code):
    ledger = folded(*a_trade("1", at=NOW - timedelta(seconds=ago_s), ticker="ABCD"))
    assert code_of(**after_losses(ledger)) is code
    assert code_of(**after_losses(folded(*a_trade("1")))) is None


def test_pauses_refuse_while_our_time_is_naive():
    losses = [event for _ in range(3) for event in a_trade(ticker="ABCD")]
    naive = datetime(2026, 1, 2, 14, 30)  # noqa: DTZ001
    codes = {each.code for each in decided(**after_losses(folded(*losses)), now=naive, show_all=True).checks}
    assert {Code.LOSS_STREAK, Code.COOLDOWN} <= codes


@pytest.mark.parametrize(
    ("trades", "limits", "code"),
    [
        (3, {}, None),
        (3, {"limit_day_trades": True}, Code.DAY_TRADE_LIMIT),
        (2, {"limit_day_trades": True}, None),
        (3, {"limit_day_trades": True, "max_day_trades": 4}, None),
    ],
)
def test_day_trades_are_counted_where_the_broker_counts_them(trades, limits, code):
    events = [event for _ in range(trades) for event in a_trade("1")]
    assert code_of(**after_losses(folded(*events)), **limits) is code


def test_day_trades_unknown_refuse_only_where_they_count():
    market = replace(PAPER, ledger=None)
    assert code_of(market=market, limit_day_trades=True) is Code.DAY_TRADE_LIMIT
    assert code_of(market=replace(market, session_day=None), limit_day_trades=True) is Code.DAY_TRADE_LIMIT


def test_day_trades_of_last_week_no_longer_count():
    ledger = replace(folded(), day_trades=(TODAY - 8 * DAY,) * 9)
    assert code_of(**after_losses(ledger), limit_day_trades=True) is None
    ledger = replace(folded(), day_trades=(TODAY - 7 * DAY,) * 3)
    assert code_of(**after_losses(ledger), limit_day_trades=True) is Code.DAY_TRADE_LIMIT


def test_no_loss_keeps_an_exit_from_closing():
    ledger = folded(*(Latched(kind, TODAY, NOW) for kind in LatchKind))
    decision = decided(a_close(), a_book("1", a_position()), **after_losses(ledger))
    assert decision.verdict is Verdict.ACCEPTED


# The fold ---------------------------------------------------------------------------------------------------------


def test_a_day_starts_once_and_an_earlier_one_never():
    ledger = folded()
    assert ledger.after(SessionStarted(TODAY, NOW, D(5))) == ledger
    assert ledger.after(SessionStarted(TODAY - DAY, NOW, D(5))) == ledger


def test_an_overnight_loss_counts_to_the_day_that_sees_it():
    ledger = folded(Marked(NOW, D(9_900))).after(SessionStarted(date(2026, 1, 5), NOW + 3 * DAY, D(9_700)))
    assert ledger.day_start_usd == 9_900
    assert (ledger.week_start_usd, ledger.equity_usd, ledger.high_water_usd) == (9_900, 9_700, 10_000)


def test_a_week_begins_on_its_first_trading_day():
    monday = folded(day=date(2026, 1, 5))
    tuesday = monday.after(Marked(NOW, D(9_000))).after(SessionStarted(date(2026, 1, 6), NOW, D(9_000)))
    assert (tuesday.week_start_usd, tuesday.day_start_usd) == (10_000, 9_000)


def test_a_new_day_forgets_old_exits_and_round_trips():
    ledger = folded(*a_trade("1")).after(SessionStarted(TODAY + 8 * DAY, NOW + 8 * DAY, D(1)))
    assert (ledger.exited_at, ledger.day_trades) == ({}, ())


def test_parts_of_a_trade_count_as_one():
    def fill(side, quantity, price):
        return Traded(Fill("o", "X", side, Leg.ENTRY, D(quantity), D(price), NOW))

    ledger = folded(fill(Side.BUY, 4, 5), fill(Side.BUY, 4, 7), fill(Side.SELL, 2, 9), fill(Side.SELL, 2, 1))
    assert (ledger.trades["X"].average_price, ledger.trades["X"].realised_usd) == (6, -4)
    assert (ledger.streak, ledger.day_trades, ledger.exited_at) == (0, (TODAY,), {"X": NOW})
    turned = ledger.after(fill(Side.SELL, 6, 7))
    # 4 sold at a gain of 1 make up for the 4 lost: neither gain nor loss. The rest is a short of 2.
    assert (turned.streak, turned.trades["X"].quantity, len(turned.day_trades)) == (0, -2, 1)
    lost = turned.after(fill(Side.BUY, 2, 8))
    assert (lost.streak, lost.streak_at, lost.trades) == (1, NOW, {})


def test_a_position_held_over_night_is_no_day_trade():
    entry, leave = a_trade("1")
    ledger = folded(entry, Traded(replace(leave.fill, at=NOW + DAY)))
    assert ledger.day_trades == ()


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+50"])
def test_what_is_no_amount_is_never_booked(amount):
    with pytest.raises(ValueError, match="not an amount"):
        folded(Marked(NOW, D(amount)))
    with pytest.raises(ValueError, match="not an amount"):
        folded(Traded(Fill("o", "X", Side.BUY, Leg.ENTRY, D(amount), D(1), NOW)))


def test_the_ledger_is_told_of_new_days_and_of_changes_only():
    assert due(Ledger(), D(100), NOW, NYSE) == (SessionStarted(TODAY, NOW, D(100)),)
    ledger = folded(start="100")
    assert due(ledger, D(100), NOW, NYSE) == ()
    assert due(ledger, D(99), NOW, NYSE) == (Marked(NOW, D(99)),)
    assert due(ledger, None, NOW, NYSE) == due(ledger, Decimal("NaN"), NOW, NYSE) == ()
    assert due(ledger, D(99), datetime(2030, 1, 1, tzinfo=UTC), NYSE) == ()
    assert due(ledger, D(99), NOW + 3 * DAY, NYSE) == (SessionStarted(date(2026, 1, 5), NOW + 3 * DAY, D(99)),)


def test_a_breach_is_found_once_and_says_what_to_write():
    ledger = folded(Marked(NOW, D(9_000)))
    found = breaches(ledger, some_limits(flatten_on_breach=True), NOW, NYSE)
    assert [each.loss.kind for each in found] == list(LatchKind)
    assert all(each.is_flatten for each in found)
    for breach in found:
        ledger = ledger.after(breach.latch)
    assert breaches(ledger, some_limits(), NOW, NYSE) == ()
    assert breaches(ledger, some_limits(), NOW + 3 * DAY, NYSE) == ()
    assert breaches(folded(), some_limits(), NOW, NYSE) == ()
    assert breaches(Ledger(), some_limits(), NOW.replace(tzinfo=None), NYSE) == ()
    assert breaches(replace(folded(), equity_usd=None), some_limits(), NOW, NYSE) == ()


def test_nothing_is_known_of_an_empty_ledger():
    for measure in (daily_loss, weekly_loss, drawdown):
        assert measure(Ledger(), D(1), some_limits()) is None
    assert paused_until(Ledger(), some_limits()) is None
    assert cooling_until(Ledger(), "X", some_limits()) is None


amounts = st.integers(1, 2_000_000).map(lambda cents: Decimal(cents) / 100)
moments = st.integers(0, 20 * 24 * 3600).map(lambda seconds: NOW + timedelta(seconds=seconds))
events = st.one_of(
    st.builds(lambda at, equity: SessionStarted(at.date(), at, equity), moments, amounts),
    st.builds(Marked, moments, amounts),
    st.builds(
        lambda ticker, side, quantity, price, at: Traded(Fill("o", ticker, side, Leg.ENTRY, D(quantity), price, at)),
        st.sampled_from(["A", "B"]),
        st.sampled_from(Side),
        st.integers(1, 9),
        amounts,
        moments,
    ),
    st.builds(lambda kind, at: Latched(kind, at.date(), at), st.sampled_from(LatchKind), moments),
    st.builds(Reset, st.sampled_from([LatchKind.WEEKLY, LatchKind.DRAWDOWN]), moments, amounts),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=25))
def test_a_ledger_rebuilt_from_the_journal_is_the_running_one(history):
    running, rows = Ledger(), []
    for event in history:
        rows.append(orjson.dumps(event_as_dict(event)))
        running = running.after(event)
    rebuilt = Ledger().after_all(event_from_dict(orjson.loads(row)) for row in rows)
    assert rebuilt == running
    assert rebuilt.high_water_usd is None or rebuilt.equity_usd is None or rebuilt.high_water_usd > 0


@settings(max_examples=100, deadline=None)
@given(st.lists(events, max_size=15), amounts)
def test_a_marked_loss_never_unlatches(history, equity):
    ledger = Ledger()
    for event in history:
        ledger = ledger.after(event)
    marked = ledger.after(Marked(NOW, equity))
    assert marked.latches == ledger.latches
    assert marked.day_start_usd == ledger.day_start_usd


def test_a_row_that_is_no_event_is_an_error():
    with pytest.raises(ValueError, match="not an event"):
        event_from_dict({"type": "other", "at": NOW.isoformat()})


# The circuit breaker ----------------------------------------------------------------------------------------------


def test_three_failures_open_the_circuit_and_one_probe_may_close_it():
    rules, minute = some_limits(), timedelta(minutes=1)
    two = Breaker().failed(NOW).failed(NOW)
    assert two.health(rules, NOW) is Health.OK
    three = two.failed(NOW)
    assert three.health(rules, NOW + minute - timedelta(microseconds=1)) is Health.OPEN
    assert three.health(rules, NOW - minute) is Health.OPEN
    assert three.health(rules, NOW + minute) is Health.PROBE
    probing = three.probing(NOW + minute)
    assert probing.health(rules, NOW + minute) is Health.OPEN
    assert probing.health(rules, NOW + 2 * minute) is Health.PROBE
    assert probing.succeeded().health(rules, NOW + minute) is Health.OK
    assert probing.failed(NOW + minute).health(rules, NOW + minute) is Health.OPEN
    assert Breaker(failures=9).health(rules, NOW) is Health.OK


@settings(max_examples=50, deadline=None)
@given(st.lists(events, min_size=1, max_size=10), st.lists(events, max_size=10))
def test_what_is_counted_later_does_not_change_an_earlier_ledger(before, after):
    earlier = Ledger().after_all(before)
    copies = {name: dict(getattr(earlier, name)) for name in ("trades", "exited_at", "latches")}
    kept = replace(earlier, **copies)
    earlier.after_all(after)
    assert earlier == kept


def test_a_fill_that_is_no_number_changes_nothing():
    ledger = Ledger().after_all([Marked(NOW, D(100)), *a_trade("1")])
    with pytest.raises(ValueError, match="not an amount"):
        ledger.after_all([Marked(NOW, D(90)), Traded(Fill("o", "A", Side.BUY, Leg.ENTRY, D("NaN"), D(1), NOW))])
    assert ledger.equity_usd == 100
