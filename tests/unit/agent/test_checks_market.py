"""Checks that look at the world: filters, quotes, sessions, the broker's flags, prices and what the engine says."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from agent_samples import (
    NOW,
    PAPER,
    REAL,
    D,
    a_book,
    a_close,
    a_position,
    a_short,
    a_signal,
    code_of,
    decided,
    outcome_of,
    some_limits,
)
from pydantic import ValidationError

from signal_contract.model import Market, Session
from subscriber_agent.accounting.book import Side, WorkingEntry
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import OrderType, TimeInForce, Verdict
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Capabilities, Health, Quote, Symbol
from subscriber_agent.risk.plans import closing_plan, held_too_long
from subscriber_agent.risk.prices import on_tick

OPEN_BOOK = a_book(is_blocked=False)
ODD = [None, Decimal("NaN"), Decimal("Infinity"), Decimal(0), Decimal(-1)]


def a_quote(bid="5", ask="5", at=NOW, last=None):
    return Quote(*(None if each is None else D(each) for each in (bid, ask, last)), at)


def with_quote(*args, market=PAPER, **kwargs):
    return replace(market, quote=a_quote(*args, **kwargs))


def of_company(**facts):
    return a_signal(market=Market(**facts))


# Filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "overrides", "code"),
    [
        (60, {"fda": 60}, None),
        (61, {"fda": 60}, Code.STALE),
        (61, {"partnership": 60}, Code.STALE),
        (61, {"fda": 300, "partnership": 60}, Code.STALE),
        (300, {"fda": 300}, None),
        (61, {"*": 60}, Code.STALE),
        (100, {"*": 60, "fda": 120}, None),
        (121, {"merger": 300}, Code.STALE),
    ],
)
def test_the_smallest_age_of_its_catalysts_counts(age_s, overrides, code):
    now = NOW + timedelta(seconds=age_s)
    assert code_of(now=now, max_age_s_by_catalyst=overrides) is code


def test_a_clock_that_is_off_a_little_is_marked():
    assert (
        "set this machine's clock"
        in outcome_of(decided(market=replace(PAPER, clock_skew_s=D("2.1"))), "clock").observed
    )
    assert "clock" not in outcome_of(decided(market=replace(PAPER, clock_skew_s=D(2))), "clock").observed


@pytest.mark.parametrize(("denied", "code"), [([], None), (["TEST "], Code.SOURCE_DENIED), (["*"], Code.SOURCE_DENIED)])
def test_a_denied_source_is_refused_whatever_its_capitals(denied, code):
    assert code_of(deny_sources=denied) is code


def test_a_degraded_classifier_is_refused_where_the_friend_says_so():
    signal = a_signal()
    degraded = a_signal(classifier=signal.classifier.model_copy(update={"degraded": True}))
    assert code_of(degraded) is None
    assert code_of(degraded, refuse_degraded=True) is Code.DEGRADED_CLASSIFIER
    assert code_of(signal, refuse_degraded=True) is None


@pytest.mark.parametrize(
    ("field", "setting", "unknown", "code"),
    [
        ("market_cap_usd", "min_market_cap_usd", "unknown_market_cap", Code.MARKET_CAP_LOW),
        ("rvol", "min_rvol", "unknown_rvol", Code.RVOL_LOW),
    ],
)
def test_a_filter_with_a_minimum_skips_what_is_not_known_unless_told_otherwise(field, setting, unknown, code):
    assert code_of(of_company(**{field: None})) is None
    assert code_of(of_company(**{field: D(10)}), **{setting: 10}) is None
    assert code_of(of_company(**{field: D("9.99")}), **{setting: 10}) is code
    assert code_of(of_company(), **{setting: 10}) is code
    assert code_of(of_company(), **{setting: 10, unknown: "pass"}) is None


@pytest.mark.parametrize(
    ("sector", "rules", "code"),
    [
        (None, {}, None),
        ("Energy", {"allow_sectors": ["energy"]}, None),
        ("Energy", {"allow_sectors": ["Healthcare"]}, Code.SECTOR_FILTERED),
        ("Energy", {"deny_sectors": ["ENERGY"]}, Code.SECTOR_FILTERED),
        ("Energy", {"deny_sectors": ["Healthcare"]}, None),
        ("Energy", {"deny_sectors": ["*"]}, Code.SECTOR_FILTERED),
        (None, {"deny_sectors": ["*"], "unknown_sector": "pass"}, Code.SECTOR_FILTERED),
        (None, {"deny_sectors": ["Energy"]}, Code.SECTOR_FILTERED),
        (None, {"allow_sectors": ["Energy"], "unknown_sector": "pass"}, None),
        ("Energy", {"allow_sectors": []}, Code.SECTOR_FILTERED),
    ],
)
def test_sector_lists_deny_wins_and_the_unknown_is_skipped(sector, rules, code):
    assert code_of(of_company(sector=sector), **rules) is code


def test_a_price_now_outside_the_range_refuses_too():
    # The signal's 5 is in range, the 4.95 that a buy would pay now is not.
    market = with_quote("4.9", "4.95")
    assert code_of(market=market, min_price_usd="4.96") is Code.PRICE_OUT_OF_RANGE
    assert code_of(market=market, min_price_usd="4.95") is None


# Quotes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "percent", "code"),
    [("5.05", "1", None), ("5.0501", "1", Code.PRICE_MOVED), ("4.80", "1", None), ("5.01", "0", Code.PRICE_MOVED)],
)
def test_a_price_that_ran_away_is_refused_and_a_better_one_is_not(ask, percent, code):
    assert code_of(market=with_quote("4.70", ask), max_price_move_percent=percent) is code


def test_a_short_looks_at_the_bid():
    rules = {"allow_shorts": True}
    assert code_of(a_short(), market=with_quote("4.95", "5.20"), **rules) is None
    assert code_of(a_short(), market=with_quote("4.9499", "5.20"), **rules) is Code.PRICE_MOVED


@pytest.mark.parametrize(
    "quote",
    [
        None,
        a_quote(ask=None),
        a_quote(ask="NaN"),
        a_quote(ask="0"),
        a_quote(bid="5.02", ask="5.01"),
        a_quote(at=NOW - timedelta(seconds=15.1)),
        a_quote(at=NOW + timedelta(seconds=15.1)),
        a_quote(at=datetime(2026, 1, 2, 14, 30)),  # noqa: DTZ001
    ],
)
def test_an_engine_with_quotes_needs_a_good_one(quote):
    market = replace(PAPER, quote=quote, capabilities=Capabilities(quotes=True))
    assert code_of(market=market) is Code.NO_QUOTE


def test_a_quote_as_old_as_allowed_is_good():
    assert code_of(market=with_quote(at=NOW - timedelta(seconds=15))) is None
    assert code_of(market=with_quote(bid=None, at=NOW)) is None


def test_a_quote_at_a_naive_time_is_none():
    naive = datetime(2026, 1, 2, 14, 30)  # noqa: DTZ001
    checks = decided(market=with_quote(), now=naive, show_all=True).checks
    assert Code.NO_QUOTE in {each.code for each in checks}


def test_without_quotes_and_without_a_price_nothing_is_known():
    checks = decided(a_signal(reference_price=None), market=with_quote(), show_all=True).checks
    assert {Code.NO_PRICE, Code.NO_QUOTE} <= {each.code for each in checks}


def test_with_real_money_or_a_quote_the_entry_is_a_limit_at_the_bound():
    paper = decided().plan
    assert (paper.order_type, paper.limit_price) == (OrderType.MARKET, None)
    for market in (REAL, with_quote()):
        plan = decided(book=OPEN_BOOK, market=market).plan
        assert (plan.order_type, plan.limit_price) == (OrderType.LIMIT, D("5.05"))
        # Sized by what it may cost at the worst: 500 / 5.05.
        assert (plan.quantity, plan.time_in_force) == (99, TimeInForce.DAY)
        assert plan.notional_usd == 99 * D("5.05")


def test_a_shorts_limit_is_raised_to_its_tick_and_its_value_is_the_dearest():
    signal = a_short(reference_price=D("5.003"), stop_price=D("5.25"))
    plan = decided(signal, market=with_quote("5.10", "5.20"), allow_shorts=True).plan
    assert plan.limit_price == D("4.96")
    assert plan.quantity == 500 // D("5.10")


@pytest.mark.parametrize(
    ("price", "side", "tick"),
    [
        ("1.009", 1, "1.00"),
        ("1.001", -1, "1.01"),
        ("0.99995", 1, "0.9999"),
        ("0.99995", -1, "1.0000"),
        ("0.00009", 1, "0"),
    ],
)
def test_ticks_floor_to_buy_and_rise_to_sell(price, side, tick):
    assert on_tick(D(price), side) == D(tick)


def test_a_price_below_every_tick_is_none():
    dust = a_signal(reference_price=D("0.00005"), stop_price=D("0.000049"), target_price=None)
    decision = decided(dust, OPEN_BOOK, REAL, show_all=True, min_price_usd="0.00001")
    assert decision.verdict is Verdict.REFUSED
    assert Code.TICK_SIZE in {each.code for each in decision.checks}
    assert decision.code is Code.NO_PRICE


def test_a_target_that_rounds_onto_the_price_is_refused():
    near = a_short(reference_price=D("5.00"), target_price=D("4.999"))
    # To buy back is to buy: 4.999 is floored to 4.99, which is still a gain.
    assert decided(near, allow_shorts=True).plan.target_price == D("4.99")
    stop = a_short(stop_price=D("5.009"))
    assert code_of(stop, allow_shorts=True) is Code.TICK_SIZE


# Stops ------------------------------------------------------------------------------------------------------------


def test_own_stop_and_target_replace_the_signals():
    plan = decided(own_stop_percent=10, own_target_percent=30).plan
    assert (plan.stop_price, plan.target_price) == (D("4.50"), D("6.50"))
    short = decided(a_short(), allow_shorts=True, own_stop_percent=10, own_target_percent=30).plan
    assert (short.stop_price, short.target_price) == (D("5.50"), D("3.50"))
    bare = a_signal(stop_price=None, target_price=None)
    assert code_of(bare) is Code.STOP_REQUIRED
    assert decided(bare, own_stop_percent=15).plan.stop_price == D("4.25")


def test_an_own_stop_wider_than_allowed_is_a_mistake_in_the_config():
    with pytest.raises(ValidationError, match="own_stop_percent is above"):
        some_limits(own_stop_percent=16)


def test_a_stop_that_the_price_has_passed_is_on_the_wrong_side():
    assert code_of(market=with_quote("4.70", "4.75")) is Code.STOP_WRONG_SIDE
    assert code_of(market=with_quote("4.70", "4.76")) is None


def test_a_stop_is_measured_from_the_worst_fill():
    signal = a_signal(stop_price=D("4.26"))
    assert code_of(signal) is None
    assert code_of(signal, OPEN_BOOK, REAL) is Code.STOP_TOO_WIDE


def test_a_target_within_the_limits_margin_is_refused():
    signal = a_signal(target_price=D("5.05"))
    assert code_of(signal) is None
    assert code_of(signal, OPEN_BOOK, REAL) is Code.TARGET_WRONG_SIDE


def test_an_engine_that_cannot_hold_a_stop_gets_no_entry():
    assert code_of(market=replace(PAPER, capabilities=Capabilities(brackets=False))) is Code.STOP_REQUIRED


def test_a_trailing_stop_and_a_time_limit_are_in_the_plan():
    plan = decided(trailing_stop_percent=3, max_hold_s_by_catalyst={"fda": 3600, "partnership": 900, "*": 60}).plan
    assert (plan.trailing_stop_percent, plan.max_hold_s) == (3, 900)
    assert decided(max_hold_s_by_catalyst={"*": 60}).plan.max_hold_s == 60
    assert decided(max_hold_s_by_catalyst={"merger": 60}).plan.max_hold_s is None
    assert decided().plan.trailing_stop_percent is None


def test_what_was_held_too_long_is_closed():
    old, young = NOW - timedelta(seconds=3600), NOW - timedelta(seconds=3599)
    book = a_book(
        "1",
        a_position("OLD", 10, opened_at=old, catalyst="fda", sector="Energy"),
        a_position("YOUNG", 10, opened_at=young, catalyst="fda"),
        a_position("OTHER", -5, opened_at=old, catalyst="merger"),
        a_position("GOING", 5, opened_at=old, catalyst="fda"),
        exiting={"GOING": D(5)},
    )
    plans = held_too_long(book, some_limits(max_hold_s_by_catalyst={"fda": 3600}), NOW)
    assert [(each.ticker, each.side, each.quantity, each.sector) for each in plans] == [
        ("OLD", Side.SELL, 10, "Energy")
    ]
    assert [each.ticker for each in held_too_long(book, some_limits(max_hold_s_by_catalyst={"*": 60}), NOW)] == [
        "OLD",
        "OTHER",
        "YOUNG",
    ]
    assert held_too_long(book, Limits(), NOW) == ()


def test_an_exit_is_a_market_order_whatever_the_price():
    plan = closing_plan(a_position(quantity=-7), D(7), price=D("NaN"))
    assert (plan.side, plan.order_type, plan.reference_price) == (Side.BUY, OrderType.MARKET, 5)


def test_an_exit_closes_what_no_other_exit_is_closing():
    book = a_book("1", a_position(), exiting={"ABCD": D(40)})
    assert decided(a_close(), book).plan.quantity == 60
    decision = decided(a_close(), replace(book, exiting={"ABCD": D(100)}))
    assert decision.code is Code.NO_POSITION
    assert "already" in decision.checks[-1].observed


def test_a_position_of_unknown_size_cannot_be_closed():
    assert code_of(a_close(), a_book("1", a_position().__class__(**PARTS))) is Code.NO_POSITION


PARTS = {
    "ticker": "ABCD",
    "quantity": Decimal("NaN"),
    "average_price": D(5),
    "last_price": D(5),
    "opened_at": NOW,
    "opened_by": "x",
}


# Sessions ---------------------------------------------------------------------------------------------------------

ABLE = Capabilities(extended_hours=True)
EVERY = [each.value for each in Session]


@pytest.mark.parametrize(
    ("session", "sessions", "market", "code"),
    [
        (Session.REGULAR, ["regular"], PAPER, None),
        (Session.PRE, ["regular"], PAPER, Code.SESSION_CLOSED),
        (Session.AFTER, ["regular", "pre"], PAPER, Code.SESSION_CLOSED),
        (Session.CLOSED, ["regular"], PAPER, Code.SESSION_CLOSED),
        (Session.PRE, ["pre"], PAPER, None),
        (Session.CLOSED, EVERY, PAPER, None),
        (None, ["regular"], PAPER, Code.SESSION_CLOSED),
        (None, EVERY, PAPER, None),
        (None, EVERY, REAL, Code.SESSION_CLOSED),
        (Session.REGULAR, [], PAPER, Code.SESSION_CLOSED),
        (Session.REGULAR, ["regular"], REAL, None),
        (Session.AFTER, EVERY, REAL, Code.SESSION_CLOSED),
        (Session.AFTER, EVERY, replace(REAL, capabilities=ABLE), None),
        (Session.CLOSED, EVERY, replace(REAL, capabilities=ABLE), Code.SESSION_CLOSED),
    ],
)
def test_entries_are_made_in_the_friends_sessions_only(session, sessions, market, code):
    assert code_of(book=OPEN_BOOK, market=replace(market, session=session), sessions=sessions) is code


def test_an_entry_outside_regular_hours_is_marked_and_a_limit_for_the_day():
    market = replace(REAL, session=Session.PRE, capabilities=ABLE)
    plan = decided(book=OPEN_BOOK, market=market, sessions=["pre"]).plan
    assert (plan.extended_hours, plan.order_type, plan.time_in_force) == (True, OrderType.LIMIT, TimeInForce.DAY)
    assert not decided(book=OPEN_BOOK, market=replace(market, session=Session.REGULAR)).plan.extended_hours


# What the broker says ---------------------------------------------------------------------------------------------

GOOD = Symbol(is_halted=False, is_tradable=True, is_shortable=True, is_fractionable=True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"is_halted": True}, Code.SYMBOL_HALTED),
        ({"is_halted": None}, Code.SYMBOL_HALTED),
        ({"is_tradable": False}, Code.NOT_TRADABLE),
        ({"is_tradable": None}, Code.NOT_TRADABLE),
        ({"is_shortable": False}, Code.NOT_SHORTABLE),
        ({"is_shortable": None}, Code.NOT_SHORTABLE),
        ({}, None),
    ],
)
def test_what_the_broker_forbids_or_does_not_say_is_refused(change, code):
    market = replace(REAL, symbol=replace(GOOD, **change))
    assert code_of(a_short(stop_price=D("5.20")), OPEN_BOOK, market, allow_shorts=True) is code
    on_paper = code_of(a_short(), market=replace(market, is_paper=True), allow_shorts=True)
    assert on_paper is (None if None in change.values() else code)


def test_an_engine_that_knows_symbols_must_know_this_one():
    market = replace(REAL, capabilities=Capabilities(symbols=True))
    assert code_of(book=OPEN_BOOK, market=market) is Code.SYMBOL_HALTED


def test_shortable_matters_for_shorts_only():
    unlent = replace(REAL, symbol=replace(GOOD, is_shortable=False))
    assert code_of(book=OPEN_BOOK, market=unlent) is None
    unable = replace(PAPER, capabilities=Capabilities(shorts=False))
    assert code_of(a_short(), market=unable, allow_shorts=True) is Code.NOT_SHORTABLE


@pytest.mark.parametrize(
    ("field", "good", "bad", "code"),
    [
        ("health", Health.OK, Health.OPEN, Code.ENGINE_UNHEALTHY),
        ("health", Health.PROBE, Health.OPEN, Code.ENGINE_UNHEALTHY),
        ("is_ledger_mismatch", False, True, Code.LEDGER_MISMATCH),
    ],
)
def test_an_engine_in_doubt_gets_no_entry(field, good, bad, code):
    for market in (REAL, PAPER):
        assert code_of(book=OPEN_BOOK, market=replace(market, **{field: good})) is None
        assert code_of(book=OPEN_BOOK, market=replace(market, **{field: bad})) is code
    assert code_of(book=OPEN_BOOK, market=replace(REAL, **{field: None})) is code
    assert code_of(market=replace(PAPER, **{field: None})) is None


def test_a_blocked_account_gets_no_entry():
    assert code_of(book=a_book(is_blocked=True)) is Code.ACCOUNT_BLOCKED
    assert code_of(book=a_book(is_blocked=None), market=REAL) is Code.ACCOUNT_BLOCKED
    assert code_of(book=a_book(is_blocked=None)) is None


# Approval ---------------------------------------------------------------------------------------------------------


def test_mode_approve_asks_for_each_entry_and_keeps_the_plan():
    market = replace(PAPER, approve_all=True)
    decision = decided(market=market)
    assert (decision.verdict, decision.code) == (Verdict.NOTED, Code.APPROVAL_REQUIRED)
    assert decision.plan.quantity == 100
    signal = a_signal()
    approved = replace(market, approvals=frozenset({(signal.signal_id, 1)}))
    assert decided(signal, market=approved).verdict is Verdict.ACCEPTED
    other = replace(market, approvals=frozenset({(signal.signal_id, 2)}))
    assert code_of(signal, market=other) is Code.APPROVAL_REQUIRED
    assert decided(a_close(), a_book("1", a_position()), market).verdict is Verdict.ACCEPTED


def test_a_large_order_asks_also_without_the_mode():
    assert code_of(approve_above_usd=500) is None
    assert code_of(approve_above_usd="499.99") is Code.APPROVAL_REQUIRED


def test_an_approval_does_not_outlive_its_signal():
    signal = a_signal(expires_at=NOW + timedelta(seconds=30))
    market = replace(PAPER, approve_all=True, approvals=frozenset({(signal.signal_id, 1)}))
    assert code_of(signal, market=market, now=NOW + timedelta(seconds=30)) is Code.EXPIRED


def test_what_waits_for_approval_shows_other_objections_in_explain():
    decision = decided(market=replace(PAPER, approve_all=True, health=Health.OPEN), show_all=True)
    assert decision.code is Code.APPROVAL_REQUIRED
    assert Code.ENGINE_UNHEALTHY in {each.code for each in decision.checks}


# Orders and shares ------------------------------------------------------------------------------------------------


def test_an_order_the_other_way_round_is_named():
    entry = WorkingEntry("ABCD", D(5), Side.SELL)
    assert code_of(book=a_book(working=(entry,))) is Code.OPPOSITE_ORDER_OPEN
    assert code_of(book=a_book(working=(replace(entry, side=Side.BUY),))) is Code.ALREADY_IN_POSITION
    assert code_of(book=a_book(exiting={"ABCD": D(5)})) is Code.OPPOSITE_ORDER_OPEN


@pytest.mark.parametrize(
    ("book", "limits", "quantity", "code"),
    [
        (a_book(), {"max_ticker_exposure_percent": 3}, 60, Code.MAX_TICKER_EXPOSURE),
        (a_book(), {"max_ticker_exposure_percent": 5}, 100, None),
        (a_book("9000", a_position("X", 200, catalyst="fda")), {"max_catalyst_exposure_percent": 11}, 20, "CATALYST"),
        (a_book("9000", a_position("X", 200)), {"max_catalyst_exposure_percent": 11}, 20, "CATALYST"),
        (a_book("9000", a_position("X", 200, catalyst="merger")), {"max_catalyst_exposure_percent": 11}, 100, None),
        (a_book("9000", a_position("X", 200, sector="energy")), {"max_sector_exposure_percent": 11}, 20, "SECTOR"),
        (a_book("9000", a_position("X", 200)), {"max_sector_exposure_percent": 11}, 20, "SECTOR"),
        (a_book("9000", a_position("X", 200, sector="Tech")), {"max_sector_exposure_percent": 11}, 100, None),
        (a_book(working=(WorkingEntry("X", D(1000)),)), {"max_sector_exposure_percent": 11}, 20, "SECTOR"),
        (a_book(working=(WorkingEntry("X", D(1000), catalyst="fda"),)), {"max_catalyst_exposure_percent": 11}, 20, ""),
        (a_book(), {"max_leverage": "0.03"}, 60, Code.LEVERAGE),
    ],
)
def test_shares_of_equity_cut_the_order_down(book, limits, quantity, code):
    decision = decided(of_company(sector="Energy"), book, **limits)
    assert decision.plan.quantity == quantity
    cut = [each.code for each in decision.clamps]
    assert (cut == []) if code is None else code in str(cut[0])


def test_an_unknown_sector_counts_as_every_sector():
    book = a_book("9000", a_position("X", 200, sector="Tech"))
    assert decided(of_company(sector=None), book, max_sector_exposure_percent=11).plan.quantity == 20


@pytest.mark.parametrize("notional", ["NaN", "sNaN", "Infinity", "1E+99"])
def test_a_working_entry_of_unknown_worth_makes_the_account_unknown(notional):
    book = a_book(working=(WorkingEntry("X", Decimal(notional)),))
    assert (book.exposure, book.buying_power) == (None, None)
    assert code_of(book=book) is Code.INSUFFICIENT_FUNDS
    decided(book=book, show_all=True)


def test_a_share_that_cannot_be_known_refuses():
    book = a_book("1", a_position("X", last_price=None, sector="Tech"))
    codes = {each.code for each in decided(of_company(sector="Tech"), book, show_all=True).checks}
    assert {Code.MAX_SECTOR_EXPOSURE, Code.MAX_EXPOSURE, Code.LEVERAGE} <= codes
