"""Each check on both sides of its limit, and with what it needs unknown."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from agent_samples import (
    NO_SHARES,
    NOW,
    PAPER,
    REAL,
    UNTRACKED,
    WIDE,
    D,
    a_book,
    a_close,
    a_position,
    a_revision,
    a_short,
    a_signal,
    code_of,
    decided,
    outcome_of,
)

from signal_contract.model import Action, Event
from subscriber_agent.accounting.book import Leg, Side, WorkingEntry
from subscriber_agent.risk.checks import CHECKS
from subscriber_agent.risk.codes import CODE_MEANING, Code
from subscriber_agent.risk.decision import CheckOutcome, OrderPlan, Verdict
from subscriber_agent.risk.market import TradingState


def test_an_ordinary_buy_is_accepted_with_its_plan():
    decision = decided()
    assert decision.verdict is Verdict.ACCEPTED
    assert decision.code is None
    plan = decision.plan
    assert (plan.ticker, plan.side, plan.leg, plan.quantity) == ("ABCD", Side.BUY, Leg.ENTRY, D(100))
    assert (plan.stop_price, plan.target_price, plan.reference_price) == (D("4.75"), D(6), D(5))


@pytest.mark.parametrize("field", ["local_state", "operator_state"])
def test_halted_refuses_entries_and_exits_whoever_says_so(field):
    market = replace(PAPER, **{field: TradingState.HALTED})
    assert code_of(market=market) is Code.HALTED
    assert code_of(a_close(), a_book("1", a_position()), market) is Code.HALTED


@pytest.mark.parametrize("field", ["local_state", "operator_state"])
def test_reducing_refuses_entries_and_passes_exits(field):
    market = replace(PAPER, **{field: TradingState.REDUCING})
    assert code_of(market=market) is Code.REDUCING
    assert decided(a_close(), a_book("1", a_position()), market).verdict is Verdict.ACCEPTED


def test_the_stricter_of_the_two_states_counts():
    market = replace(PAPER, local_state=TradingState.HALTED, operator_state=TradingState.REDUCING)
    assert market.trading_state is TradingState.HALTED
    swapped = replace(PAPER, local_state=TradingState.REDUCING, operator_state=TradingState.HALTED)
    assert swapped.trading_state is TradingState.HALTED


def test_trading_state_is_the_first_check():
    assert CHECKS[0].name == "trading state"
    market = replace(PAPER, local_state=TradingState.HALTED, is_retracted=True)
    assert code_of(market=market) is Code.HALTED


@pytest.mark.parametrize(("text", "state"), [(None, "ACTIVE"), ("REDUCING", "REDUCING"), ("active", "HALTED")])
def test_an_unreadable_trading_state_is_halted(text, state):
    assert TradingState.from_text(text) is TradingState(state)


@pytest.mark.parametrize(
    ("age_s", "skew_s", "code"),
    [
        ("120", "0", None),
        ("120.000001", "0", Code.STALE),
        ("125", "5", None),
        ("115", "-5", None),
        ("115.1", "-5", Code.STALE),
        ("-10", "0", None),
        ("-10.000001", "0", Code.CLOCK_SKEW),
        ("-5", "5", None),
        ("-5.000001", "5", Code.CLOCK_SKEW),
        ("10", "10", None),
        ("10", "10.001", Code.CLOCK_SKEW),
        ("-10", "-10.001", Code.CLOCK_SKEW),
    ],
)
def test_age_is_measured_from_publishing_and_corrected_by_skew(age_s, skew_s, code):
    now = NOW + timedelta(microseconds=int(D(age_s) * 1_000_000))
    assert code_of(market=replace(PAPER, clock_skew_s=D(skew_s)), now=now) is code


@pytest.mark.parametrize("skew", [None, Decimal("NaN"), Decimal("Infinity"), Decimal("1e30")])
def test_unknown_skew_refuses_entries(skew):
    market = replace(PAPER, clock_skew_s=skew)
    assert code_of(market=market) is Code.STALE
    codes = {each.code for each in decided(market=market, show_all=True).checks}
    assert {Code.STALE, Code.EXPIRED, Code.CLOCK_SKEW} <= codes


def test_naive_now_refuses_entries():
    naive = datetime(2026, 1, 2, 14, 30)  # noqa: DTZ001
    decision = decided(now=naive, book=a_book(entry_times=(NOW,)), show_all=True)
    assert decision.verdict is Verdict.REFUSED
    assert {Code.STALE, Code.ORDER_RATE} <= {each.code for each in decision.checks}


def test_expired_entry_is_refused():
    signal = a_signal(expires_at=NOW + timedelta(seconds=60))
    assert code_of(signal, now=NOW + timedelta(seconds=59.9)) is None
    assert code_of(signal, now=NOW + timedelta(seconds=60)) is Code.EXPIRED


def test_retracted_and_superseded_signals_are_refused_exits_too():
    book = a_book("1", a_position())
    retracted = replace(PAPER, is_retracted=True, latest_revision=2)
    assert code_of(market=retracted) is Code.RETRACTED
    assert code_of(a_close(), book, retracted) is Code.RETRACTED
    later = replace(PAPER, latest_revision=2)
    assert code_of(market=later) is Code.SUPERSEDED
    assert code_of(a_revision(a_signal(), 2), market=later) is None


def test_a_signal_is_acted_on_once():
    signal = a_signal()
    book = a_book(acted_ids=frozenset({signal.signal_id}))
    assert code_of(signal, book) is Code.DUPLICATE
    assert code_of(a_revision(signal, 2), book, replace(PAPER, latest_revision=2)) is Code.DUPLICATE
    assert code_of(a_signal("other"), book) is None


@pytest.mark.parametrize("mark", ["true", "True", "yes", ""])
def test_a_drill_never_reaches_a_live_engine(mark):
    live = REAL
    drill = a_signal(meta={"drill": mark})
    assert code_of(drill, market=live) is Code.DRILL_REFUSED
    assert code_of(a_close(meta={"drill": mark}), a_book("1", a_position()), live) is Code.DRILL_REFUSED
    assert code_of(drill) is None
    assert code_of(a_signal(meta={"drill": "false"}), a_book(is_blocked=False), live) is None


def test_low_confidence_is_refused_and_the_minimum_itself_passes():
    assert code_of(a_signal(confidence=D("0.70"))) is None
    assert code_of(a_signal(confidence=D("0.6999"))) is Code.LOW_CONFIDENCE


@pytest.mark.parametrize(
    ("allow", "deny", "code"),
    [
        (["*"], [], None),
        (["FDA"], [], None),
        (["merger"], [], Code.CATALYST_FILTERED),
        (["partnership"], [], Code.CATALYST_FILTERED),
        ([], [], Code.CATALYST_FILTERED),
        (["fda"], ["fda"], Code.CATALYST_FILTERED),
        (["fda"], ["partnership"], Code.CATALYST_FILTERED),
        (["*"], ["*"], Code.CATALYST_FILTERED),
        (["fda"], ["M&A"], None),
    ],
)
def test_catalyst_lists_deny_wins_and_any_denied_catalyst_refuses(allow, deny, code):
    assert code_of(allow_catalysts=allow, deny_catalysts=deny) is code


@pytest.mark.parametrize(
    ("allow", "deny", "code"),
    [
        (["*"], [], None),
        (["ABCD"], [], None),
        (["XYZ"], [], Code.TICKER_DENIED),
        ([], [], Code.TICKER_DENIED),
        (["ABCD"], ["ABCD"], Code.TICKER_DENIED),
        (["*"], ["*"], Code.TICKER_DENIED),
    ],
)
def test_ticker_lists_deny_wins(allow, deny, code):
    assert code_of(allow_tickers=allow, deny_tickers=deny) is code


def test_short_sales_are_off_unless_allowed():
    assert code_of(a_short()) is Code.SIDE_DISABLED
    decision = decided(a_short(), allow_shorts=True)
    assert decision.verdict is Verdict.ACCEPTED
    assert decision.plan.side is Side.SELL


@pytest.mark.parametrize(
    ("price", "code"),
    [("0.10", None), ("0.0999", Code.PRICE_OUT_OF_RANGE), ("20", None), ("20.01", Code.PRICE_OUT_OF_RANGE)],
)
def test_price_range_includes_its_ends(price, code):
    signal = a_signal(reference_price=D(price), stop_price=D(price) * D("0.95"), target_price=None)
    assert code_of(signal) is code


def test_unknown_price_refuses():
    assert code_of(a_signal(reference_price=None)) is Code.NO_PRICE


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (None, Code.STOP_REQUIRED),
        ("4.25", None),
        ("4.2499", Code.STOP_TOO_WIDE),
        ("5", Code.STOP_WRONG_SIDE),
        ("5.01", Code.STOP_WRONG_SIDE),
        ("4.99", None),
        ("4.9999", Code.TICK_SIZE),
    ],
)
def test_a_buy_needs_a_stop_below_the_price_and_not_too_far(stop, code):
    assert code_of(a_signal(stop_price=None if stop is None else D(stop))) is code


@pytest.mark.parametrize(
    ("stop", "code"), [("5.75", None), ("5.7501", Code.STOP_TOO_WIDE), ("5", Code.STOP_WRONG_SIDE)]
)
def test_a_short_needs_a_stop_above_the_price(stop, code):
    assert code_of(a_short(stop_price=D(stop)), allow_shorts=True) is code


def test_a_target_on_the_loss_side_is_refused():
    assert code_of(a_signal(target_price=D(5))) is Code.TARGET_WRONG_SIDE
    assert code_of(a_signal(target_price=D("5.01"))) is None
    assert code_of(a_short(target_price=D(5)), allow_shorts=True) is Code.TARGET_WRONG_SIDE
    assert code_of(a_short(target_price=D("4.99")), allow_shorts=True) is None


def test_size_is_floored_to_whole_shares():
    signal = a_signal(reference_price=D("3.01"), stop_price=D("2.9"), target_price=None)
    assert decided(signal).plan.quantity == 166
    assert decided(signal, sizing="percent_of_equity", equity_percent="3").plan.quantity == 99


def test_size_is_never_raised_to_the_minimum():
    assert code_of(fixed_usd=9) is Code.SIZE_BELOW_MIN
    assert decided(fixed_usd=10).plan.quantity == 2
    assert code_of(fixed_usd=4, min_notional_usd=0) is Code.SIZE_BELOW_MIN
    assert decided(fixed_usd=5, min_notional_usd=0).plan.quantity == 1


def test_size_uses_at_most_its_share_of_the_buying_power():
    assert decided(book=a_book("100"), market=UNTRACKED, **NO_SHARES).plan.quantity == 19


def test_order_value_and_quantity_are_cut_down_to_their_caps():
    decision = decided(fixed_usd=2000)
    assert decision.plan.quantity == 200
    assert outcome_of(decision, "order value").code is Code.MAX_NOTIONAL
    assert outcome_of(decision, "order value").outcome is CheckOutcome.CLAMP
    assert outcome_of(decided(fixed_usd=1000), "order value").outcome is CheckOutcome.PASS
    cut = decided(max_quantity=99)
    assert cut.plan.quantity == 99
    assert outcome_of(cut, "order quantity").code is Code.MAX_QTY
    assert outcome_of(decided(max_quantity=100), "order quantity").outcome is CheckOutcome.PASS


def test_a_cap_that_leaves_less_than_the_minimum_refuses():
    assert code_of(max_quantity=1) is Code.MAX_QTY
    assert code_of(max_notional_usd=4, min_notional_usd=0) is Code.MAX_NOTIONAL


def test_open_positions_count_working_entries():
    held = [a_position(f"T{i}", 1) for i in range(4)]
    assert code_of(book=a_book("10000", *held)) is None
    working = (WorkingEntry("T9", D(5)),)
    assert code_of(book=a_book("10000", *held, working=working)) is Code.MAX_OPEN_POSITIONS
    assert code_of(book=a_book("10000", *held, a_position("T5", 1))) is Code.MAX_OPEN_POSITIONS


def test_one_position_per_ticker_working_or_held():
    assert code_of(book=a_book("10000", a_position())) is Code.ALREADY_IN_POSITION
    assert code_of(book=a_book(working=(WorkingEntry("ABCD", D(5)),))) is Code.ALREADY_IN_POSITION


def test_exposure_is_cut_down_to_its_share_of_equity_and_counts_working_entries():
    book = a_book("5100", a_position("T1", 980))
    decision = decided(book=book, **WIDE)
    assert outcome_of(decision, "exposure").code is Code.MAX_EXPOSURE
    assert decision.plan.quantity == 20
    full = a_book("5000", a_position("T1", 1000))
    assert code_of(book=full, **WIDE) is Code.MAX_EXPOSURE
    assert code_of(book=replace(book, working=(WorkingEntry("T2", D(95)),)), **WIDE) is Code.MAX_EXPOSURE


@pytest.mark.parametrize(
    ("seconds", "code"), [([59] * 4, None), ([59] * 5, Code.ORDER_RATE), ([60] * 5, None), ([-5] * 5, Code.ORDER_RATE)]
)
def test_order_rate_counts_the_last_minute_and_a_clock_set_back_does_not_reset_it(seconds, code):
    book = a_book(entry_times=tuple(NOW - timedelta(seconds=each) for each in seconds))
    assert code_of(book=book) is code


@pytest.mark.parametrize(("count", "code"), [(19, None), (20, Code.MAX_TRADES_PER_DAY)])
def test_trades_per_day_count_24_hours(count, code):
    times = tuple(NOW - timedelta(hours=23) for _ in range(count))
    assert code_of(book=a_book(entry_times=times)) is code
    assert code_of(book=a_book(entry_times=tuple(at - timedelta(hours=1) for at in times))) is None


def test_the_cash_reserve_is_left():
    # Equity 1000, reserve 50: of 100 in cash 50 may be used.
    book = a_book("100", a_position("T1", 180))
    decision = decided(book=book, market=UNTRACKED, **NO_SHARES)
    assert outcome_of(decision, "funds").code is Code.INSUFFICIENT_FUNDS
    assert decision.plan.quantity == 10
    poor = a_book("50", a_position("T1", 190))
    assert code_of(book=poor, market=UNTRACKED, **NO_SHARES) is Code.INSUFFICIENT_FUNDS


@pytest.mark.parametrize(
    "book",
    [
        a_book(None),
        a_book("NaN"),
        a_book("Infinity"),
        a_book("10000", a_position("T1", last_price=None)),
        a_book("10000", a_position("T1", last_price=D("NaN"))),
    ],
)
def test_unknown_account_refuses_entries(book):
    assert code_of(book=book) is Code.INSUFFICIENT_FUNDS
    codes = {each.code for each in decided(book=book, show_all=True).checks}
    assert {Code.INSUFFICIENT_FUNDS, Code.MAX_EXPOSURE} <= codes


def test_an_exit_passes_every_entry_check():
    unknown = replace(PAPER, clock_skew_s=None)
    book = a_book(None, a_position(last_price=None), entry_times=(NOW,) * 50)
    old = a_close(reference_price=None, confidence=D(0))
    decision = decided(
        old,
        book,
        unknown,
        NOW + timedelta(days=3),
        allow_catalysts=[],
        deny_tickers=["ABCD"],
        min_confidence=1,
        max_trades_per_day=1,
    )
    assert decision.verdict is Verdict.ACCEPTED
    assert (decision.plan.side, decision.plan.leg, decision.plan.quantity) == (Side.SELL, Leg.EXIT, D(100))


def test_an_exit_closes_the_whole_position_at_the_signals_price_or_the_last_known_one():
    book = a_book("1", a_position(last_price=D("5.50")))
    assert decided(a_close(reference_price=D("5.20")), book).plan.reference_price == D("5.20")
    assert decided(a_close(reference_price=None), book).plan.reference_price == D("5.50")
    short = a_book("10000", a_position(quantity=-7))
    assert (decided(a_close(), short).plan.side, decided(a_close(), short).plan.quantity) == (Side.BUY, D(7))


def test_an_exit_without_a_position_is_refused():
    assert code_of(a_close()) is Code.NO_POSITION
    assert code_of(a_close(), a_book("1", a_position("OTHER"))) is Code.NO_POSITION


def test_watch_and_retract_are_noted_in_every_state():
    halted = replace(PAPER, operator_state=TradingState.HALTED)
    for market in (PAPER, halted):
        watch = decided(a_signal(action=Action.WATCH), market=market)
        assert (watch.verdict, watch.code, watch.plan) == (Verdict.NOTED, Code.WATCH_ONLY, None)
        retract = decided(a_revision(a_signal(), 2, Event.RETRACT), market=market)
        assert (retract.verdict, retract.code, retract.plan) == (Verdict.NOTED, Code.RETRACTION, None)


def test_notify_mode_notes_what_would_be_accepted_and_keeps_the_plan():
    notify = replace(PAPER, notify_only=True)
    decision = decided(market=notify)
    assert (decision.verdict, decision.code) == (Verdict.NOTED, Code.NOTIFY_ONLY)
    assert decision.plan.quantity == 100
    assert code_of(a_signal(confidence=D(0)), market=notify) is Code.LOW_CONFIDENCE


def test_show_all_evaluates_every_check_and_comes_to_the_same_verdict():
    signal = a_signal(confidence=D(0), reference_price=None, stop_price=None)
    short, long = decided(signal), decided(signal, show_all=True)
    assert short.code is long.code is Code.LOW_CONFIDENCE
    assert short.checks == long.checks[: len(short.checks)]
    assert len(long.checks) == sum(check.scope != "exit" for check in CHECKS)
    assert long.plan is None


def test_the_same_inputs_give_the_same_bytes():
    one, two = (orjson.dumps(decided(show_all=True).as_dict()) for _ in range(2))
    assert one == two


def test_a_plan_survives_the_journal():
    for signal, book in ((a_signal(), a_book()), (a_close(reference_price=None), a_book("1", a_position()))):
        plan = decided(signal, book).plan
        assert OrderPlan.from_dict(orjson.loads(orjson.dumps(plan.as_dict()))) == plan


def test_a_plan_of_an_earlier_version_is_still_read():
    body = decided().plan.as_dict()
    for name in ("sector", "trailing_stop_percent", "max_hold_s", "extended_hours"):
        del body[name]
    assert OrderPlan.from_dict(body) == decided().plan


def test_every_code_has_a_meaning_and_a_check_that_gives_it():
    assert set(CODE_MEANING) == set(Code)
    by_checks = {code for check in CHECKS for code in check.codes}
    assert by_checks <= set(Code)
    # What is noted and not checked, and the reason of an exit that time asks for.
    rest = {Code.WATCH_ONLY, Code.RETRACTION, Code.NOTIFY_ONLY, Code.MAX_HOLD}
    assert rest <= set(Code) - by_checks


def test_a_cut_down_order_names_what_cut_it():
    assert [each.code for each in decided(fixed_usd=2000).clamps] == [Code.MAX_NOTIONAL]
    assert decided().clamps == ()
