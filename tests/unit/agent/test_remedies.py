"""What would have to change: every refusing code has an answer, and a change that is shown makes its check pass."""

from dataclasses import replace
from datetime import timedelta

import pytest
from agent_samples import NOW, PAPER, REAL, UNTRACKED, D, a_book, a_close, a_position, a_short, a_signal, some_limits
from hypothesis import given, settings
from hypothesis import strategies as st
from test_risk_properties import books, entries, in_a_world, limits

from signal_contract.model import Action, Market, Session
from subscriber_agent.accounting.ledger import Ledger, SessionStarted
from subscriber_agent.risk.changes import moved, wider_stop
from subscriber_agent.risk.checks import CHECKS
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decide import case_from, decide
from subscriber_agent.risk.decision import CheckOutcome
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Capabilities, Quote
from subscriber_agent.risk.remedies import REMEDIES, remedies

# Their check looks at one number against one limit, so the number itself is the remedy.
NUMERIC = {
    Code.LOW_CONFIDENCE: "min_confidence",
    Code.STALE: "max_age_s",
    Code.MAX_OPEN_POSITIONS: "max_open_positions",
    Code.ORDER_RATE: "max_orders_per_minute",
    Code.MAX_TRADES_PER_DAY: "max_trades_per_day",
}


def remedy_of(code, signal=None, book=None, market=PAPER, now=NOW, **changes):
    found = remedies(signal or a_signal(), book or a_book(), some_limits(**changes), market, now)
    return next(each for each in found if each.code is code)


def refusing(decision):
    return [(each.name, each.code) for each in decision.checks if each.outcome is CheckOutcome.REFUSE]


def test_every_code_that_refuses_has_an_entry_and_nothing_else_has():
    assert set(REMEDIES) == {code for check in CHECKS for code in check.codes}
    assert all(entry.text or entry.reckon for entry in REMEDIES.values())


@pytest.mark.parametrize("signal", [a_signal(action=Action.WATCH), a_close()])
def test_what_no_check_refuses_needs_no_remedy(signal):
    assert remedies(signal, a_book("1", a_position()), Limits(), PAPER, NOW) == ()


@settings(max_examples=300, deadline=None)
@given(entries(), books(), limits, st.integers(-30, 4000), st.data())
def test_a_change_that_is_shown_makes_its_check_pass(signal, book, rules, age_s, data):
    market, now = in_a_world(data, signal, book), NOW + timedelta(seconds=age_s)
    found = remedies(signal, book, rules, market, now)
    decision = decide(signal, book, rules, market, now, show_all=True)
    assert [(each.check, each.code) for each in found] == refusing(decision)
    for each in found:
        assert each.changes or each.text
        if each.code in NUMERIC:
            assert NUMERIC[each.code] in each.changes or each.text.startswith("no value")
        if each.changes:
            changed = Limits.model_validate({**rules.model_dump(), **each.changes})
            after = decide(signal, book, changed, market, now, show_all=True)
            assert (each.check, each.code) not in refusing(after)


@settings(max_examples=100, deadline=None)
@given(st.integers(121, 86_400))
def test_the_age_that_would_have_passed_is_the_age_it_has(age_s):
    assert remedy_of(Code.STALE, now=NOW + timedelta(seconds=age_s)).changes == {"max_age_s": age_s}


CASES = [
    (Code.LOW_CONFIDENCE, {"signal": a_signal(confidence=D("0.6"))}, {"min_confidence": D("0.6")}),
    (Code.CLOCK_SKEW, {"market": replace(PAPER, clock_skew_s=D("12.5"))}, {"max_clock_skew_s": D("12.5")}),
    (Code.STALE, {"now": NOW + timedelta(seconds=61), "max_age_s_by_catalyst": {"fda": 60, "partnership": 90}},
     {"max_age_s_by_catalyst": {"fda": 61, "partnership": 90}}),
    (Code.STALE, {"now": NOW + timedelta(seconds=61), "max_age_s_by_catalyst": {"*": 60}},
     {"max_age_s_by_catalyst": {"*": 61}}),
    (Code.CATALYST_FILTERED, {"deny_catalysts": ["partnership", "offering"]}, {"deny_catalysts": ["offering"]}),
    (Code.CATALYST_FILTERED, {"allow_catalysts": ["offering"]}, {"allow_catalysts": ["offering", "fda"]}),
    (Code.TICKER_DENIED, {"deny_tickers": ["*"], "allow_tickers": []}, {"deny_tickers": [], "allow_tickers": ["ABCD"]}),
    (Code.SOURCE_DENIED, {"deny_sources": ["test"]}, {"deny_sources": []}),
    (Code.SIDE_DISABLED, {"signal": a_short()}, {"allow_shorts": True}),
    (Code.PRICE_OUT_OF_RANGE, {"max_price_usd": 4}, {"max_price_usd": D(5)}),
    (Code.PRICE_OUT_OF_RANGE, {"min_price_usd": 6}, {"min_price_usd": D(5)}),
    (Code.MARKET_CAP_LOW, {"min_market_cap_usd": 5}, {"unknown_market_cap": "pass"}),
    (Code.MARKET_CAP_LOW, {"signal": a_signal(market=Market(market_cap_usd=D(4))), "min_market_cap_usd": 5},
     {"min_market_cap_usd": D(4)}),
    (Code.RVOL_LOW, {"min_rvol": 2}, {"unknown_rvol": "pass"}),
    (Code.RVOL_LOW, {"signal": a_signal(market=Market(rvol=D("1.5"))), "min_rvol": 2}, {"min_rvol": D("1.5")}),
    (Code.SECTOR_FILTERED, {"deny_sectors": ["energy"]}, {"unknown_sector": "pass"}),
    (Code.SECTOR_FILTERED, {"signal": a_signal(market=Market(sector="Energy")), "deny_sectors": ["energy"]},
     {"deny_sectors": []}),
    (Code.SECTOR_FILTERED, {"signal": a_signal(market=Market(sector="Energy")), "allow_sectors": ["tech"]},
     {"allow_sectors": ["tech", "energy"]}),
    (Code.PRICE_MOVED, {"market": replace(PAPER, quote=Quote(D("5.1"), D("5.1"), None, NOW))},
     {"max_price_move_percent": D(2)}),
    (Code.SESSION_CLOSED, {"market": replace(PAPER, session=Session.PRE)}, {"sessions": ["regular", "pre"]}),
    (Code.STOP_REQUIRED, {"signal": a_signal(stop_price=None)}, {"own_stop_percent": D(15)}),
    (Code.STOP_TOO_WIDE, {"signal": a_signal(stop_price=D(4))}, {"max_stop_distance_percent": D(20)}),
    (Code.SIZE_BELOW_MIN, {"fixed_usd": 4}, {"fixed_usd": D(10)}),
    (Code.SIZE_BELOW_MIN, {"sizing": "percent_of_equity", "equity_percent": "0.01"}, {"equity_percent": D("0.1")}),
    (Code.SIZE_BELOW_MIN, {"sizing": "risk_per_trade", "risk_percent": "0.001"}, {"risk_percent": D("0.005")}),
    (Code.SIZE_BELOW_MIN, {"signal": a_signal(suggested_size_fraction=D("0.0001")), "sizing": "suggested"}, {}),
    (Code.SIZE_BELOW_MIN, {"signal": a_signal(suggested_size_fraction=D("0.0005")), "sizing": "suggested"},
     {"suggested_factor": D(2)}),
    (Code.SIZE_BELOW_MIN, {"sizing": "suggested"}, {}),
    (Code.SIZE_BELOW_MIN, {"signal": a_signal(stop_price=None), "sizing": "risk_per_trade"}, {}),
    (Code.SIZE_BELOW_MIN, {"sizing": "kelly", "kelly_cap_percent": "0.01"}, {"kelly_cap_percent": D("0.1")}),
    (Code.SIZE_BELOW_MIN, {"book": a_book("100"), "max_buying_power_percent": 5}, {"max_buying_power_percent": D(10)}),
    (Code.MAX_NOTIONAL, {"oversize": "refuse", "max_notional_usd": 400}, {"max_notional_usd": D(500)}),
    (Code.MAX_QTY, {"oversize": "refuse", "max_quantity": 60}, {"max_quantity": 100}),
    (Code.MAX_QTY, {"max_quantity": 1}, {"max_quantity": 2}),
    (Code.MAX_OPEN_POSITIONS, {"book": a_book("10000", a_position("T")), "max_open_positions": 1},
     {"max_open_positions": 2}),
    (Code.MAX_EXPOSURE, {"book": a_book("9000", a_position("T", 200)), "max_exposure_percent": 10, "market": UNTRACKED},
     {"max_exposure_percent": D("10.1")}),
    (Code.MAX_TICKER_EXPOSURE, {"max_ticker_exposure_percent": "0.04"}, {"max_ticker_exposure_percent": D("0.1")}),
    (Code.LEVERAGE, {"max_leverage": "0.0005"}, {"max_leverage": D("0.001")}),
    (Code.INSUFFICIENT_FUNDS, {"cash_reserve_percent": 100}, {"cash_reserve_percent": D("99.9")}),
    (Code.ORDER_RATE, {"book": a_book(entry_times=(NOW, NOW)), "max_orders_per_minute": 2},
     {"max_orders_per_minute": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "case", "changes"), CASES)
def test_the_smallest_change_is_reckoned_from_what_was_seen(code, case, changes):
    assert remedy_of(code, **case).changes == changes


def test_day_trades_pass_only_without_the_limit():
    today = PAPER.session_day
    ledger = Ledger(day_trades=(today, today, today)).after(SessionStarted(today, NOW, D(10_000)))
    found = remedy_of(Code.DAY_TRADE_LIMIT, market=replace(PAPER, ledger=ledger), limit_day_trades=True)
    assert found.changes == {"limit_day_trades": False}


NO_CHANGE = [
    (Code.EXPIRED, {"now": NOW + timedelta(hours=2)}, "nothing: it is expired"),
    (Code.STALE, {"market": replace(PAPER, clock_skew_s=None)}, "nothing: what it needs is not known"),
    (Code.CLOCK_SKEW, {"market": replace(PAPER, clock_skew_s=None)}, "nothing: what it needs is not known"),
    (Code.CLOCK_SKEW, {"market": replace(PAPER, clock_skew_s=D(90))}, "no value"),
    (Code.SESSION_CLOSED, {"market": replace(REAL, session=Session.CLOSED)}, "no value"),
    (Code.SESSION_CLOSED, {"market": replace(PAPER, session=None)}, "nothing: what it needs"),
    (Code.MAX_NOTIONAL, {"fixed_usd": 1}, "nothing on its own"),
    (Code.MAX_EXPOSURE, {"fixed_usd": 1}, "nothing on its own"),
    (Code.INSUFFICIENT_FUNDS, {"fixed_usd": 1, "cash_reserve_percent": 100}, "nothing on its own"),
    (Code.MAX_QTY, {"fixed_usd": 1}, "nothing on its own"),
    (Code.MAX_EXPOSURE, {"book": a_book(None)}, "nothing: what it needs"),
    (Code.MAX_EXPOSURE, {"signal": a_signal(reference_price=None)}, "nothing on its own"),
    (Code.INSUFFICIENT_FUNDS, {"book": a_book(None)}, "nothing: what it needs"),
    (Code.STOP_TOO_WIDE, {"signal": a_signal(stop_price=D(1))}, "no value"),
    (Code.STOP_REQUIRED, {"market": replace(PAPER, capabilities=Capabilities(brackets=False))}, "no value"),
    (Code.DAILY_LOSS, {"book": a_book("9000")}, "no setting: a limit on losses is not raised"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "case", "text"), NO_CHANGE)
def test_where_no_setting_helps_it_says_so(code, case, text):
    found = remedy_of(code, **case)
    assert found.changes == {}
    assert found.words.startswith(text)


def test_without_prices_there_is_nothing_to_reckon():
    case = case_from(a_signal(reference_price=None), a_book(), Limits(), PAPER, NOW)
    assert moved(case) == wider_stop(case) == {}


def test_changes_read_as_they_are_written_in_a_config():
    by_age = remedy_of(Code.STALE, now=NOW + timedelta(seconds=61), max_age_s_by_catalyst={"fda": 60})
    assert by_age.words == "max_age_s_by_catalyst: {fda: 61} (for the next one: this one only grows older)"
    assert by_age.as_dict()["changes"] == {"max_age_s_by_catalyst": {"fda": "61"}}
    lists = remedy_of(Code.TICKER_DENIED, deny_tickers=["ABCD", "X"])
    assert lists.words == "deny_tickers: [X]"
    assert lists.as_dict() == {
        "check": "ticker", "code": "TICKER_DENIED", "text": "", "changes": {"deny_tickers": ["X"]},
    }  # fmt: skip
    assert remedy_of(Code.SIDE_DISABLED, a_short()).words.startswith("allow_shorts: true (")
    assert remedy_of(Code.MAX_QTY, max_quantity=1).as_dict()["changes"] == {"max_quantity": 2}
